#pragma once

// The keys and values of a run: the same for the same seed.

#include <cstdint>
#include <string>
#include <utility>

#include "benchmarks/keel_bench/workload.h"

namespace keel::bench {

// Thread-safe.
class KeySource {
 public:
  explicit KeySource(const WorkloadOptions& options);

  // The key of the n-th request: in order, or by a permutation-like hash of n.
  std::string KeyAt(uint64_t n) const { return KeyOf(IndexAt(n, key_space_)); }
  // The first key and the end of so many neighbouring keys, where the n-th request begins; fewer if there are not so
  // many.
  std::pair<std::string, std::string> RangeAt(uint64_t n, uint64_t count) const;
  const std::string& value() const { return value_; }

 private:
  // Below `space`.
  uint64_t IndexAt(uint64_t n, uint64_t space) const;
  std::string KeyOf(uint64_t index) const;

  const size_t key_size_;
  const uint64_t key_space_;
  const uint64_t seed_;
  const bool sequential_;
  std::string value_;
};

}  // namespace keel::bench
