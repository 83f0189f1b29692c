#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "raft/core.h"
#include "raft/types.h"

namespace keel::raft {

// How much of the log's front can go. Never what the state machine does not hold durably; beyond that a number of
// entries stays for followers that are a little behind, more for active ones that are further behind, and everything
// from a snapshot on for the follower that is receiving it: were it let go, the snapshot would be useless on arrival,
// and under load so would every one after it.
//
// Owned by the raft thread.
class TruncationPolicy {
 public:
  // `kept` entries stay for followers that are a little behind; the other bounds are multiples of it.
  explicit TruncationPolicy(uint64_t kept) : kept_(kept) {}

  // A snapshot that stands at `applied` or later is on its way to `follower`.
  void OnSnapshotStarted(MemberId follower, Index applied) { pins_[follower] = applied; }
  void OnSnapshotSent(MemberId follower, const absl::Status& status, EntryId last);

  // The log can be truncated through this index. nullopt: not worth it.
  std::optional<Index> Choose(const CoreStatus& status, const std::vector<FollowerStatus>& followers,
                              Index replicated_everywhere, Index durable);

 private:
  // Lets go of those that have caught up, are gone, or are hopelessly behind.
  void UpdatePins(const CoreStatus& status, const std::vector<FollowerStatus>& followers);

  const uint64_t kept_;
  // From here on a follower that is receiving, or has just received, a snapshot needs the log.
  std::map<MemberId, Index> pins_;
};

}  // namespace keel::raft
