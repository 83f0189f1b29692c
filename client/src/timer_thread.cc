#include "client/src/timer_thread.h"

#include <algorithm>

namespace keel::client {

TimerThread::TimerThread() : thread_([this] { Run(); }) {}

TimerThread::~TimerThread() { Stop(); }

TimerThread::Id TimerThread::Schedule(absl::Duration delay, Function fn) {
  const auto at = std::chrono::steady_clock::now() +
                  absl::ToChronoNanoseconds(std::clamp(delay, absl::ZeroDuration(), absl::Hours(24 * 365)));
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (!stopping_) {
      const Id id(at, ++next_id_);
      const bool is_first = pending_.empty() || id < pending_.begin()->first;
      pending_.emplace(id, std::move(fn));
      if (is_first) wake_.notify_one();
      return id;
    }
  }
  fn(Outcome::kStopped);
  return Id{};
}

bool TimerThread::Cancel(const Id& id) {
  Function dropped;  // Destroyed after the lock is released: it may own what reaches back to us.
  std::lock_guard<std::mutex> lock(mu_);
  auto it = pending_.find(id);
  if (it == pending_.end()) return false;
  dropped = std::move(it->second);
  pending_.erase(it);
  return true;
}

void TimerThread::Stop() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    stopping_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void TimerThread::Run() {
  std::unique_lock<std::mutex> lock(mu_);
  while (true) {
    if (pending_.empty()) {
      if (stopping_) return;
      wake_.wait(lock);
      continue;
    }
    auto first = pending_.begin();
    if (!stopping_ && first->first.first > std::chrono::steady_clock::now()) {
      const auto until = first->first.first;
      wake_.wait_until(lock, until);
      continue;
    }
    Function fn = std::move(first->second);
    pending_.erase(first);
    const Outcome outcome = stopping_ ? Outcome::kStopped : Outcome::kFired;
    lock.unlock();
    fn(outcome);
    fn = nullptr;
    lock.lock();
  }
}

}  // namespace keel::client
