#pragma once

#include "absl/time/time.h"
#include "raft/types.h"

namespace keel::server {

// Hears of snapshots on their way between members, for those who count. Thread-safe; must not block. Outlives the
// network.
class SnapshotObserver {
 public:
  enum class Way { kSent, kReceived };

  virtual void OnBegun(Way way, raft::MemberId peer) = 0;
  // Once for each OnBegun; `took` is from there.
  virtual void OnEnded(Way way, raft::MemberId peer, bool ok, absl::Duration took) = 0;
  // A received one is on the disk: how long that took in all, and how long it then took to be durable and verified.
  virtual void OnStored(absl::Duration took, absl::Duration made_durable) = 0;

 protected:
  ~SnapshotObserver() = default;
};

}  // namespace keel::server
