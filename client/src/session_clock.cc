#include "client/src/session_clock.h"

#include <algorithm>

namespace keel::client {

SessionClock::SessionClock(absl::Duration ttl, absl::Time sent_at) : ttl_(ttl), last_sent_(sent_at) {}

void SessionClock::Acknowledged(absl::Time sent_at, absl::Duration ttl) {
  if (ttl <= absl::ZeroDuration()) {
    lost_ = true;
    return;
  }
  if (lost_ || sent_at < last_sent_) return;
  last_sent_ = sent_at;
  ttl_ = ttl;
}

SessionState SessionClock::StateAt(absl::Time now) {
  if (!lost_ && now >= deadline()) lost_ = true;
  if (lost_) return SessionState::kLost;
  return now >= risk_at() ? SessionState::kAtRisk : SessionState::kLive;
}

absl::Duration SessionClock::attempt_timeout() const {
  return std::clamp(ttl_ / 6, absl::Milliseconds(100), absl::Seconds(5));
}

absl::Duration SessionClock::retry_delay() const {
  return std::clamp(ttl_ / 40, absl::Milliseconds(10), absl::Milliseconds(500));
}

}  // namespace keel::client
