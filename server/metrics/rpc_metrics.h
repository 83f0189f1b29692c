#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/metrics.h"
#include "server/metrics/registry.h"
#include "server/metrics/two_names.h"

namespace keel::server {

struct RpcMethod;

// RPCs by service, method and code: every one of the catalogue from the start, at 0, so that rate() and absent() work.
// Those outside it are only counted as in progress. Thread-safe; recording costs a lookup and an atomic add.
class RpcMetrics {
 public:
  // `ranges` counts those that have been read; both outlive this.
  RpcMetrics(MetricRegistry* registry, MetricsDetail detail, TwoNames* ranges);

  void Started(std::string_view service, std::string_view method, RpcKind kind);
  void Received(std::string_view service, std::string_view method, size_t bytes);
  void Sent(std::string_view service, std::string_view method, size_t bytes);
  void Handled(std::string_view service, std::string_view method, RpcKind kind, absl::StatusCode code,
               absl::Duration took);

  // Unary ones.
  int64_t in_progress() const { return in_progress_.load(std::memory_order_acquire); }

 private:
  static constexpr size_t kCodes = 17;
  using ByOutcome = std::array<prometheus::Histogram*, 2>;

  struct Rpc {
    prometheus::Counter* started = nullptr;
    prometheus::Counter* received = nullptr;
    prometheus::Counter* sent = nullptr;
    prometheus::Histogram* seconds = nullptr;  // Extensive only: it costs a lock.
    ByOutcome requests{};                      // The same by outcome, under another name.
    ByOutcome range{};                         // Of Range.
    // Of what is called now and then, and takes its time.
    prometheus::Histogram* occasional = nullptr;
    prometheus::Gauge* in_flight = nullptr;
    std::array<prometheus::Counter*, kCodes> handled{};
  };

  void Add(const RpcMethod& method, MetricsDetail detail);
  void AddOccasionalTimes();
  void AddRequestTimes();
  const Rpc* Find(std::string_view service, std::string_view method) const;

  MetricRegistry& registry_;
  TwoNames& ranges_;
  prometheus::Family<prometheus::Counter>& started_;
  prometheus::Family<prometheus::Counter>& handled_;
  prometheus::Family<prometheus::Counter>& received_;
  prometheus::Family<prometheus::Counter>& sent_;
  prometheus::Family<prometheus::Histogram>& seconds_;
  prometheus::Family<prometheus::Histogram>& request_seconds_;
  prometheus::Family<prometheus::Histogram>& range_seconds_;
  prometheus::Counter& client_received_;
  prometheus::Counter& client_sent_;
  prometheus::Counter& proposals_failed_;
  absl::flat_hash_map<std::pair<absl::string_view, absl::string_view>, Rpc> rpcs_;  // Fixed after construction.
  std::atomic<int64_t> in_progress_{0};
};

}  // namespace keel::server
