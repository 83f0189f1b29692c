#pragma once

// Who differs, from what the members say: the judgement alone, without network or time.

#include <cstdint>
#include <optional>
#include <vector>

#include "storage/state/hash_trail.h"

namespace keel::server {

// What one member says of itself.
struct MemberHashes {
  uint64_t member_id = 0;
  std::vector<storage::HashSample> samples;  // Ascending.
};

struct Verdict {
  uint64_t index = 0;   // Where they were compared; 0: no place that two of them know.
  size_t compared = 0;  // Members that were.
  bool differ = false;
  // Those that differ from a majority of the whole cluster, ascending. Empty although they differ: nobody can tell who
  // is right.
  std::vector<uint64_t> suspects;
};

// At the newest place that most of `members` know; the first of them, who asks, must know it too, since a mere pair of
// others says little. `cluster_members` counts those that did not answer, too.
Verdict CompareHashes(const std::vector<MemberHashes>& members, size_t cluster_members);

}  // namespace keel::server
