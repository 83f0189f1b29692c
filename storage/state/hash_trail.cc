#include "storage/state/hash_trail.h"

#include "base/crc32c.h"

namespace keel::storage {

void RunningHash::Add(char kind, std::string_view first, std::string_view second) {
  const uint32_t crc = ExtendCrc32c(ExtendCrc32c(0, first), second);
  // The sizes keep ("ab", "c") and ("a", "bc") apart; two multiplications spread every bit over all others.
  uint64_t word = (static_cast<uint64_t>(crc) << 32) ^ (static_cast<uint64_t>(first.size()) << 8) ^
                  (static_cast<uint64_t>(second.size()) << 20) ^ static_cast<uint8_t>(kind);
  word *= 0x9e3779b97f4a7c15u;
  uint64_t mixed = (value_ ^ word ^ (word >> 29)) * 0xbf58476d1ce4e5b9u;
  mixed ^= mixed >> 32;
  value_ = mixed * 0x94d049bb133111ebu;
}

void HashTrail::Extend(const std::vector<HashSample>& samples, HashSample current) {
  absl::MutexLock lock(&mu_);
  places_.insert(places_.end(), samples.begin(), samples.end());
  while (places_.size() > kKept) places_.pop_front();
  current_ = current;
}

std::vector<HashSample> HashTrail::Samples() const {
  absl::MutexLock lock(&mu_);
  std::vector<HashSample> samples(places_.begin(), places_.end());
  if (samples.empty() || samples.back().index != current_.index) samples.push_back(current_);
  return samples;
}

}  // namespace keel::storage
