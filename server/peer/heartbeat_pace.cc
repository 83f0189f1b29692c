#include "server/peer/heartbeat_pace.h"

#include <variant>

#include "base/clock.h"

namespace keel::server {

void HeartbeatPace::Sent(const std::vector<raft::Message>& messages) {
  if (late_after_ <= absl::ZeroDuration()) return;
  for (const raft::Message& message : messages) {
    // Most messages are none, and then the clock is not asked.
    if (std::holds_alternative<raft::Heartbeat>(message.body)) return Sent(messages, Clock::Real().Now());
  }
}

void HeartbeatPace::Sent(const std::vector<raft::Message>& messages, absl::Time now) {
  for (const raft::Message& message : messages) {
    const auto* heartbeat = std::get_if<raft::Heartbeat>(&message.body);
    if (heartbeat == nullptr || heartbeat->quiet) continue;
    if (message.term != term_) {
      term_ = message.term;
      last_.clear();
    }
    const auto [last, first] = last_.emplace(message.to, now);
    if (first) continue;
    if (now - last->second > late_after_) late_.fetch_add(1, std::memory_order_relaxed);
    last->second = now;
  }
}

}  // namespace keel::server
