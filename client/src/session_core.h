#pragma once

// The engine of a Session: renews its lease, keeps its SessionClock, tells of changes.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <thread>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "client/src/core.h"
#include "client/src/session_clock.h"
#include "keel/lease.h"
#include "keel/session.h"

namespace keel::client {

// Thread-safe. Kept alive by its Session and by the timer or renewal that is pending; that chain ends when the session
// is lost. Lock order: mu_ before anything of the Core but its registry.
class SessionCore : public std::enable_shared_from_this<SessionCore> {
 public:
  SessionCore(std::shared_ptr<Core> core, LeaseId lease, absl::Duration ttl, absl::Time granted_sent_at,
              std::function<void(SessionState)> on_change, const Clock& clock);

  // Begins to renew.
  void Start();
  // Lost from now on; no more renewals.
  void End();
  // No more calls of `on_change`; waits for one that runs, unless this is the thread that runs it.
  void Mute();

  LeaseId lease() const { return lease_; }
  absl::Duration ttl() const;
  SessionState state();
  absl::Duration remaining();
  bool WaitUntilLost(absl::Time deadline);

  // Runs `hook` once when the session is lost, on whatever thread notices; at once if it is already. The hook must not
  // block. 0 if it has run already.
  uint64_t AddLossHook(std::function<void()> hook);
  // After it the hook does not begin any more, though it may be running still.
  void RemoveLossHook(uint64_t id);

  Core& core() { return *core_; }

 private:
  // Looks at the clock; renews what is due; asks to be called again.
  void Tick();
  void Renew(absl::Time now, absl::Duration timeout);
  void Renewed(absl::Time sent_at, const absl::StatusOr<LeaseKeepAliveResponse>& answer);
  // Replaces the tick that was scheduled before.
  void ScheduleTick(absl::Duration delay);
  // The state now; tells of a change, and moves the loss hooks to `lost` to be run without the lock.
  SessionState Look(std::map<uint64_t, std::function<void()>>* lost) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool IsLost() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return told_ == SessionState::kLost; }
  void Tell(SessionState state);
  bool CallbackIsAway() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return running_callback_ == std::thread::id() || running_callback_ == std::this_thread::get_id();
  }
  static void Run(const std::map<uint64_t, std::function<void()>>& hooks);

  const std::shared_ptr<Core> core_;
  const LeaseId lease_;
  const std::function<void(SessionState)> on_change_;
  const Clock& time_;

  mutable absl::Mutex mu_;
  SessionClock clock_ ABSL_GUARDED_BY(mu_);
  SessionState told_ ABSL_GUARDED_BY(mu_) = SessionState::kLive;
  std::map<uint64_t, std::function<void()>> loss_hooks_ ABSL_GUARDED_BY(mu_);
  uint64_t next_hook_ ABSL_GUARDED_BY(mu_) = 1;
  bool muted_ ABSL_GUARDED_BY(mu_) = false;
  std::thread::id running_callback_ ABSL_GUARDED_BY(mu_);
  uint64_t tick_ ABSL_GUARDED_BY(mu_) = 0;  // Number of the latest scheduled tick; earlier ones do nothing.
  std::optional<TimerThread::Id> tick_timer_ ABSL_GUARDED_BY(mu_);
  bool renewing_ ABSL_GUARDED_BY(mu_) = false;
  absl::Time retry_at_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace keel::client
