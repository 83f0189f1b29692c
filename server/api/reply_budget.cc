#include "server/api/reply_budget.h"

#include <algorithm>
#include <utility>

namespace keel::server {
namespace {

// Shares grow in steps, so that a long reply asks seldom.
constexpr size_t kStepBytes = 256u << 10;
// The least worth waiting for.
constexpr size_t kWaitBytesMin = 1u << 20;

absl::Status Stopped() { return absl::UnavailableError("etcdserver: server stopped"); }

}  // namespace

ReplyShare::~ReplyShare() { Shrink(0); }

bool ReplyShare::Grow(size_t bytes) {
  refusal_ = Refusal::kNone;
  if (bytes <= bytes_ || bytes <= ReplyBudget::kUncountedBytes) return true;
  const size_t largest = budget_->options().request_bytes;
  if (bytes > largest) {
    refusal_ = Refusal::kTooLarge;
    return false;
  }
  const size_t target = std::min((bytes + kStepBytes - 1) / kStepBytes * kStepBytes, largest);
  if (!budget_->TryTake(target - bytes_)) {
    refusal_ = Refusal::kNotNow;
    wanted_ = std::clamp(2 * bytes, std::min(kWaitBytesMin, largest), largest);
    return false;
  }
  bytes_ = target;
  return true;
}

void ReplyShare::GrowAnyway(size_t bytes) {
  if (bytes <= bytes_) return;
  budget_->TakeAnyway(bytes - bytes_);
  bytes_ = bytes;
}

void ReplyShare::Shrink(size_t bytes) {
  if (bytes >= bytes_) return;
  budget_->Return(bytes_ - bytes);
  bytes_ = bytes;
}

std::shared_ptr<ReplyShare> ReplyBudget::NewShare() {
  return std::shared_ptr<ReplyShare>(new ReplyShare(shared_from_this(), 0));
}

void ReplyBudget::Acquire(size_t bytes, const Call& call, Granted granted) {
  bytes = std::min(bytes, options_.request_bytes);
  bool stopped;
  {
    absl::MutexLock lock(&mu_);
    stopped = stopped_;
    if (!stopped && (!waits_.empty() || !Fits(bytes))) {
      ++counted_.waits;
      waits_.push_back({.bytes = bytes, .call = call, .granted = std::move(granted)});
      return;
    }
    if (!stopped) Take(bytes);
  }
  if (stopped) return granted(Stopped());
  granted(std::shared_ptr<ReplyShare>(new ReplyShare(shared_from_this(), bytes)));
}

void ReplyBudget::Expire(absl::Time now) {
  Waits gone;
  Waits ready;
  {
    absl::MutexLock lock(&mu_);
    for (auto it = waits_.begin(); it != waits_.end();) {
      const auto wait = it++;
      if (wait->call.is_cancelled() || now >= wait->call.deadline) gone.splice(gone.end(), waits_, wait);
    }
    if (!gone.empty()) TakeTurns(&ready);  // Whoever stood behind one of them may not need to wait.
    for (const Wait& wait : gone) counted_.overloads += wait.call.is_cancelled() ? 0 : 1;
  }
  for (Wait& wait : gone) {
    wait.granted(wait.call.is_cancelled() ? absl::CancelledError("context canceled")
                                          : absl::ResourceExhaustedError("etcdserver: too many requests"));
  }
  Grant(std::move(ready));
}

void ReplyBudget::Stop() {
  Waits gone;
  {
    absl::MutexLock lock(&mu_);
    stopped_ = true;
    gone.swap(waits_);
  }
  for (Wait& wait : gone) wait.granted(Stopped());
}

ReplyBudget::Stats ReplyBudget::stats() const {
  absl::MutexLock lock(&mu_);
  Stats stats = counted_;
  stats.in_use_bytes = in_use_;
  stats.waiting = waits_.size();
  return stats;
}

bool ReplyBudget::TryTake(size_t bytes) {
  absl::MutexLock lock(&mu_);
  if (!waits_.empty() || !Fits(bytes)) return false;
  Take(bytes);
  return true;
}

void ReplyBudget::TakeAnyway(size_t bytes) {
  absl::MutexLock lock(&mu_);
  Take(bytes);
}

void ReplyBudget::Return(size_t bytes) {
  Waits ready;
  {
    absl::MutexLock lock(&mu_);
    in_use_ -= bytes;
    TakeTurns(&ready);
  }
  Grant(std::move(ready));
}

void ReplyBudget::CountTooLarge() {
  absl::MutexLock lock(&mu_);
  ++counted_.too_large;
}

void ReplyBudget::Take(size_t bytes) {
  in_use_ += bytes;
  counted_.in_use_bytes_max = std::max(counted_.in_use_bytes_max, in_use_);
}

void ReplyBudget::TakeTurns(Waits* ready) {
  while (!waits_.empty() && Fits(waits_.front().bytes)) {
    Take(waits_.front().bytes);
    ready->splice(ready->end(), waits_, waits_.begin());
  }
}

void ReplyBudget::Grant(Waits ready) {
  for (Wait& wait : ready) {
    wait.granted(std::shared_ptr<ReplyShare>(new ReplyShare(shared_from_this(), wait.bytes)));
  }
}

}  // namespace keel::server
