#pragma once

// Keeps an index file beside a generation's database, so that the next start reads it and the history since, not the
// whole history.
//
// The file is written while everything goes on, a piece per Step(): it holds each entry as it was when its piece came
// by, and the revision R that was current before the first piece. A start loads it and replays the history after R,
// after which every entry is the latest again, whatever it was in the file. Two things would spoil that, and do not
// happen:
//   - the file holds an entry that a crash takes back: the database is flushed after the last piece, before the file
//     gets its name, and the file says which revision must be there;
//   - a tombstone after R has been compacted away, so that replay does not meet it and a deleted key lives again: while
//     there is a file, compaction notes what tombstone it removed of which key, in the same batch ("gone/" in meta).
//     Notes go when a newer file makes them useless; "index" in meta then says which files would miss them.
//
// Owned by whoever compacts: calls must not overlap each other or CompactSlice(). Everything is as if it were not there
// when the medium has no place for files.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/revision.h"
#include "storage/state/index_file.h"
#include "storage/state/record.h"

namespace keel::storage {

class Generation;

class IndexCheckpoint {
 public:
  // `changes_min`: of how many changes the replay is worth a new file, at least; `step_bytes`: of it, in one Step().
  // Generation and disk outlive it.
  struct Options {
    int64_t changes_min;
    size_t step_bytes;
  };
  IndexCheckpoint(Generation* generation, Disk* disk, const Options& options);

  // Fills the generation's empty index from the file, as of the revision returned: what comes after it is to be
  // replayed, from that revision on. nullopt: there is no use in the file, which is gone now.
  absl::StatusOr<std::optional<Revision>> Load();

  // Does a piece of the work when a new file is due. True: more to do. Not OK: the database failed; a disk that takes
  // no file is only logged.
  absl::StatusOr<bool> Step();
  // A new file now, unless the one there is nearly new.
  absl::Status Finish();

  // Must compaction note that it removes this tombstone?
  bool NeedsNote(ChangeId change, const RecordView& tombstone) const;

 private:
  // Notes of tombstones after it are needed; nullopt: none are.
  std::optional<Revision> notes_from() const;
  bool Due() const;
  std::string path() const;
  absl::Status Begin();
  absl::StatusOr<bool> Advance();
  absl::Status DropNotes();
  // Erases from the index the keys that the notes in meta say are gone.
  absl::Status ApplyNotes();

  Generation& generation_;
  Disk* const disk_;
  const Options options_;
  std::optional<Revision> in_force_;  // What the file there is as of.
  Revision in_force_newest_{};        // It holds no later change.

  std::unique_ptr<IndexFileWriter> writer_;  // Null: none is being written.
  Revision writing_{};                       // What that one is as of.
  int64_t changes_at_start_ = 0;
  std::optional<std::string> after_;  // The last key in it.
  bool dropping_notes_ = false;       // Of before the file in force.
};

}  // namespace keel::storage
