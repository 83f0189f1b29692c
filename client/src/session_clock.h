#pragma once

// What a session may still believe about its lease. Pure: time is passed in.

#include "absl/time/time.h"
#include "keel/session.h"

namespace keel::client {

// The server counts the TTL from when it handles a renewal, which is never before the renewal was sent. So the lease
// stands at least until `sent_at + TTL` of the last acknowledged renewal. We stop believing 1 % of the TTL earlier,
// for clocks that do not run equally fast. Owned by one thread (or guarded by its owner).
class SessionClock {
 public:
  // `sent_at`: when the grant was sent.
  SessionClock(absl::Duration ttl, absl::Time sent_at);

  // A renewal sent at `sent_at` was answered with `ttl`; zero: the lease is gone. Answers may arrive in any order.
  void Acknowledged(absl::Time sent_at, absl::Duration ttl);
  // Lost from now on, whatever the server says.
  void End() { lost_ = true; }

  // Seeing kLost once makes it final.
  SessionState StateAt(absl::Time now);

  absl::Time deadline() const { return lost_ ? absl::InfinitePast() : last_sent_ + ttl_ - ttl_ / 100; }
  // When the next renewal is due, a third of the TTL after the last one that succeeded.
  absl::Time renewal_due() const { return last_sent_ + ttl_ / 3; }
  // When a session without further renewals turns kAtRisk.
  absl::Time risk_at() const { return last_sent_ + ttl_ * 2 / 3; }
  absl::Duration ttl() const { return ttl_; }

  // How long to wait for the answer to a renewal before another endpoint is asked, so that several attempts fit
  // between renewal_due() and deadline().
  absl::Duration attempt_timeout() const;
  // The pause after an attempt that failed at once.
  absl::Duration retry_delay() const;

 private:
  absl::Duration ttl_;
  absl::Time last_sent_;
  bool lost_ = false;
};

}  // namespace keel::client
