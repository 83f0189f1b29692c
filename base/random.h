#pragma once

// Seeded randomness: the same seed gives the same sequence on every machine and compiler (xoshiro256**, seeded by
// splitmix64; both public domain algorithms by Blackman and Vigna). Not for secrets.

#include <array>
#include <cstdint>

namespace keel {

// Owned by one thread.
class Random {
 public:
  explicit Random(uint64_t seed);

  uint64_t Next();
  // Uniform in [0, bound). REQUIRES: bound > 0.
  uint64_t Below(uint64_t bound);
  // Uniform in [first, last], both inclusive. REQUIRES: first <= last.
  int64_t Between(int64_t first, int64_t last);
  // True with probability `p`.
  bool Chance(double p);

  // A seed from the machine's entropy, for those that may differ from run to run.
  static uint64_t EntropySeed();

 private:
  std::array<uint64_t, 4> state_;
};

}  // namespace keel
