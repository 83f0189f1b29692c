#include "benchmarks/keel_bench/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace keel::bench {

// The first 2^kSubBits values have buckets of their own; from there on, each power of two is cut into as many.
int Histogram::BucketOf(uint64_t nanos) {
  if (nanos < (uint64_t{1} << kSubBits)) return static_cast<int>(nanos);
  const int shift = std::bit_width(nanos) - 1 - kSubBits;
  return ((shift + 1) << kSubBits) + static_cast<int>((nanos >> shift) - (uint64_t{1} << kSubBits));
}

uint64_t Histogram::UpperEdge(int bucket) {
  const int group = bucket >> kSubBits;
  const uint64_t sub = static_cast<uint64_t>(bucket) & ((uint64_t{1} << kSubBits) - 1);
  if (group == 0) return sub;
  return ((sub + (uint64_t{1} << kSubBits) + 1) << (group - 1)) - 1;
}

void Histogram::Add(absl::Duration latency) {
  const int64_t nanos = std::max<int64_t>(absl::ToInt64Nanoseconds(latency), 0);
  const int bucket = std::min(BucketOf(static_cast<uint64_t>(nanos)), kBuckets - 1);
  buckets_[bucket].fetch_add(1, std::memory_order_relaxed);
  count_.fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(nanos, std::memory_order_relaxed);
  int64_t seen = max_.load(std::memory_order_relaxed);
  while (nanos > seen && !max_.compare_exchange_weak(seen, nanos, std::memory_order_relaxed)) {
  }
}

absl::Duration Histogram::mean() const {
  const uint64_t n = count();
  return n == 0 ? absl::ZeroDuration()
                : absl::Nanoseconds(sum_.load(std::memory_order_relaxed) / static_cast<int64_t>(n));
}

absl::Duration Histogram::Quantile(double fraction) const {
  const uint64_t n = count();
  if (n == 0) return absl::ZeroDuration();
  const uint64_t rank = std::clamp<uint64_t>(static_cast<uint64_t>(std::ceil(fraction * static_cast<double>(n))), 1, n);
  uint64_t seen = 0;
  for (int i = 0; i < kBuckets; ++i) {
    seen += buckets_[i].load(std::memory_order_relaxed);
    if (seen >= rank) return std::min(absl::Nanoseconds(static_cast<int64_t>(UpperEdge(i))), max());
  }
  return max();
}

}  // namespace keel::bench
