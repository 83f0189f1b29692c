#include "benchmarks/keel_bench/key_source.h"

#include <algorithm>

#include "base/random.h"

namespace keel::bench {

KeySource::KeySource(const WorkloadOptions& options)
    : key_size_(options.key_size),
      key_space_(std::max<uint64_t>(options.key_space, 1)),
      seed_(options.seed),
      sequential_(options.sequential) {
  // Bytes that no one can compress.
  Random random(seed_);
  value_.reserve(options.value_size);
  while (value_.size() < options.value_size) value_.push_back(static_cast<char>(random.Below(256)));
}

uint64_t KeySource::IndexAt(uint64_t n, uint64_t space) const {
  if (sequential_) return n % space;
  // splitmix64: one multiplication chain instead of a shared generator with a lock.
  uint64_t index = n + seed_ * 0x9e3779b97f4a7c15;
  index = (index ^ (index >> 30)) * 0xbf58476d1ce4e5b9;
  index = (index ^ (index >> 27)) * 0x94d049bb133111eb;
  return (index ^ (index >> 31)) % space;
}

std::string KeySource::KeyOf(uint64_t index) const {
  // Fixed width, so that sequential keys sort in order. A short key keeps its last digits.
  std::string key(key_size_, '0');
  for (size_t i = key_size_; i > 0 && index > 0; --i, index /= 10) key[i - 1] = static_cast<char>('0' + index % 10);
  return key;
}

std::pair<std::string, std::string> KeySource::RangeAt(uint64_t n, uint64_t count) const {
  const uint64_t keys = std::min(count, key_space_);
  const uint64_t first = IndexAt(n, key_space_ - keys + 1);
  return {KeyOf(first), KeyOf(first + keys)};
}

}  // namespace keel::bench
