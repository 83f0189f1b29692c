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

// Makes the events of whole revisions of records in order.
class EventGatherer {
 public:
  EventGatherer(Revision last, size_t bytes_max) : last_(last), bytes_max_(bytes_max) {}

  // True: nothing from `change` on is wanted.
  bool IsFull(ChangeId change) const {
    if (change.revision > last_) return true;
    return open_ != nullptr && open_->revision != change.revision && bytes_ + open_->bytes >= bytes_max_;
  }

  absl::Status Add(ChangeId change, bool tombstone, ChangeId previous, std::shared_ptr<const std::string> kv) {
    if (open_ == nullptr || open_->revision != change.revision) {
      Close();
      open_ = std::make_shared<RevisionEvents>();
      open_->revision = change.revision;
    }
    const std::optional<KeyValueFields> fields = DecodeKeyValue(*kv);
    if (!fields.has_value()) {
      return absl::DataLossError(
          absl::StrCat("state: the record of revision ", change.revision.value(), " is damaged"));
    }
    // What precedes a creation is the tombstone of an earlier life, not a pair that it replaced.
    const bool replaced = tombstone || fields->version > 1;
    open_->events.push_back({.type = tombstone ? Event::Type::kDelete : Event::Type::kPut,
                             .change = change,
                             .key = std::string(fields->key),
                             .kv = std::move(kv),
                             .previous = replaced ? previous : ChangeId()});
    open_->bytes += EventBytes(open_->events.back());
    return absl::OkStatus();
  }

  std::vector<RevisionEventsPtr> Take() {
    Close();
    return std::move(revisions_);
  }

 private:
  void Close() {
    if (open_ == nullptr) return;
    bytes_ += open_->bytes;
    revisions_.push_back(std::move(open_));
    open_ = nullptr;
  }

  const Revision last_;
  const size_t bytes_max_;
  std::vector<RevisionEventsPtr> revisions_;
  size_t bytes_ = 0;                      // Of revisions_.
  std::shared_ptr<RevisionEvents> open_;  // The revision being gathered.
};

}  // namespace

size_t EventBytes(const Event& event) { return event.key.size() + event.kv->size() + sizeof(Event); }

absl::StatusOr<std::vector<RevisionEventsPtr>> ReadHistory(const Pin& pin, Revision first, Revision last,
                                                           size_t bytes_max) {
  if (first < pin.compact()) return CompactedError();
  last = std::min(last, pin.current());
  EventGatherer gatherer(last, bytes_max);
  ChangeId from{.revision = std::max(first, Revision(1)), .sub = 0};
  if (first > last) return gatherer.Take();
  // What was written last is in memory, and never encoded again.
  constexpr size_t kRecordsUnderOneLock = 256;
  while (const auto recent = pin.generation().cache().Since(from, kRecordsUnderOneLock)) {
    for (const auto& [change, record] : *recent) {
      if (gatherer.IsFull(change)) return gatherer.Take();
      KEEL_RETURN_IF_ERROR(gatherer.Add(change, record.tombstone, record.previous, record.kv));
      from = {.revision = change.revision, .sub = change.sub + 1};
    }
    if (recent->size() < kRecordsUnderOneLock) return gatherer.Take();
  }
  HistoryCursor cursor(pin.generation().engine().HistIterator(ScanLength::kShort), from);
  for (; cursor.valid() && !gatherer.IsFull(cursor.change()); cursor.Next()) {
    const RecordView& record = cursor.record();
    KEEL_RETURN_IF_ERROR(gatherer.Add(cursor.change(), record.tombstone, record.previous,
                                      std::make_shared<const std::string>(record.kv)));
  }
  KEEL_RETURN_IF_ERROR(cursor.status());
  return gatherer.Take();
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
  // Sub-revisions make the pair unique. Of a revision that it is in the middle of, all: it leaves what its last
  // revision replaced of its own changes.
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
