#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "raft/types.h"

namespace keel::raft {

struct CoreOptions {
  MemberId id;  // This member; not kNobody.

  // A follower that hears nothing for a random time in [election_ticks, 2 * election_ticks) campaigns. A leader that
  // has not heard from a quorum for election_ticks steps down (CheckQuorum).
  int election_ticks = 10;
  int heartbeat_ticks = 1;

  // Chooses the random part of timeouts and where the numbering of forwarded reads starts; the same seed and the same
  // inputs replay the same run. Must differ between two starts of one member: an answer to its former self would
  // otherwise pass for one to a new read.
  uint64_t seed = 0;

  // Larger batches cost latency to the followers behind a slow link and memory to both.
  size_t append_bytes_max = 1 << 20;        // Payload of one AppendRequest; one entry may exceed it alone.
  size_t inflight_messages_max = 512;       // Unacknowledged AppendRequests to one follower.
  size_t inflight_bytes_max = 16 << 20;     // Their bytes.
  size_t uncommitted_bytes_max = 64 << 20;  // Leader: proposals beyond this are refused.
  size_t cached_log_bytes_max = 4 << 20;    // Entries kept in memory once they are durable and handed to apply.

  // kInvalidArgument names the option.
  absl::Status Validate() const;
};

}  // namespace keel::raft
