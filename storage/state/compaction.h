#pragma once

// The physical side of compaction. Compact in the log moves the floor below which nobody may read; this removes, later
// and in slices, what can then never be shown again, up to a floor F:
//   - a record below F that was replaced or deleted by one at or below F,
//   - a tombstone below F, and its key's entry in the index if nothing came after it.
// Everything of revision F itself stays, so that a watch from F sees that revision whole. What is done is remembered
// beside the data, in the same batch as the removals; repeating a slice after a crash is harmless.

#include <cstdint>

#include "absl/status/statusor.h"
#include "storage/state/generation.h"

namespace keel::storage {

// Looks at up to `records_max` further records. True: there is more to do, perhaps only once a view lets go.
// `removed` grows by how many were removed.
absl::StatusOr<bool> CompactSlice(Generation* generation, int64_t records_max, int64_t* removed);

}  // namespace keel::storage
