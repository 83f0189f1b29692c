#pragma once

// Makes a sequence smaller for as long as it still shows a difference.

#include <cstddef>
#include <functional>

#include "tests/differential/sequence.h"

namespace keel::differential {

// True: the sequence still shows it.
using Shows = std::function<bool(const Sequence&)>;

// First whole steps go, in halves, quarters and so on down to single ones, then parts of messages: fields, elements.
// REQUIRES: shows(sequence). Calls `shows` at most `tries_max` times, and returns what is smallest by then.
Sequence Shrink(Sequence sequence, const Shows& shows, size_t tries_max);

}  // namespace keel::differential
