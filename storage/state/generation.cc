#include "storage/state/generation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/string_view.h"

namespace keel::storage {
namespace {

absl::Status Damaged(const std::string& dir, std::string_view what) {
  return absl::DataLossError(absl::StrCat("state: ", dir, ": ", ToAbsl(what),
                                          "; remove this member and add it again, or restore it from a snapshot"));
}

}  // namespace

Generation::Generation(std::string dir, std::shared_ptr<StateMedium> medium, size_t value_cache_bytes)
    : dir_(std::move(dir)), medium_(std::move(medium)), cache_(value_cache_bytes) {}

absl::StatusOr<std::shared_ptr<Generation>> Generation::Open(const std::string& dir,
                                                             std::shared_ptr<StateMedium> medium,
                                                             const StateOptions& options,
                                                             std::shared_ptr<FlushSignal> signal) {
  std::shared_ptr<Generation> generation(new Generation(dir, std::move(medium), options.value_cache_bytes));
  KEEL_ASSIGN_OR_RETURN(generation->engine_, generation->medium_->OpenEngine(dir, options, std::move(signal)));
  KEEL_RETURN_IF_ERROR(generation->ReadMeta());
  generation->index_checkpoint_ =
      std::make_unique<IndexCheckpoint>(generation.get(), generation->medium_->disk(),
                                        IndexCheckpoint::Options{.changes_min = options.index_checkpoint_changes,
                                                                 .step_bytes = options.index_checkpoint_step_bytes});
  KEEL_ASSIGN_OR_RETURN(const std::optional<Revision> loaded, generation->index_checkpoint_->Load());
  KEEL_RETURN_IF_ERROR(generation->ReadHistory(loaded));
  return generation;
}

Generation::~Generation() {
  if (obsolete_ && engine_ != nullptr) engine_->Abandon();
  engine_.reset();
  if (!obsolete_) return;
  if (const absl::Status removed = medium_->Remove(dir_); !removed.ok()) {
    KEEL_LOG_WARN("cannot remove an old state", {{"dir", dir_}, {"error", removed}});
  }
}

void Generation::MarkObsolete() { obsolete_ = true; }

absl::Status Generation::ReadMeta() {
  absl::MutexLock lock(&mu);
  KEEL_ASSIGN_OR_RETURN(std::optional<std::string> format, engine_->GetMeta(kFormatKey));
  if (!format.has_value()) {
    auto hist = engine_->HistIterator(ScanLength::kLong);
    hist->SeekToFirst();
    auto meta = engine_->MetaIterator();
    meta->SeekToFirst();
    if (hist->Valid() || meta->Valid()) return Damaged(dir_, "it has content but no format number");
    const std::unique_ptr<EngineBatch> batch = engine_->NewBatch();
    batch->PutMeta(kFormatKey, EncodeFormat(kFormat));
    batch->PutMeta(kPointKey, EncodePoint(StatePoint()));
    return engine_->Write(batch.get());
  }
  std::optional<uint32_t> number = DecodeFormat(*format);
  if (!number.has_value()) return Damaged(dir_, "its format number is damaged");
  if (*number != kFormat) {
    return absl::FailedPreconditionError(absl::StrCat("state: ", dir_, " has format ", *number,
                                                      "; this version knows format ", kFormat,
                                                      " only: use the version that wrote it"));
  }

  bool has_point = false;
  auto it = engine_->MetaIterator();
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    std::string_view key = it->key();
    std::string_view value = it->value();
    bool good = true;
    if (key == kPointKey) {
      std::optional<StatePoint> stored = DecodePoint(value);
      good = has_point = stored.has_value();
      if (good) published.point = *stored;
    } else if (key == kCompactionKey) {
      std::optional<CompactionProgress> progress = DecodeCompaction(value);
      good = progress.has_value();
      absl::MutexLock compaction_lock(&compaction_mu);
      if (good) compaction = *progress;
    } else if (key == kAdvancedKey) {
      const std::optional<uint64_t> revision = DecodeNumber(value);
      good = revision.has_value();
      if (good) advanced_ = Revision(static_cast<int64_t>(*revision));
    } else if (const std::optional<bool> loaded = published.members.Load(key, value); loaded.has_value()) {
      good = *loaded;
    } else if (key.starts_with(kAlarmPrefix)) {
      std::optional<Alarm> alarm = DecodeAlarmKey(key);
      good = alarm.has_value();
      if (good) published.alarms.insert(*alarm);
    } else if (key.starts_with(kLeasePrefix)) {
      std::optional<LeaseRecord> lease = DecodeLease(key, value);
      good = lease.has_value();
      if (good) published.leases.Put(*lease);
    }
    if (!good) return Damaged(dir_, absl::StrCat("the entry of ", ToAbsl(key.substr(0, 8)), "... is damaged"));
  }
  KEEL_RETURN_IF_ERROR(it->status("scan of meta"));
  if (!has_point) return Damaged(dir_, "its applied position is missing");
  absl::MutexLock durable_lock(&durable_mu_);
  durable_ = published.point.applied;
  trail_.Extend({}, {.index = published.point.applied.index, .hash = published.point.hash});
  return absl::OkStatus();
}

absl::Status Generation::SetStoredBytes(std::optional<int64_t> scanned_bytes) {
  int64_t freed;
  {
    absl::MutexLock compaction_lock(&compaction_mu);
    freed = compaction.freed_bytes;
  }
  published.stored_bytes = published.point.written_bytes - freed;
  if (!scanned_bytes.has_value() || published.stored_bytes == *scanned_bytes) return absl::OkStatus();
  // Made by something that does not count, such as an import.
  published.stored_bytes = *scanned_bytes;
  published.point.written_bytes = *scanned_bytes + freed;
  const std::unique_ptr<EngineBatch> batch = engine_->NewBatch();
  batch->PutMeta(kPointKey, EncodePoint(published.point));
  return engine_->Write(batch.get());
}

absl::Status Generation::ReadHistory(std::optional<Revision> from) {
  absl::MutexLock lock(&mu);
  ChangeId last;
  int64_t scanned_bytes = 0;
  auto it = engine_->HistIterator(ScanLength::kLong);
  // The records of `from` itself once more: whether the last revision is there must be seen, whatever was loaded.
  it->Seek(from.has_value() ? EncodeRecordKey({.revision = *from, .sub = 0}) : std::string());
  for (; it->Valid(); it->Next()) {
    std::optional<ChangeId> change = DecodeRecordKey(it->key());
    std::optional<RecordView> record = DecodeRecord(it->value());
    std::optional<KeyValueFields> fields;
    if (record.has_value()) fields = DecodeKeyValue(record->kv);
    if (!change.has_value() || !fields.has_value() || record->previous >= *change || fields->mod != change->revision ||
        record->tombstone != (fields->version == 0)) {
      return Damaged(dir_, absl::StrCat("the history is damaged after change ", last.revision.value(), ".", last.sub));
    }
    uint32_t bytes = StoredBytes(it->value());
    scanned_bytes += bytes;
    ++published.changes_since_index;
    published.index.Set(fields->key,
                        {.mod = *change,
                         .stored_bytes = bytes,
                         .has_previous = record->previous.exists(),
                         .create = fields->create,
                         .version = fields->version,
                         .lease = fields->lease},
                        record->lineage);
    last = *change;
  }
  KEEL_RETURN_IF_ERROR(it->status("scan of the history"));
  // Compaction keeps all records of the newest revision, so it is there unless there never was a change.
  Revision newest = last.exists() ? last.revision : Revision(1);
  if (newest < advanced_) newest = advanced_;
  if (newest != published.point.current) {
    return Damaged(dir_, absl::StrCat("the history ends at revision ", newest.value(), " but the applied state is at ",
                                      published.point.current.value()));
  }
  KEEL_RETURN_IF_ERROR(SetStoredBytes(from.has_value() ? std::nullopt : std::optional<int64_t>(scanned_bytes)));
  published.index.ForEachLeased([this](std::string_view key, LeaseId lease) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    published.leases.Move(key, LeaseId(0), lease);
  });
  return absl::OkStatus();
}

std::optional<IndexEntry> Generation::Latest(std::string_view key) const {
  absl::ReaderMutexLock lock(&mu);
  return published.index.Find(key);
}

bool Generation::ReadEntries(const KeyInterval& interval, std::optional<std::string_view> after, size_t entries_max,
                             EntryChunk* chunk) const {
  absl::ReaderMutexLock lock(&mu);
  return published.index.Read(interval, after, entries_max, chunk);
}

std::optional<KeyIndex::Latest> Generation::LatestWithLineage(std::string_view key) const {
  absl::ReaderMutexLock lock(&mu);
  return published.index.FindLatest(key);
}

void Generation::LookUp(std::span<KeyIndex::Lookup> lookups) const {
  constexpr size_t kUnderOneLock = 64;
  while (!lookups.empty()) {
    const size_t n = std::min(kUnderOneLock, lookups.size());
    absl::ReaderMutexLock lock(&mu);
    published.index.LookUp(lookups.first(n));
    lookups = lookups.subspan(n);
  }
}

bool Generation::Count(const KeyInterval& interval, Revision at, IndexCount* count) const {
  constexpr size_t kLeavesUnderOneLock = 64;
  absl::ReaderMutexLock lock(&mu);
  return published.index.Count(interval, at, kLeavesUnderOneLock, count);
}

absl::StatusOr<Record> Generation::Load(ChangeId change, Caching caching) const {
  if (std::optional<Record> cached = cache_.Find(change)) return *std::move(cached);
  KEEL_ASSIGN_OR_RETURN(Record record, engine_->GetRecord(change, caching));
  if (caching == Caching::kFill) cache_.Insert(change, record);
  return record;
}

absl::Status Generation::LoadMany(const std::vector<ChangeId>& changes, Caching caching,
                                  std::vector<Record>* records) const {
  records->assign(changes.size(), Record());
  std::vector<ChangeId> missing;
  std::vector<size_t> places;
  for (size_t i = 0; i < changes.size(); ++i) {
    if (std::optional<Record> cached = cache_.Find(changes[i])) {
      (*records)[i] = *std::move(cached);
    } else {
      missing.push_back(changes[i]);
      places.push_back(i);
    }
  }
  if (missing.empty()) return absl::OkStatus();
  std::vector<Record> loaded;
  KEEL_RETURN_IF_ERROR(engine_->GetRecords(missing, caching, &loaded));
  for (size_t i = 0; i < missing.size(); ++i) {
    if (caching == Caching::kFill) cache_.Insert(missing[i], loaded[i]);
    (*records)[places[i]] = std::move(loaded[i]);
  }
  return absl::OkStatus();
}

StatePoint Generation::point() const {
  absl::ReaderMutexLock lock(&mu);
  return published.point;
}

AppliedPosition Generation::durable_applied() const {
  absl::MutexLock lock(&durable_mu_);
  if (engine_->TakeFlushed()) {
    // An unreadable point leaves the older one standing, which is never ahead of the disk.
    absl::StatusOr<std::optional<StatePoint>> point = engine_->DurablePoint();
    if (point.ok() && point->has_value()) durable_ = (*point)->applied;
  }
  return durable_;
}

Pin::Pin(std::shared_ptr<const Generation> generation) : generation_(std::move(generation)) {
  // Under `mu`, so that compaction, which reads the compact revision first, cannot miss it.
  absl::ReaderMutexLock lock(&generation_->mu);
  current_ = generation_->published.point.current;
  compact_ = generation_->published.point.compact;
  generation_->floors().Add(compact_);
}

Pin::~Pin() {
  if (generation_ != nullptr) generation_->floors().Remove(compact_);
}

}  // namespace keel::storage
