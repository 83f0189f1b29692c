#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "raft/core.h"
#include "raft/types.h"

namespace keel::raft {

// How much of the log's front can go. Never what the state machine does not hold durably; beyond that a number of
// entries stays for followers that are a little behind, more for active ones that are further behind, and everything
// from a snapshot on for the follower that is receiving it: were it let go, the snapshot would be useless on arrival,
// and under load so would every one after it. All of that only as long as the log does not become too large.
//
// Owned by the raft thread.
class TruncationPolicy {
 public:
  // `kept` entries stay for followers that are a little behind; the other bounds in entries are multiples of it.
  // Whatever anybody needs, no more than `bytes_max` stay of what the state machine holds durably.
  TruncationPolicy(uint64_t kept, uint64_t bytes_max) : kept_(kept), bytes_max_(bytes_max) {}

  // A snapshot that stands at `applied` or later is on its way to `follower`.
  void OnSnapshotStarted(MemberId follower, Index applied) { pins_[follower] = applied; }
  void OnSnapshotSent(MemberId follower, const absl::Status& status, EntryId last);

  // The log can be truncated through this index. nullopt: not worth it. `bytes_after` as StableStore::BytesAfter.
  std::optional<Index> Choose(const CoreStatus& status, const std::vector<FollowerStatus>& followers,
                              Index replicated_everywhere, Index durable,
                              absl::FunctionRef<uint64_t(Index)> bytes_after);

 private:
  // Lets go of those that have caught up, are gone, or are hopelessly behind.
  void UpdatePins(const CoreStatus& status, const std::vector<FollowerStatus>& followers);

  // The least index after which no more than bytes_max_ follow; at most `durable`.
  Index FirstWithin(Index first, Index durable, absl::FunctionRef<uint64_t(Index)> bytes_after) const;

  const uint64_t kept_;
  const uint64_t bytes_max_;
  // From here on a follower that is receiving, or has just received, a snapshot needs the log.
  std::map<MemberId, Index> pins_;
};

}  // namespace keel::raft
