#include "storage/state/history.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/status_macros.h"
#include "storage/state/state_errors.h"

namespace keel::storage {
namespace {

// Walks the records of `hist` in order, decoded.
class HistoryCursor {
 public:
  HistoryCursor(std::unique_ptr<EngineIterator> it, ChangeId from) : it_(std::move(it)) {
    it_->Seek(EncodeRecordKey(from));
    Decode();
  }

  bool valid() const { return status_.ok() && it_->Valid(); }
  const absl::Status& status() const { return status_; }
  ChangeId change() const { return change_; }
  const RecordView& record() const { return record_; }

  void Next() {
    it_->Next();
    Decode();
  }

 private:
  void Decode() {
    if (!it_->Valid()) {
      status_ = it_->status("scan of the history");
      return;
    }
    std::optional<ChangeId> change = DecodeRecordKey(it_->key());
    std::optional<RecordView> record = DecodeRecord(it_->value());
    if (!change.has_value() || !record.has_value()) {
      status_ =
          absl::DataLossError(absl::StrCat("state: the history is damaged after change ", change_.revision.value(), ".",
                                           change_.sub, "; restore this member from a snapshot"));
      return;
    }
    change_ = *change;
    record_ = *record;
  }

  std::unique_ptr<EngineIterator> it_;
  absl::Status status_;
  ChangeId change_;
  RecordView record_;
};

}  // namespace

size_t EventBytes(const Event& event) { return event.key.size() + event.kv->size() + sizeof(Event); }

absl::StatusOr<std::vector<RevisionEventsPtr>> ReadHistory(const Pin& pin, Revision first, Revision last,
                                                           size_t bytes_max) {
  if (first < pin.compact()) return CompactedError();
  last = std::min(last, pin.current());
  std::vector<RevisionEventsPtr> revisions;
  if (first > last) return revisions;
  size_t bytes = 0;
  std::shared_ptr<RevisionEvents> open;  // The revision being gathered.
  HistoryCursor cursor(pin.generation().engine().HistIterator(), {.revision = std::max(first, Revision(1)), .sub = 0});
  for (; cursor.valid() && cursor.change().revision <= last; cursor.Next()) {
    if (open != nullptr && open->revision != cursor.change().revision) {
      bytes += open->bytes;
      revisions.push_back(std::exchange(open, nullptr));
      if (bytes >= bytes_max) return revisions;
    }
    if (open == nullptr) {
      open = std::make_shared<RevisionEvents>();
      open->revision = cursor.change().revision;
    }
    const RecordView& record = cursor.record();
    std::optional<KeyValueFields> fields = DecodeKeyValue(record.kv);
    if (!fields.has_value()) {
      return absl::DataLossError(
          absl::StrCat("state: the record of revision ", cursor.change().revision.value(), " is damaged"));
    }
    // What precedes a creation is the tombstone of an earlier life, not a pair that it replaced.
    bool replaced = record.tombstone || fields->version > 1;
    open->events.push_back({.type = record.tombstone ? Event::Type::kDelete : Event::Type::kPut,
                            .change = cursor.change(),
                            .key = std::string(fields->key),
                            .kv = std::make_shared<const std::string>(record.kv),
                            .previous = replaced ? record.previous : ChangeId()});
    open->bytes += EventBytes(open->events.back());
  }
  KEEL_RETURN_IF_ERROR(cursor.status());
  if (open != nullptr) revisions.push_back(std::move(open));
  return revisions;
}

absl::StatusOr<HashResult> HashHistory(const Pin& pin, Revision revision) {
  if (revision.value() <= 0) revision = pin.current();
  if (revision < pin.compact()) return CompactedError();
  if (revision > pin.current()) return FutureRevisionError();
  const Revision compact = pin.compact();
  const Engine& engine = pin.generation().engine();

  CompactionProgress progress;
  {
    absl::MutexLock lock(&pin.generation().compaction_mu);
    progress = pin.generation().compaction;
  }
  // Whatever compaction does from here on, both walks see the same records.
  const std::unique_ptr<EngineSnapshot> snapshot = engine.Snapshot();

  // What of the compacted history was replaced by the revision asked for, as far as compaction has not been there.
  // Sub-revisions make the pair unique. Of a revision that it is in the middle of, all: it leaves what its last revision
  // replaced of its own changes.
  absl::flat_hash_set<std::pair<int64_t, int32_t>> replaced;
  HistoryCursor ahead(engine.HistIteratorAt(*snapshot), {.revision = progress.next.revision, .sub = 0});
  for (; ahead.valid() && ahead.change().revision <= revision; ahead.Next()) {
    const ChangeId previous = ahead.record().previous;
    if (previous.exists() && previous.revision <= compact) {
      replaced.emplace(previous.revision.value(), previous.sub);
    }
  }
  KEEL_RETURN_IF_ERROR(ahead.status());

  uint32_t crc = Crc32c("key");
  std::string head;
  HistoryCursor cursor(engine.HistIteratorAt(*snapshot), ChangeId());
  for (; cursor.valid() && cursor.change().revision <= revision; cursor.Next()) {
    const ChangeId change = cursor.change();
    const RecordView& record = cursor.record();
    if (change.revision <= compact && (record.tombstone || replaced.contains({change.revision.value(), change.sub}))) {
      continue;
    }
    head.clear();
    AppendBigEndian64(static_cast<uint64_t>(change.revision.value()), &head);
    head.push_back('_');
    AppendBigEndian64(static_cast<uint64_t>(change.sub), &head);
    if (!record.tombstone) {
      crc = ExtendCrc32c(ExtendCrc32c(crc, head), record.kv);
      continue;
    }
    head.push_back('t');
    const std::optional<KeyValueFields> fields = DecodeKeyValue(record.kv);
    if (!fields.has_value()) {
      return absl::DataLossError(
          absl::StrCat("state: the record of revision ", change.revision.value(), " is damaged"));
    }
    crc = ExtendCrc32c(ExtendCrc32c(crc, head), EncodeKeyValue({.key = fields->key}));
  }
  KEEL_RETURN_IF_ERROR(cursor.status());
  return HashResult{.hash = crc, .hash_revision = revision, .compact_revision = compact};
}

}  // namespace keel::storage
