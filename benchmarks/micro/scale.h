#pragma once

#include <cstdint>
#include <cstdlib>

namespace keel::bench {

// How much there is to be: `full`, or just a `blink` where nobody wants to know how fast it is, only that it works.
inline int64_t Scaled(int64_t full, int64_t blink) {
  return std::getenv("KEEL_BENCHMARK_BLINK") == nullptr ? full : blink;
}

}  // namespace keel::bench
