#pragma once

// Reads of the history in the order it was written: for watchers that catch up, and for the hash of the state.

#include <vector>

#include "absl/status/statusor.h"
#include "storage/event.h"
#include "storage/state/generation.h"
#include "storage/state/state_store.h"

namespace keel::storage {

// What an event weighs in a byte limit.
size_t EventBytes(const Event& event);

// As StateStore::History.
absl::StatusOr<std::vector<RevisionEventsPtr>> ReadHistory(const Pin& pin, Revision first, Revision last,
                                                           size_t bytes_max);

// CRC-32C over every logically live record up to `revision` (0: the pin's), in order: revision (8 bytes, big-endian),
// sub (4 bytes, big-endian), 1 for a tombstone or 0, then the bytes of its mvccpb.KeyValue. Left out is what compaction
// removes sooner or later: below the compact revision, tombstones and records replaced or deleted up to it.
absl::StatusOr<HashResult> HashHistory(const Pin& pin, Revision revision);

}  // namespace keel::storage
