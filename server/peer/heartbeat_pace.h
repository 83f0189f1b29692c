#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <vector>

#include "absl/time/time.h"
#include "raft/message.h"

namespace keel::server {

// Counts the heartbeats that a leader sends too long after the one before: its machine has too much to do, and soon its
// followers will take it for dead.
//
// Sent() is for one thread at a time, late() for all.
class HeartbeatPace {
 public:
  // Longer than `late_after` is late; zero: nothing is.
  explicit HeartbeatPace(absl::Duration late_after) : late_after_(late_after) {}

  void Sent(const std::vector<raft::Message>& messages);
  // The same as of `now`.
  void Sent(const std::vector<raft::Message>& messages, absl::Time now);

  uint64_t late() const { return late_.load(std::memory_order_relaxed); }

 private:
  const absl::Duration late_after_;
  raft::Term term_;                            // Of `last_`: a new one begins anew.
  std::map<raft::MemberId, absl::Time> last_;  // Sent to each follower.
  std::atomic<uint64_t> late_{0};
};

}  // namespace keel::server
