#include "storage/state/engine.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "rocksdb/cache.h"
#include "rocksdb/env.h"
#include "rocksdb/filter_policy.h"
#include "rocksdb/table.h"
#include "rocksdb/utilities/checkpoint.h"
#include "rocksdb/utilities/table_properties_collectors.h"

namespace keel::storage {
namespace {

constexpr char kHistName[] = "hist";

rocksdb::Slice ToSlice(std::string_view s) { return {s.data(), s.size()}; }
std::string_view FromSlice(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

absl::Status DamagedRecord(ChangeId change) {
  return absl::DataLossError(absl::StrCat("state: the record of change ", change.revision.value(), ".", change.sub,
                                          " is damaged; restore this member from a snapshot"));
}

absl::StatusOr<Record> Parse(ChangeId change, const rocksdb::Slice& stored) {
  std::optional<RecordView> view = DecodeRecord(FromSlice(stored));
  if (!view.has_value()) return DamagedRecord(change);
  return Record{.tombstone = view->tombstone,
                .previous = view->previous,
                .previous_bytes = view->previous_bytes,
                .kv = std::make_shared<const std::string>(view->kv)};
}

rocksdb::ColumnFamilyOptions HistOptions(const StateOptions& options) {
  rocksdb::ColumnFamilyOptions cf;
  cf.write_buffer_size = options.write_buffer_bytes;
  cf.max_write_buffer_number = 3;
  cf.min_write_buffer_number_to_merge = 1;  // Atomic flush needs it; 7.8 does not enforce it.
  cf.level_compaction_dynamic_level_bytes = true;
  cf.target_file_size_base = 32u << 20;
  cf.level0_file_num_compaction_trigger = 4;
  cf.compression = rocksdb::kLZ4Compression;
  cf.force_consistency_checks = true;
  // A file with a dense run of deletions is compacted soon, so that compacted history gives its space back.
  cf.table_properties_collector_factories.push_back(rocksdb::NewCompactOnDeletionCollectorFactory(256, 128));
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(options.block_cache_bytes);
  table.block_size = 8u << 10;
  table.format_version = 5;
  table.cache_index_and_filter_blocks = false;
  table.filter_policy = nullptr;  // Files do not overlap; a filter would exclude nothing.
  cf.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return cf;
}

rocksdb::ColumnFamilyOptions MetaOptions() {
  rocksdb::ColumnFamilyOptions cf;
  cf.write_buffer_size = 4u << 20;
  cf.min_write_buffer_number_to_merge = 1;
  cf.compression = rocksdb::kNoCompression;
  cf.force_consistency_checks = true;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(1u << 20);
  table.format_version = 5;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  cf.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return cf;
}

rocksdb::DBOptions DatabaseOptions() {
  rocksdb::DBOptions db;
  db.create_if_missing = true;
  db.create_missing_column_families = true;
  db.atomic_flush = true;
  db.max_background_jobs = 2;
  db.max_open_files = -1;
  db.allow_concurrent_memtable_write = false;
  db.enable_write_thread_adaptive_yield = false;
  db.avoid_flush_during_shutdown = false;
  db.bytes_per_sync = 1u << 20;
  db.stats_dump_period_sec = 0;
  db.stats_persist_period_sec = 0;
  db.skip_stats_update_on_db_open = true;
  db.manual_wal_flush = true;
  db.keep_log_file_num = 2;
  db.max_manifest_file_size = 16u << 20;
  db.paranoid_checks = true;
  db.max_bgerror_resume_count = 0;  // A background error is final: the process ends and replays its log.
  db.info_log_level = rocksdb::WARN_LEVEL;
  return db;
}

// Keeps RocksDB from writing its log file into a directory that is only looked at.
class NullLogger : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

}  // namespace

absl::Status FromRocks(const rocksdb::Status& status, std::string_view what) {
  if (status.ok()) return absl::OkStatus();
  std::string text = absl::StrCat("state: ", ToAbsl(what), ": ", status.ToString());
  if (status.IsNotFound()) return absl::NotFoundError(text);
  if (status.IsCorruption()) return absl::DataLossError(text);
  if (status.IsNoSpace()) return absl::ResourceExhaustedError(text);
  if (status.IsIOError() && (text.find("lock hold by current process") != std::string::npos ||
                             text.find("While lock file") != std::string::npos)) {
    return absl::FailedPreconditionError(absl::StrCat(text, " (in use by another process)"));
  }
  if (status.IsInvalidArgument() || status.IsNotSupported()) return absl::FailedPreconditionError(text);
  return absl::InternalError(text);
}

void FlushSignal::SetListener(std::function<void()> listener) {
  absl::MutexLock lock(&mu_);
  listener_ = std::move(listener);
}

void FlushSignal::Notify() {
  absl::MutexLock lock(&mu_);
  if (listener_) listener_();
}

// Runs on RocksDB's threads, so it only leaves notes.
class Engine::Listener : public rocksdb::EventListener {
 public:
  Listener(std::shared_ptr<std::atomic<bool>> flushed, std::shared_ptr<FlushSignal> signal)
      : flushed_(std::move(flushed)), signal_(std::move(signal)) {}

  void OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo&) override {
    flushed_->store(true);
    if (signal_ != nullptr) signal_->Notify();
  }

  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* error) override {
    absl::MutexLock lock(&mu_);
    if (error_.ok()) error_ = FromRocks(*error, "background work failed");
    failed_.store(true);
  }

  absl::Status error() const {
    if (!failed_.load()) return absl::OkStatus();
    absl::MutexLock lock(&mu_);
    return error_;
  }

 private:
  const std::shared_ptr<std::atomic<bool>> flushed_;
  const std::shared_ptr<FlushSignal> signal_;
  std::atomic<bool> failed_ = false;
  mutable absl::Mutex mu_;
  absl::Status error_ ABSL_GUARDED_BY(mu_);
};

absl::StatusOr<std::unique_ptr<Engine>> Engine::Open(const std::string& dir, const StateOptions& options,
                                                     std::shared_ptr<FlushSignal> signal) {
  std::unique_ptr<Engine> engine(new Engine());
  engine->listener_ = std::make_shared<Listener>(engine->flushed_, std::move(signal));
  rocksdb::DBOptions db_options = DatabaseOptions();
  db_options.listeners.push_back(engine->listener_);
  rocksdb::DB* db = nullptr;
  rocksdb::Status status = rocksdb::DB::Open(
      db_options, dir, {{rocksdb::kDefaultColumnFamilyName, MetaOptions()}, {kHistName, HistOptions(options)}},
      &engine->handles_, &db);
  if (!status.ok()) return FromRocks(status, absl::StrCat("cannot open ", dir));
  engine->db_.reset(db);
  engine->meta_ = engine->handles_[0];
  engine->hist_ = engine->handles_[1];
  engine->write_options_.disableWAL = true;
  return engine;
}

Engine::~Engine() {
  if (db_ == nullptr) return;
  for (rocksdb::ColumnFamilyHandle* handle : handles_) db_->DestroyColumnFamilyHandle(handle);
  db_->Close();
}

absl::StatusOr<std::optional<std::string>> Engine::GetMeta(std::string_view key) const {
  std::string value;
  rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), meta_, ToSlice(key), &value);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return FromRocks(status, "read of meta");
  return value;
}

absl::StatusOr<std::optional<StatePoint>> Engine::DurablePoint() const {
  rocksdb::ReadOptions options;
  options.read_tier = rocksdb::kPersistedTier;
  std::string value;
  rocksdb::Status status = db_->Get(options, meta_, ToSlice(kPointKey), &value);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return FromRocks(status, "read of the durable point");
  std::optional<StatePoint> point = DecodePoint(value);
  if (!point.has_value()) return absl::DataLossError("state: the stored applied position is damaged");
  return point;
}

absl::StatusOr<Record> Engine::GetRecord(ChangeId change) const {
  rocksdb::PinnableSlice stored;
  rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), hist_, EncodeRecordKey(change), &stored);
  if (!status.ok()) {
    return FromRocks(status, absl::StrCat("read of change ", change.revision.value(), ".", change.sub));
  }
  return Parse(change, stored);
}

absl::Status Engine::GetRecords(const std::vector<ChangeId>& changes, std::vector<Record>* records) const {
  std::vector<std::string> keys;
  keys.reserve(changes.size());
  for (ChangeId change : changes) keys.push_back(EncodeRecordKey(change));
  std::vector<rocksdb::Slice> slices(keys.begin(), keys.end());
  std::vector<rocksdb::PinnableSlice> values(changes.size());
  std::vector<rocksdb::Status> statuses(changes.size());
  db_->MultiGet(rocksdb::ReadOptions(), hist_, changes.size(), slices.data(), values.data(), statuses.data());
  records->clear();
  records->reserve(changes.size());
  for (size_t i = 0; i < changes.size(); ++i) {
    if (!statuses[i].ok()) {
      return FromRocks(statuses[i], absl::StrCat("read of change ", changes[i].revision.value(), ".", changes[i].sub));
    }
    KEEL_ASSIGN_OR_RETURN(Record record, Parse(changes[i], values[i]));
    records->push_back(std::move(record));
  }
  return absl::OkStatus();
}

std::unique_ptr<rocksdb::Iterator> Engine::MetaIterator() const {
  return std::unique_ptr<rocksdb::Iterator>(db_->NewIterator(rocksdb::ReadOptions(), meta_));
}

std::unique_ptr<rocksdb::Iterator> Engine::HistIterator(const rocksdb::Snapshot* snapshot) const {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  options.readahead_size = 256u << 10;
  options.snapshot = snapshot;
  return std::unique_ptr<rocksdb::Iterator>(db_->NewIterator(options, hist_));
}

absl::Status Engine::Write(rocksdb::WriteBatch* batch) {
  KEEL_RETURN_IF_ERROR(listener_->error());
  return FromRocks(db_->Write(write_options_, batch), "write");
}

void Engine::AddRecord(ChangeId change, const Record& record, rocksdb::WriteBatch* batch) const {
  std::string key = EncodeRecordKey(change);
  std::string header = EncodeRecordHeader(record);
  rocksdb::Slice key_slice(key);
  rocksdb::Slice value_slices[2] = {rocksdb::Slice(header), rocksdb::Slice(*record.kv)};
  KEEL_CHECK(batch->Put(hist_, rocksdb::SliceParts(&key_slice, 1), rocksdb::SliceParts(value_slices, 2)).ok());
}

void Engine::DeleteRecord(ChangeId change, rocksdb::WriteBatch* batch) const {
  KEEL_CHECK(batch->Delete(hist_, EncodeRecordKey(change)).ok());
}

void Engine::PutMeta(std::string_view key, std::string_view value, rocksdb::WriteBatch* batch) const {
  KEEL_CHECK(batch->Put(meta_, ToSlice(key), ToSlice(value)).ok());
}

void Engine::DeleteMeta(std::string_view key, rocksdb::WriteBatch* batch) const {
  KEEL_CHECK(batch->Delete(meta_, ToSlice(key)).ok());
}

absl::Status Engine::Flush() {
  KEEL_RETURN_IF_ERROR(listener_->error());
  return FromRocks(db_->Flush(rocksdb::FlushOptions(), handles_), "flush");
}

absl::Status Engine::Checkpoint(const std::string& dir) {
  rocksdb::Checkpoint* raw = nullptr;
  rocksdb::Status status = rocksdb::Checkpoint::Create(db_.get(), &raw);
  if (!status.ok()) return FromRocks(status, "checkpoint");
  std::unique_ptr<rocksdb::Checkpoint> checkpoint(raw);
  // 0: flush first, whatever the size of the log that we do not have.
  return FromRocks(checkpoint->CreateCheckpoint(dir, 0), absl::StrCat("checkpoint to ", dir));
}

int64_t Engine::AllocatedBytes() const {
  int64_t total = 0;
  for (rocksdb::ColumnFamilyHandle* handle : handles_) {
    uint64_t bytes = 0;
    if (db_->GetIntProperty(handle, rocksdb::DB::Properties::kTotalSstFilesSize, &bytes)) {
      total += static_cast<int64_t>(bytes);
    }
    if (db_->GetIntProperty(handle, rocksdb::DB::Properties::kCurSizeAllMemTables, &bytes)) {
      total += static_cast<int64_t>(bytes);
    }
  }
  return total;
}

absl::StatusOr<StatePoint> Engine::ReadPoint(const std::string& dir) {
  rocksdb::DBOptions options = DatabaseOptions();
  options.create_if_missing = false;
  options.info_log = std::make_shared<NullLogger>();
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* raw = nullptr;
  rocksdb::Status status =
      rocksdb::DB::OpenForReadOnly(options, dir, {{rocksdb::kDefaultColumnFamilyName, MetaOptions()}}, &handles, &raw);
  if (!status.ok()) return FromRocks(status, absl::StrCat("cannot read ", dir));
  std::unique_ptr<rocksdb::DB> db(raw);
  std::string value;
  status = db->Get(rocksdb::ReadOptions(), handles[0], ToSlice(kPointKey), &value);
  db->DestroyColumnFamilyHandle(handles[0]);
  if (!status.ok()) return FromRocks(status, absl::StrCat("read of the applied position in ", dir));
  std::optional<StatePoint> point = DecodePoint(value);
  if (!point.has_value()) {
    return absl::DataLossError(absl::StrCat("state: ", dir, ": the stored applied position is damaged"));
  }
  return *point;
}

}  // namespace keel::storage
