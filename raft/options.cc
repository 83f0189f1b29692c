#include "raft/options.h"

#include "absl/strings/str_cat.h"

namespace keel::raft {

absl::Status CoreOptions::Validate() const {
  const auto invalid = [](const char* text) { return absl::InvalidArgumentError(absl::StrCat("raft option ", text)); };
  if (id == kNobody) return invalid("id: must not be 0");
  if (heartbeat_ticks < 1) return invalid("heartbeat_ticks: must be at least 1");
  // One lost heartbeat must not start an election.
  if (election_ticks <= heartbeat_ticks) return invalid("election_ticks: must exceed heartbeat_ticks");
  if (append_bytes_max == 0) return invalid("append_bytes_max: must be positive");
  if (inflight_messages_max == 0) return invalid("inflight_messages_max: must be positive");
  if (inflight_bytes_max == 0) return invalid("inflight_bytes_max: must be positive");
  if (uncommitted_bytes_max == 0) return invalid("uncommitted_bytes_max: must be positive");
  return absl::OkStatus();
}

}  // namespace keel::raft
