#pragma once

// The disk, as the shell needs it. storage/log implements it; simulation has its own.

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "raft/core.h"
#include "raft/entry.h"
#include "raft/types.h"

namespace keel::raft {

// What one sync makes durable together.
struct StableBatch {
  std::optional<HardState> hard_state;
  std::vector<Entry> entries;  // As AppendWork::entries.
};

class StableStore {
 public:
  virtual ~StableStore() = default;

  // Writes and syncs; when it returns OK the batch survives a crash. An error is final: the caller ends the process,
  // since what the disk holds is unknown after a failed sync. Called by one thread at a time (the log writer).
  virtual absl::Status Append(const StableBatch& batch) = 0;

  // Entries [first, last], in order, stopping before `bytes_max` is exceeded but never before the first entry.
  // kNotFound: `first` has been truncated away. kDataLoss: damage. Thread-safe, may overlap Append.
  virtual absl::StatusOr<std::vector<Entry>> Read(Index first, Index last, size_t bytes_max) const = 0;

  // How much the entries after `index` take on disk. Thread-safe.
  virtual uint64_t BytesAfter(Index index) const = 0;

  // Forgets entries up to and including `through`; the space is freed in whole segments, so more may remain readable.
  // REQUIRES: the state machine holds them durably. By the log writer.
  virtual absl::Status TruncatePrefix(Index through) = 0;

  // After a snapshot install: the log becomes empty and continues after `last`; term and vote stay. Durable when it
  // returns. By the log writer.
  virtual absl::Status ResetTo(EntryId last) = 0;
};

}  // namespace keel::raft
