#include "base/random.h"

#include <random>

#include "base/check.h"

namespace keel {
namespace {

uint64_t SplitMix(uint64_t& x) {
  x += 0x9e3779b97f4a7c15;
  uint64_t z = x;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

uint64_t Rotate(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

}  // namespace

Random::Random(uint64_t seed) {
  for (uint64_t& word : state_) word = SplitMix(seed);
}

uint64_t Random::Next() {
  const uint64_t result = Rotate(state_[1] * 5, 7) * 9;
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = Rotate(state_[3], 45);
  return result;
}

uint64_t Random::Below(uint64_t bound) {
  KEEL_CHECK_GT(bound, 0u);
  // Rejects the few values that would make the low results likelier.
  const uint64_t threshold = -bound % bound;
  while (true) {
    const uint64_t x = Next();
    if (x >= threshold) return x % bound;
  }
}

int64_t Random::Between(int64_t first, int64_t last) {
  KEEL_CHECK_LE(first, last);
  return first + static_cast<int64_t>(Below(static_cast<uint64_t>(last - first) + 1));
}

bool Random::Chance(double p) { return static_cast<double>(Next() >> 11) * 0x1.0p-53 < p; }

uint64_t Random::EntropySeed() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) | device();
}

}  // namespace keel
