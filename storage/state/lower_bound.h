#pragma once

#include <cstddef>

namespace keel::storage {

// How many of the `n` elements from `first` on are `below`; those come first. Its steps do not branch on what they
// find: where a search ends is not to be predicted, and half of the guesses would cost more than the step.
template <typename T, typename Below>
size_t LowerBound(const T* first, size_t n, Below below) {
  if (n == 0) return 0;
  const T* at = first;
  while (n > 1) {
    const size_t half = n / 2;
    at = below(at[half - 1]) ? at + half : at;
    n -= half;
  }
  return static_cast<size_t>(at - first) + (below(*at) ? 1 : 0);
}

}  // namespace keel::storage
