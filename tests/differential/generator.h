#pragma once

// Sequences out of a seed: the same seed gives the same sequences for ever, whatever is played in between.

#include <cstdint>

#include "tests/differential/sequence.h"

namespace keel::differential {

// The `number`-th sequence of `seed`.
Sequence Generate(uint64_t seed, uint64_t number);

}  // namespace keel::differential
