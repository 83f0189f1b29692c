#pragma once

#include <compare>
#include <cstdint>
#include <ostream>

#include "base/strong_int.h"

namespace keel::storage {

KEEL_STRONG_INT(Revision, int64_t);  // The keyspace's version; a fresh one is at 1, every changing entry adds 1.
KEEL_STRONG_INT(LeaseId, int64_t);   // 0: none; may be negative.

// One change inside a revision: the `sub`-th (from 0), in the order the operations ran.
struct ChangeId {
  Revision revision;
  int32_t sub = 0;

  bool exists() const { return revision.value() > 0; }
  friend constexpr auto operator<=>(ChangeId, ChangeId) = default;
};

inline std::ostream& operator<<(std::ostream& os, ChangeId id) { return os << id.revision << "." << id.sub; }

}  // namespace keel::storage
