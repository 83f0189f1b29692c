#pragma once

// Latencies, counted in buckets.

#include <array>
#include <atomic>
#include <cstdint>

#include "absl/time/time.h"

namespace keel::bench {

// Thread-safe and lock-free. A bucket is at most 1/64 of its value wide, so a quantile is exact to 1.6 %.
class Histogram {
 public:
  void Add(absl::Duration latency);

  uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  absl::Duration max() const { return absl::Nanoseconds(max_.load(std::memory_order_relaxed)); }
  absl::Duration mean() const;
  // The latency that `fraction` of the samples do not exceed (to the upper edge of its bucket). Zero without samples.
  absl::Duration Quantile(double fraction) const;

 private:
  static constexpr int kSubBits = 6;
  static constexpr int kBuckets = (64 - kSubBits) << kSubBits;
  static int BucketOf(uint64_t nanos);
  static uint64_t UpperEdge(int bucket);

  std::array<std::atomic<uint64_t>, kBuckets> buckets_ = {};
  std::atomic<uint64_t> count_ = 0;
  std::atomic<int64_t> sum_ = 0;
  std::atomic<int64_t> max_ = 0;
};

}  // namespace keel::bench
