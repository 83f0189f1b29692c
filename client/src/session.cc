#include "keel/session.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "client/src/boottime_clock.h"
#include "client/src/keep_alive_call.h"
#include "client/src/session_core.h"
#include "keel/client.h"

namespace keel {
namespace client {

SessionCore::SessionCore(std::shared_ptr<Core> core, LeaseId lease, absl::Duration ttl, absl::Time granted_sent_at,
                         std::function<void(SessionState)> on_change, const Clock& clock)
    : core_(std::move(core)),
      lease_(lease),
      on_change_(std::move(on_change)),
      time_(clock),
      clock_(ttl, granted_sent_at) {}

void SessionCore::Start() { Tick(); }

void SessionCore::End() {
  std::map<uint64_t, std::function<void()>> lost;
  std::optional<TimerThread::Id> timer;
  {
    absl::MutexLock lock(&mu_);
    clock_.End();
    Look(&lost);
    ++tick_;
    timer = std::exchange(tick_timer_, std::nullopt);
  }
  if (timer) core_->timers().Cancel(*timer);
  Run(lost);
}

absl::Duration SessionCore::ttl() const {
  absl::MutexLock lock(&mu_);
  return clock_.ttl();
}

SessionState SessionCore::state() {
  std::map<uint64_t, std::function<void()>> lost;
  SessionState state;
  {
    absl::MutexLock lock(&mu_);
    state = Look(&lost);
  }
  Run(lost);
  return state;
}

absl::Duration SessionCore::remaining() {
  if (state() == SessionState::kLost) return absl::ZeroDuration();
  absl::MutexLock lock(&mu_);
  return std::max(absl::ZeroDuration(), clock_.deadline() - time_.Now());
}

bool SessionCore::WaitUntilLost(absl::Time deadline) {
  state();
  absl::MutexLock lock(&mu_);
  return mu_.AwaitWithDeadline(absl::Condition(this, &SessionCore::IsLost), deadline);
}

uint64_t SessionCore::AddLossHook(std::function<void()> hook) {
  state();
  {
    absl::MutexLock lock(&mu_);
    if (!IsLost()) {
      loss_hooks_.emplace(next_hook_, std::move(hook));
      return next_hook_++;
    }
  }
  hook();
  return 0;
}

void SessionCore::RemoveLossHook(uint64_t id) {
  absl::MutexLock lock(&mu_);
  loss_hooks_.erase(id);
}

void SessionCore::Tick() {
  std::map<uint64_t, std::function<void()>> lost;
  absl::Duration delay = absl::InfiniteDuration();
  absl::Time now;
  std::optional<absl::Duration> renew;  // With this timeout; begun without the lock, since it may end at once.
  {
    absl::MutexLock lock(&mu_);
    const SessionState state = Look(&lost);
    now = time_.Now();
    if (state != SessionState::kLost) {
      const absl::Time due = std::max(clock_.renewal_due(), retry_at_);
      if (!renewing_ && due <= now) {
        renewing_ = true;
        renew = clock_.attempt_timeout();
      }
      // The next thing that can happen without a message: a renewal, turning at risk, being lost.
      absl::Time next = clock_.deadline();
      if (state == SessionState::kLive) next = std::min(next, clock_.risk_at());
      if (!renewing_) next = std::min(next, due);
      delay = std::max(next - now, absl::Milliseconds(1));
    }
  }
  Run(lost);
  if (delay < absl::InfiniteDuration()) ScheduleTick(delay);
  if (renew) Renew(now, *renew);
}

void SessionCore::ScheduleTick(absl::Duration delay) {
  uint64_t tick;
  std::optional<TimerThread::Id> replaced;
  {
    absl::MutexLock lock(&mu_);
    tick = ++tick_;
    replaced = std::exchange(tick_timer_, std::nullopt);
  }
  if (replaced) core_->timers().Cancel(*replaced);
  const TimerThread::Id id =
      core_->timers().Schedule(delay, [self = shared_from_this(), tick](TimerThread::Outcome outcome) {
        if (outcome == TimerThread::Outcome::kStopped) return self->End();
        {
          absl::MutexLock lock(&self->mu_);
          if (self->tick_ != tick) return;
        }
        self->Tick();
      });
  absl::MutexLock lock(&mu_);
  if (tick_ == tick) tick_timer_ = id;
}

void SessionCore::Renew(absl::Time now, absl::Duration timeout) {
  const CallTraits once = {.call_class = CallClass::kRepeatable, .is_write = false, .attempts_max = 1, .counts = false};
  CallOptions options;
  options.timeout = timeout;
  options.require_leader = true;  // Only a member that reaches the leader can renew.
  auto* const call = new KeepAliveCall(
      core_, once, options, lease_,
      [self = shared_from_this(), now](absl::Status status, const etcdserverpb::LeaseKeepAliveResponse& r) {
        if (!status.ok()) return self->Renewed(now, std::move(status));
        self->Renewed(now, LeaseKeepAliveResponse{.id = r.id(), .ttl_seconds = r.ttl()});
      });
  call->Start();  // It owns itself from here.
}

void SessionCore::Renewed(absl::Time sent_at, const absl::StatusOr<LeaseKeepAliveResponse>& answer) {
  std::map<uint64_t, std::function<void()>> lost;
  absl::Duration delay = absl::InfiniteDuration();
  {
    absl::MutexLock lock(&mu_);
    renewing_ = false;
    if (answer.ok()) {
      clock_.Acknowledged(sent_at, absl::Seconds(answer->ttl_seconds));
    } else if (absl::IsNotFound(answer.status())) {
      clock_.End();
    } else {
      // Another endpoint is chosen by the next attempt; at once if this one took its whole time.
      retry_at_ = std::max(time_.Now(), sent_at + clock_.retry_delay());
    }
    if (Look(&lost) != SessionState::kLost) {
      delay = std::max(std::max(clock_.renewal_due(), retry_at_) - time_.Now(), absl::ZeroDuration());
    }
  }
  Run(lost);
  if (delay < absl::InfiniteDuration()) ScheduleTick(delay);
}

SessionState SessionCore::Look(std::map<uint64_t, std::function<void()>>* lost) {
  const SessionState state = clock_.StateAt(time_.Now());
  if (state == told_) return state;
  told_ = state;
  if (on_change_ != nullptr) {
    core_->callbacks().Post([self = shared_from_this(), state] { self->Tell(state); });
  }
  if (state == SessionState::kLost) lost->swap(loss_hooks_);
  return state;
}

void SessionCore::Tell(SessionState state) {
  {
    absl::MutexLock lock(&mu_);
    if (muted_) return;
    running_callback_ = std::this_thread::get_id();
  }
  on_change_(state);
  absl::MutexLock lock(&mu_);
  running_callback_ = std::thread::id();
}

void SessionCore::Mute() {
  absl::MutexLock lock(&mu_);
  muted_ = true;
  mu_.Await(absl::Condition(this, &SessionCore::CallbackIsAway));
}

void SessionCore::Run(const std::map<uint64_t, std::function<void()>>& hooks) {
  for (const auto& [id, hook] : hooks) hook();
}

}  // namespace client

std::string_view SessionStateName(SessionState state) {
  switch (state) {
    case SessionState::kLive:
      return "live";
    case SessionState::kAtRisk:
      return "at risk";
    case SessionState::kLost:
      return "lost";
  }
  return "unknown";
}

absl::StatusOr<std::unique_ptr<Session>> Session::Open(Client& client, const SessionOptions& options) {
  const Clock& clock = client::Boottime();
  const absl::Time sent_at = clock.Now();
  LeaseId lease = options.lease;
  int64_t ttl_seconds = 0;
  if (lease == 0) {
    KEEL_ASSIGN_OR_RETURN(
        const LeaseGrantResponse granted,
        client.leases().Grant(options.ttl, {}, {.timeout = options.timeout, .cancel = options.cancel}));
    lease = granted.id;
    ttl_seconds = granted.ttl_seconds;
  } else {
    KEEL_ASSIGN_OR_RETURN(const LeaseKeepAliveResponse renewed,
                          client.leases().KeepAliveOnce(lease, {.timeout = options.timeout, .cancel = options.cancel}));
    if (renewed.ttl_seconds <= 0) return absl::NotFoundError("etcdserver: requested lease not found");
    ttl_seconds = renewed.ttl_seconds;
  }
  auto core = std::make_shared<client::SessionCore>(client.core().shared_from_this(), lease, absl::Seconds(ttl_seconds),
                                                    sent_at, options.on_change, clock);
  core->Start();
  return std::unique_ptr<Session>(new Session(std::move(core), options.timeout));
}

Session::Session(std::shared_ptr<client::SessionCore> core, absl::Duration timeout)
    : core_(std::move(core)), timeout_(timeout) {}

Session::~Session() {
  core_->Mute();
  Close().IgnoreError();
}

LeaseId Session::lease() const { return core_->lease(); }

absl::Duration Session::ttl() const { return core_->ttl(); }

SessionState Session::state() const { return core_->state(); }

absl::Duration Session::remaining() const { return core_->remaining(); }

bool Session::WaitUntilLost(absl::Time deadline) { return core_->WaitUntilLost(deadline); }

absl::Status Session::Close() {
  const bool was_alive = core_->state() != SessionState::kLost;
  core_->End();
  if (!was_alive) return absl::OkStatus();  // Gone, or going by itself; or closed before.
  Leases leases(core_->core());
  const absl::Status status = leases.Revoke(core_->lease(), {.timeout = timeout_, .fail_fast = true}).status();
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

void Session::Orphan() { core_->End(); }

}  // namespace keel
