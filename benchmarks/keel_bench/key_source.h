#pragma once

// The keys and values of a run: the same for the same seed.

#include <atomic>
#include <cstdint>
#include <string>

#include "benchmarks/keel_bench/workload.h"

namespace keel::bench {

// Thread-safe.
class KeySource {
 public:
  explicit KeySource(const WorkloadOptions& options);

  // The key of the n-th request: in order, or by a permutation-like hash of n.
  std::string KeyAt(uint64_t n) const;
  const std::string& value() const { return value_; }

 private:
  const size_t key_size_;
  const uint64_t key_space_;
  const uint64_t seed_;
  const bool sequential_;
  std::string value_;
};

}  // namespace keel::bench
