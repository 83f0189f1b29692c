#pragma once

// Where a record stands in the chain of its key's records, and shortcuts down that chain: what makes a read at an old
// revision of a key that was written a million times take some dozens of steps.

#include <array>
#include <cstddef>
#include <cstdint>

#include "storage/revision.h"

namespace keel::storage {

struct Lineage {
  // shortcuts[level] leads to the newest record before this one whose depth is a positive multiple of SpanOf(level).
  static constexpr size_t kLevels = 4;
  static constexpr uint64_t SpanOf(size_t level) { return uint64_t{16} << (4 * level); }

  uint64_t depth = 0;  // Records of the key before this one.
  std::array<ChangeId, kLevels> shortcuts{};

  // How many shortcuts a record at `depth` has: there is one for each level whose span it has passed.
  static constexpr size_t LevelsAt(uint64_t depth) {
    size_t levels = 0;
    while (levels < kLevels && depth > SpanOf(levels)) ++levels;
    return levels;
  }
  size_t levels() const { return LevelsAt(depth); }

  // Of the record that follows the one at `change`, whose lineage this is.
  Lineage Next(ChangeId change) const {
    Lineage next = *this;
    ++next.depth;
    for (size_t level = 0; level < kLevels; ++level) {
      if (depth > 0 && depth % SpanOf(level) == 0) next.shortcuts[level] = change;
    }
    return next;
  }

  friend bool operator==(const Lineage&, const Lineage&) = default;
};

}  // namespace keel::storage
