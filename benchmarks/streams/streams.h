#pragma once

// Many watchers and many renewals on few connections, as other clients of the protocol send them: all watchers of a
// connection on one stream. The client library of this tree opens a stream for each watcher, which would measure that.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "benchmarks/keel_bench/histogram.h"
#include "benchmarks/streams/raw_stream.h"
#include "proto/etcdserver_watch.pb.h"

namespace keel::bench {

// `count` watchers on `connections` streams, each on a connection of its own, to the endpoints in turn; all read by one
// thread. Thread-safe.
class Watchers {
 public:
  // Returns when all are confirmed, at the latest after a minute. `request` fills the one with this number.
  static absl::StatusOr<std::unique_ptr<Watchers>> Open(
      const std::vector<std::string>& endpoints, int connections, int count,
      const std::function<void(int, etcdserverpb::WatchCreateRequest*)>& request);
  ~Watchers();

  // Received by all of them so far.
  uint64_t events() const { return events_.load(std::memory_order_relaxed); }
  uint64_t responses() const { return responses_.load(std::memory_order_relaxed); }

 private:
  void Run();

  std::vector<std::unique_ptr<RawStream>> streams_;  // The thread's.
  std::atomic<uint64_t> created_{0};
  std::atomic<uint64_t> events_{0};
  std::atomic<uint64_t> responses_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Renews the leases 1 to `leases` in turn, so many a second, a hundred at a time as a crowd of clients would, from its
// construction to its end. Thread-safe.
class Renewals {
 public:
  static absl::StatusOr<std::unique_ptr<Renewals>> Start(const std::string& endpoint, int connections, int leases,
                                                         int per_second);
  ~Renewals();

  uint64_t answered() const { return answered_.load(std::memory_order_relaxed); }
  uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }  // Answers that say the lease is gone.

 private:
  void Run(int leases, absl::Duration interval);

  std::vector<std::unique_ptr<RawStream>> streams_;  // The thread's.
  std::atomic<uint64_t> answered_{0};
  std::atomic<uint64_t> lost_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

struct RenewalLoopResult {
  uint64_t answered = 0;
  uint64_t lost = 0;  // Answers that say the lease is gone.
  absl::Duration elapsed = absl::ZeroDuration();
};

// Renews the leases 1 to `leases`, each again as soon as its last renewal is answered, for `duration`; on so many
// connections, to the endpoints in turn. `took` gets the time of each. Blocks.
absl::StatusOr<RenewalLoopResult> RenewInALoop(const std::vector<std::string>& endpoints, int connections, int leases,
                                               absl::Duration duration, Histogram* took);

}  // namespace keel::bench
