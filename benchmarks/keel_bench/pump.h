#pragma once

// Sends requests one after another, or as they become due, and counts what comes of them.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "benchmarks/keel_bench/workload.h"

namespace keel::bench {

using SteadyTime = std::chrono::steady_clock::time_point;

inline SteadyTime Now() { return std::chrono::steady_clock::now(); }

// Counts requests out and results in. Thread-safe.
class Tally {
 public:
  // Its time begins now.
  Tally(const WorkloadOptions& options, WorkloadResult* result);

  // Takes the number of the next request, to be sent at `when`; false when there are enough.
  bool TakeNext(SteadyTime when, uint64_t* number);
  void Count(const absl::Status& status, SteadyTime began);

  uint64_t succeeded() const { return succeeded_.load(std::memory_order_relaxed); }

 private:
  const uint64_t total_;
  SteadyTime until_ = SteadyTime::max();
  std::atomic<uint64_t> next_ = 0;
  std::atomic<uint64_t> succeeded_ = 0;
  absl::Mutex mu_;
  WorkloadResult& result_;
};

struct Request {
  uint64_t number = 0;  // From 0.
  int client = 0;       // Which of the options' clients sends it; each has one request under way at a time.
};

using Done = std::function<void(const absl::Status&)>;
// Sends a request and calls `done` with its outcome.
using Send = std::function<void(const Request& request, Done done)>;

// Returns when all are sent and answered. Without a rate every client sends its next request when the last one is
// answered, on the I/O thread that received the answer: a closed loop. With a rate, requests are sent when they are
// due, whatever became of those before, and their latency counts from then: an open loop. One that is due when all
// clients wait for an answer is sent as soon as one does not.
void Pump(const WorkloadOptions& options, Tally* tally, const Send& send);

}  // namespace keel::bench
