#pragma once

// What is done to the servers, and what came of it.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "benchmarks/keel_bench/histogram.h"

namespace keel::bench {

struct WorkloadOptions {
  std::string name = "put";  // put, range, mixed, txn, cas, watch, lease or lock
  std::vector<std::string> endpoints = {"127.0.0.1:2379"};
  int clients = 1;      // Requests in flight, with a rate at most (for lock: sessions that contend).
  double rate = 0;      // Requests a second, sent when they are due; 0: each answer sends the next one.
  int connections = 1;  // TCP connections, spread over the endpoints.
  int io_threads = 1;
  uint64_t total = 10000;  // Requests; 0: until `duration` is over.
  absl::Duration duration = absl::InfiniteDuration();
  absl::Duration timeout = absl::Seconds(30);
  size_t key_size = 16;
  size_t value_size = 256;
  uint64_t key_space = 100000;  // Different keys.
  uint64_t seed = 1;
  bool sequential = false;    // Keys in order rather than at random.
  bool serializable = false;  // range: reads answered by one member.
  int64_t limit = 1;          // range: pairs per read, of neighbouring keys.
  int reads_percent = 50;     // mixed: how many of the requests are linearizable reads.
  int txn_ops = 1;            // txn: puts per transaction, beside one comparison.
  int watchers = 1;           // watch: that all see every put.
  int locks = 1;              // lock: names to contend for.
};

struct WorkloadResult {
  uint64_t requests = 0;  // Succeeded. For watch: puts; `events` counts deliveries.
  uint64_t events = 0;
  std::map<std::string, uint64_t> errors;  // By code.
  absl::Duration elapsed = absl::ZeroDuration();
  // Of a request; for watch: from sending a put to its delivery. With a rate it counts from when the request was due,
  // so that a server which stalls is charged for the requests that it kept from being sent.
  Histogram latency;
};

// Runs it to the end. `about_to_start` is called when everything is connected, `ended` right after the last answer.
absl::Status RunWorkload(const WorkloadOptions& options, const std::function<void()>& about_to_start,
                         const std::function<void()>& ended, WorkloadResult* result);

}  // namespace keel::bench
