#pragma once

// Where code of the application runs that may take its time: callbacks of watches and sessions.

#include <deque>
#include <functional>
#include <thread>

#include "absl/synchronization/mutex.h"

namespace keel::client {

// Thread-safe. First in, first out. A watch posts again only when its last post ran, a session at each of its few
// changes of state, so the queue is bounded by their number.
class CallbackThread {
 public:
  CallbackThread() : thread_([this] { Run(); }) {}
  ~CallbackThread() { Stop(); }

  // False (and dropped) after Stop().
  bool Post(std::function<void()> fn);
  // Runs what was posted before, then ends the thread. Idempotent.
  void Stop();

 private:
  void Run();
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !queue_.empty(); }

  absl::Mutex mu_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace keel::client
