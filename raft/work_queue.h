#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

namespace keel::raft {

// Work on its way to the one thread that does it. The consumer takes everything that has gathered at once and is woken
// only when it sleeps, so a busy one costs its producers no system call. A plain mutex and condition variable, because
// this is on the path of every proposal. Unbounded: what enters is bounded by who produces it, and says so there.
//
// Thread-safe: many producers, one consumer.
template <typename T>
class WorkQueue {
 public:
  // False when closed; the item is then dropped.
  bool Push(T item) {
    bool wake = false;
    {
      std::lock_guard<std::mutex> lock(mu_);
      if (closed_) return false;
      items_.push_back(std::move(item));
      wake = std::exchange(sleeping_, false);
    }
    if (wake) changed_.notify_one();
    return true;
  }

  // Blocks until there is work, then moves all of it into `out`, which must be empty. False when closed; what was
  // queued is then dropped.
  bool PopAll(std::vector<T>* out) {
    std::unique_lock<std::mutex> lock(mu_);
    while (items_.empty() && !closed_) {
      sleeping_ = true;
      changed_.wait(lock);
    }
    sleeping_ = false;
    if (closed_) return false;
    out->swap(items_);
    return true;
  }

  void Close() {
    {
      std::lock_guard<std::mutex> lock(mu_);
      closed_ = true;
    }
    changed_.notify_one();
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  std::vector<T> items_;   // Guarded by mu_.
  bool sleeping_ = false;  // Guarded by mu_.
  bool closed_ = false;    // Guarded by mu_.
};

}  // namespace keel::raft
