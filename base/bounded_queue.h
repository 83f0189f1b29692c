#pragma once

// A queue between threads that hands over everything that has gathered: one wake-up and one lock per batch, not per
// item. Bounded: TryPush says no when full, so that the producer decides what that means.

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace keel {

// Thread-safe: many producers, one consumer.
template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  // False when full or closed; `item` is then untouched.
  bool TryPush(T&& item) {
    absl::MutexLock lock(&mu_);
    if (closed_ || items_.size() >= capacity_) return false;
    items_.push_back(std::move(item));
    return true;
  }

  // Adds whatever the bound; for messages whose number is bounded elsewhere (one per peer, one per disk write).
  // False when closed.
  bool Push(T&& item) {
    absl::MutexLock lock(&mu_);
    if (closed_) return false;
    items_.push_back(std::move(item));
    return true;
  }

  // Blocks until there is an item, `deadline` has passed (by the real clock), or the queue is closed; then moves
  // everything into `out`, which must be empty. False when closed and empty: the consumer's end.
  bool PopAll(absl::Time deadline, std::vector<T>* out) {
    absl::MutexLock lock(&mu_);
    mu_.AwaitWithDeadline(absl::Condition(this, &BoundedQueue::Ready), deadline);
    out->swap(items_);
    return !(out->empty() && closed_);
  }
  bool PopAll(std::vector<T>* out) { return PopAll(absl::InfiniteFuture(), out); }

  // No more pushes; what is queued can still be popped.
  void Close() {
    absl::MutexLock lock(&mu_);
    closed_ = true;
  }

  size_t size() const {
    absl::MutexLock lock(&mu_);
    return items_.size();
  }

 private:
  bool Ready() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return closed_ || !items_.empty(); }

  const size_t capacity_;
  mutable absl::Mutex mu_;
  std::vector<T> items_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace keel
