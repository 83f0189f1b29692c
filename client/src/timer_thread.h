#pragma once

// Functions to run at a time, on one thread.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/time/time.h"

namespace keel::client {

// Thread-safe. Functions run one at a time and must not block: renewals of leases wait behind them. Their number is
// bounded by the calls, watches and sessions in flight, each of which has at most two.
class TimerThread {
 public:
  enum class Outcome { kFired, kStopped };
  using Function = std::function<void(Outcome)>;
  using Id = std::pair<std::chrono::steady_clock::time_point, uint64_t>;

  TimerThread();
  ~TimerThread();

  // Runs `fn` after `delay`; at once and on the calling thread, with kStopped, if Stop() was called before.
  Id Schedule(absl::Duration delay, Function fn);
  // True if `fn` will not run. False if it has run, or runs now. Either way it is dropped soon.
  bool Cancel(const Id& id);
  // Runs what is pending with kStopped, then ends the thread. Idempotent.
  void Stop();

 private:
  void Run();

  std::mutex mu_;  // Not absl::Mutex: its timed waits follow the wall clock.
  std::condition_variable wake_;
  std::map<Id, Function> pending_;
  uint64_t next_id_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace keel::client
