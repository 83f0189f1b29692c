#include "client/src/patience.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace keel::client {
namespace {

constexpr absl::Duration kPause = absl::Milliseconds(50);

}  // namespace

Patience::Patience(Client& client, std::shared_ptr<SessionCore> session, std::string_view recipe)
    : client_(client), session_(std::move(session)), recipe_(recipe) {}

void Patience::Begin() {
  absl::MutexLock lock(&mu_);
  called_off_ = false;
}

void Patience::CallOff() {
  absl::MutexLock lock(&mu_);
  called_off_ = true;
  for (Watcher* watcher : waiting_on_) watcher->Cancel();
}

bool Patience::called_off() const {
  absl::MutexLock lock(&mu_);
  return called_off_;
}

absl::StatusOr<absl::Duration> Patience::AttemptTimeout(absl::Time deadline) const {
  if (called_off()) return CalledOff();
  if (session_lost()) return Expired();
  const absl::Duration left = deadline - absl::Now();
  if (left <= absl::ZeroDuration()) return TooLate();
  const absl::Duration timeout = std::min(left, client_.core().options().timeout);
  // No attempt outlives the session, so that its loss is noticed.
  return session_ == nullptr ? timeout : std::min(timeout, session_->remaining() + absl::Milliseconds(10));
}

absl::Status Patience::Pause(absl::Time deadline) {
  absl::MutexLock lock(&mu_);
  // A session that is lost meanwhile is noticed by the next attempt.
  mu_.AwaitWithDeadline(absl::Condition(this, &Patience::IsCalledOff), std::min(deadline, absl::Now() + kPause));
  return called_off_ ? CalledOff() : absl::OkStatus();
}

absl::StatusOr<TxnResponse> Patience::TryCommit(const Txn& txn, absl::Time deadline) {
  return Try(deadline, [&](const CallOptions& call) { return client_.kv().Commit(txn, call); });
}

absl::StatusOr<RangeResponse> Patience::TryGet(std::string_view key, const RangeOptions& options, absl::Time deadline) {
  return Try(deadline, [&](const CallOptions& call) { return client_.kv().Get(key, options, call); });
}

absl::StatusOr<WatchResponse> Patience::AwaitChange(std::string_view key, const WatchOptions& options,
                                                    absl::Time deadline,
                                                    const std::function<bool(const WatchResponse&)>& counts) {
  const std::unique_ptr<Watcher> watcher = client_.Watch(key, options);
  {
    absl::MutexLock lock(&mu_);
    if (called_off_) return CalledOff();
    waiting_on_.insert(watcher.get());
  }
  // Shared: the hook may be running still when it is removed.
  struct Hooked {
    absl::Mutex mu;
    Watcher* watcher;
  };
  auto hooked = std::make_shared<Hooked>();
  hooked->watcher = watcher.get();
  uint64_t hook = 0;
  if (session_ != nullptr) {
    hook = session_->AddLossHook([hooked] {
      absl::MutexLock lock(&hooked->mu);
      if (hooked->watcher != nullptr) hooked->watcher->Cancel();
    });
  }
  absl::StatusOr<WatchResponse> next = watcher->Next(deadline);
  while (next.ok() && !next->events.empty() && !counts(*next)) next = watcher->Next(deadline);
  if (hook != 0) session_->RemoveLossHook(hook);
  {
    absl::MutexLock lock(&hooked->mu);
    hooked->watcher = nullptr;
  }
  absl::MutexLock lock(&mu_);
  waiting_on_.erase(watcher.get());
  if (called_off_) return CalledOff();
  if (session_lost()) return Expired();
  if (absl::IsOutOfRange(next.status())) return WatchResponse{};  // Compacted.
  if (absl::IsDeadlineExceeded(next.status())) return TooLate();
  return next;
}

absl::Status Patience::Expired() const {
  return absl::FailedPreconditionError(absl::StrCat(recipe_, ": session is expired"));
}

absl::Status Patience::TooLate() const { return absl::DeadlineExceededError(absl::StrCat(recipe_, ": not in time")); }

absl::Status Patience::CalledOff() const { return absl::CancelledError(absl::StrCat(recipe_, ": given up")); }

absl::Status Patience::NoAnswerFits() const {
  return absl::InternalError(absl::StrCat(recipe_, ": the server's answer does not fit the transaction"));
}

}  // namespace keel::client
