#include "storage/state/index_checkpoint.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/status_macros.h"
#include "storage/state/generation.h"

namespace keel::storage {
namespace {

constexpr char kFileName[] = "index";
// Of the file, under one lock of the index: some ten microseconds.
constexpr size_t kLockedBytes = 32u << 10;
constexpr int kNotesPerStep = 10000;
// At the end, what would take less than a tenth of a second to replay is left to the next start.
constexpr int64_t kFewChanges = 100000;

}  // namespace

IndexCheckpoint::IndexCheckpoint(Generation* generation, Disk* disk, const Options& options)
    : generation_(*generation), disk_(disk), options_(options) {}

std::string IndexCheckpoint::path() const { return generation_.dir() + "/" + kFileName; }

std::optional<Revision> IndexCheckpoint::notes_from() const {
  if (in_force_.has_value()) return in_force_;
  if (writer_ != nullptr) return writing_;
  return std::nullopt;
}

bool IndexCheckpoint::NeedsNote(ChangeId change, const RecordView& tombstone) const {
  const std::optional<Revision> from = notes_from();
  if (!from.has_value() || change.revision <= *from) return false;
  // A key that came and went after the file was complete is not in it.
  const bool never_in_it =
      writer_ == nullptr && tombstone.lineage.depth == 1 && tombstone.previous.revision > in_force_newest_;
  return !never_in_it;
}

absl::StatusOr<std::optional<Revision>> IndexCheckpoint::Load() {
  if (disk_ == nullptr) return std::nullopt;
  KEEL_ASSIGN_OR_RETURN(const std::optional<std::string> needed, generation_.engine().GetMeta(kIndexKey));
  const std::optional<uint64_t> at_least = needed.has_value() ? DecodeNumber(*needed) : 0;
  ChangeId compacted;
  {
    absl::MutexLock lock(&generation_.compaction_mu);
    compacted = generation_.compaction.next;
  }
  absl::Status status;
  {
    absl::MutexLock lock(&generation_.mu);
    PublishedState& state = generation_.published;
    KeyIndex::Loader loader(&state.index, compacted);
    absl::StatusOr<LoadedIndexFile> loaded = LoadIndexFile(disk_, path(), &loader);
    status = loaded.status();
    if (status.ok() && (!at_least.has_value() || loaded->revision.value() < static_cast<int64_t>(*at_least) ||
                        loaded->newest > state.point.current)) {
      status = absl::FailedPreconditionError(path() + " is not of this state");
      state.index.Clear();
    }
    if (status.ok()) {
      in_force_ = loaded->revision;
      in_force_newest_ = loaded->newest;
      // A tombstone that compaction has passed since: its record is gone, and so must it be.
      for (const KeyIndex::Loader::Tombstone& old : loader.old_tombstones()) {
        const absl::Status there = generation_.engine().GetRecord(old.change, Caching::kBypass).status();
        if (absl::IsNotFound(there)) {
          state.index.Erase(old.key, old.change);
        } else {
          KEEL_RETURN_IF_ERROR(there);
        }
      }
    }
  }
  if (status.ok()) {
    KEEL_RETURN_IF_ERROR(ApplyNotes());
    dropping_notes_ = true;  // A crash may have left some that this file does not need.
    return in_force_;
  }
  if (!absl::IsNotFound(status)) {
    KEEL_LOG_WARN("the index is rebuilt from the history", {{"dir", generation_.dir()}, {"reason", status}});
    disk_->Remove(path()).IgnoreError();
  }
  // Without a file nothing is noted, so none from before may be used again.
  const std::unique_ptr<EngineBatch> batch = generation_.engine().NewBatch();
  absl::MutexLock lock(&generation_.mu);
  batch->PutMeta(kIndexKey, EncodeNumber(static_cast<uint64_t>(generation_.published.point.current.value())));
  KEEL_RETURN_IF_ERROR(generation_.engine().Write(batch.get()));
  dropping_notes_ = true;
  return std::nullopt;
}

absl::Status IndexCheckpoint::ApplyNotes() {
  absl::MutexLock lock(&generation_.mu);
  auto it = generation_.engine().MetaIterator();
  for (it->Seek(kGonePrefix); it->Valid() && it->key().starts_with(kGonePrefix); it->Next()) {
    const std::optional<ChangeId> tombstone = DecodeChange(it->value());
    if (!tombstone.has_value()) return absl::DataLossError("state: a note of compaction is damaged");
    const std::string_view key = it->key().substr(kGonePrefix.size());
    const std::optional<IndexEntry> entry = generation_.published.index.Find(key);
    if (entry.has_value() && entry->mod <= *tombstone) generation_.published.index.Erase(key, entry->mod);
  }
  return it->status("scan of the notes of compaction");
}

absl::Status IndexCheckpoint::DropNotes() {
  const std::unique_ptr<EngineBatch> batch = generation_.engine().NewBatch();
  if (in_force_.has_value()) {
    batch->PutMeta(kIndexKey, EncodeNumber(static_cast<uint64_t>(in_force_->value())));
  }
  int dropped = 0;
  bool more = false;
  auto it = generation_.engine().MetaIterator();
  for (it->Seek(kGonePrefix); it->Valid() && it->key().starts_with(kGonePrefix); it->Next()) {
    const std::optional<ChangeId> tombstone = DecodeChange(it->value());
    if (!tombstone.has_value()) return absl::DataLossError("state: a note of compaction is damaged");
    const std::optional<Revision> from = notes_from();
    if (from.has_value() && tombstone->revision > *from) continue;
    more = dropped == kNotesPerStep;
    if (more) break;
    batch->DeleteMeta(it->key());
    ++dropped;
  }
  KEEL_RETURN_IF_ERROR(it->status("scan of the notes of compaction"));
  it.reset();
  KEEL_RETURN_IF_ERROR(generation_.engine().Write(batch.get()));
  dropping_notes_ = more;
  return absl::OkStatus();
}

bool IndexCheckpoint::Due() const {
  absl::ReaderMutexLock lock(&generation_.mu);
  // A quarter of the keys costs about as much to replay as all of them to write.
  const auto keys = static_cast<int64_t>(generation_.published.index.size());
  return generation_.published.changes_since_index >= std::max(options_.changes_min, keys / 4);
}

absl::Status IndexCheckpoint::Begin() {
  {
    absl::ReaderMutexLock lock(&generation_.mu);
    writing_ = generation_.published.point.current;
    changes_at_start_ = generation_.published.changes_since_index;
  }
  after_.reset();
  KEEL_ASSIGN_OR_RETURN(writer_, IndexFileWriter::Create(disk_, path(), writing_));
  return absl::OkStatus();
}

absl::StatusOr<bool> IndexCheckpoint::Advance() {
  IndexDump dump;
  bool done = false;
  for (size_t bytes = 0; !done && bytes < options_.step_bytes;) {
    dump.blocks.clear();
    dump.entries = 0;
    {
      absl::ReaderMutexLock lock(&generation_.mu);
      done = generation_.published.index.Dump(after_, std::min(kLockedBytes, options_.step_bytes), &dump);
    }
    if (dump.entries > 0) after_ = dump.last_key;
    for (const std::string& block : dump.blocks) bytes += block.size();
    KEEL_RETURN_IF_ERROR(writer_->Add(dump));
  }
  return done;
}

absl::StatusOr<bool> IndexCheckpoint::Step() {
  if (disk_ == nullptr) return false;
  if (dropping_notes_) {
    KEEL_RETURN_IF_ERROR(DropNotes());
    return true;
  }
  if (writer_ == nullptr && !Due()) return false;
  absl::Status written;
  bool done = false;
  if (writer_ == nullptr) written = Begin();
  if (written.ok()) {
    absl::StatusOr<bool> advanced = Advance();
    written = advanced.status();
    done = advanced.ok() && *advanced;
  }
  if (written.ok() && !done) return true;
  Revision newest;
  if (written.ok()) {
    newest = generation_.point().current;
    KEEL_RETURN_IF_ERROR(generation_.engine().Flush());
    written = writer_->End(newest);
  }
  if (written.ok()) written = writer_->Publish();
  absl::MutexLock lock(&generation_.mu);
  // Also when it failed: the next try is as far away as after a success.
  generation_.published.changes_since_index -= changes_at_start_;
  if (writer_ != nullptr && writer_->published()) {
    in_force_ = writing_;
    in_force_newest_ = newest;
    dropping_notes_ = true;
  }
  if (!written.ok()) {
    KEEL_LOG_WARN("no index file could be written; the next start takes longer",
                  {{"path", path()}, {"error", written}});
  }
  writer_.reset();
  return dropping_notes_;
}

absl::Status IndexCheckpoint::Finish() {
  if (disk_ == nullptr) return absl::OkStatus();
  {
    absl::ReaderMutexLock lock(&generation_.mu);
    if (generation_.published.changes_since_index < std::min(options_.changes_min, kFewChanges))
      return absl::OkStatus();
  }
  writer_.reset();
  // As if it were due.
  if (absl::Status begun = Begin(); !begun.ok()) {
    KEEL_LOG_WARN("no index file could be written; the next start takes longer", {{"path", path()}, {"error", begun}});
    return absl::OkStatus();
  }
  for (bool more = true; more;) {
    KEEL_ASSIGN_OR_RETURN(more, Step());
  }
  return absl::OkStatus();
}

}  // namespace keel::storage
