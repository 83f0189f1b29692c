#include "storage/state/rocks_engine.h"

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "rocksdb/cache.h"
#include "rocksdb/db.h"
#include "rocksdb/env.h"
#include "rocksdb/filter_policy.h"
#include "rocksdb/listener.h"
#include "rocksdb/table.h"
#include "rocksdb/utilities/checkpoint.h"
#include "rocksdb/utilities/table_properties_collectors.h"
#include "rocksdb/write_batch.h"
#include "storage/state/manifest_tail.h"

namespace keel::storage {
namespace {

constexpr char kHistName[] = "hist";
constexpr size_t kShortReadahead = 64u << 10;
constexpr size_t kLongReadahead = 256u << 10;

rocksdb::Slice ToSlice(std::string_view s) { return {s.data(), s.size()}; }
std::string_view FromSlice(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

rocksdb::ColumnFamilyOptions HistOptions(const StateOptions& options) {
  rocksdb::ColumnFamilyOptions cf;
  cf.write_buffer_size = options.write_buffer_bytes;
  cf.max_write_buffer_number = 3;
  cf.min_write_buffer_number_to_merge = 1;  // Atomic flush needs it; 7.8 does not enforce it.
  cf.level_compaction_dynamic_level_bytes = true;
  cf.target_file_size_base = 32u << 20;
  cf.level0_file_num_compaction_trigger = 4;
  // It would have to be the same for all levels: only then files move down without being written again, and that is all
  // that happens to most of them. LZ4 took a tenth of the CPU of a put, and its part of each cold read.
  cf.compression = rocksdb::kNoCompression;
  cf.force_consistency_checks = true;
  // A file with a dense run of deletions is compacted soon, so that compacted history gives its space back.
  cf.table_properties_collector_factories.push_back(rocksdb::NewCompactOnDeletionCollectorFactory(256, 128));
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(options.block_cache_bytes);
  // A cold read copies and checks a whole block, so small ones; an index of twice as many of them stays as small as it
  // was because each of its keys but every sixteenth is stored as what it adds to the one before.
  table.block_size = 4u << 10;
  table.index_block_restart_interval = 16;
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

namespace {

// Runs on RocksDB's threads, so it only leaves notes.
class Listener : public rocksdb::EventListener {
 public:
  explicit Listener(std::shared_ptr<FlushSignal> signal) : signal_(std::move(signal)) {}

  void OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo&) override {
    flushed_.store(true);
    if (signal_ != nullptr) signal_->Notify();
  }

  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* error) override {
    absl::MutexLock lock(&mu_);
    if (error_.ok()) error_ = FromRocks(*error, "background work failed");
    failed_.store(true);
  }

  bool TakeFlushed() { return flushed_.exchange(false); }

  absl::Status error() const {
    if (!failed_.load()) return absl::OkStatus();
    absl::MutexLock lock(&mu_);
    return error_;
  }

 private:
  const std::shared_ptr<FlushSignal> signal_;
  std::atomic<bool> flushed_ = false;
  std::atomic<bool> failed_ = false;
  mutable absl::Mutex mu_;
  absl::Status error_ ABSL_GUARDED_BY(mu_);
};

class RocksBatch final : public EngineBatch {
 public:
  RocksBatch(rocksdb::ColumnFamilyHandle* meta, rocksdb::ColumnFamilyHandle* hist) : meta_(meta), hist_(hist) {}

  rocksdb::WriteBatch* writes() { return &writes_; }

 protected:
  void Put(Family family, std::string_view key, std::string_view head, std::string_view tail) override {
    rocksdb::Slice key_slice = ToSlice(key);
    rocksdb::Slice value_slices[2] = {ToSlice(head), ToSlice(tail)};
    KEEL_CHECK(
        writes_.Put(HandleOf(family), rocksdb::SliceParts(&key_slice, 1), rocksdb::SliceParts(value_slices, 2)).ok());
  }
  void Delete(Family family, std::string_view key) override {
    KEEL_CHECK(writes_.Delete(HandleOf(family), ToSlice(key)).ok());
  }

 private:
  rocksdb::ColumnFamilyHandle* HandleOf(Family family) const { return family == Family::kMeta ? meta_ : hist_; }

  rocksdb::ColumnFamilyHandle* const meta_;
  rocksdb::ColumnFamilyHandle* const hist_;
  // What some dozens of small changes take, so that they are not copied along as they grow.
  static constexpr size_t kUsualBytes = 24u << 10;
  rocksdb::WriteBatch writes_{kUsualBytes};
};

class RocksIterator final : public EngineIterator {
 public:
  explicit RocksIterator(rocksdb::Iterator* it) : it_(it) {}

  void SeekToFirst() override { it_->SeekToFirst(); }
  void Seek(std::string_view key) override { it_->Seek(ToSlice(key)); }
  void Next() override { it_->Next(); }
  bool Valid() const override { return it_->Valid(); }
  std::string_view key() const override { return FromSlice(it_->key()); }
  std::string_view value() const override { return FromSlice(it_->value()); }
  absl::Status status(std::string_view what) const override { return FromRocks(it_->status(), what); }

 private:
  const std::unique_ptr<rocksdb::Iterator> it_;
};

class RocksSnapshot final : public EngineSnapshot {
 public:
  explicit RocksSnapshot(rocksdb::DB* db) : snapshot_(db) {}

  const rocksdb::Snapshot* get() const { return snapshot_.snapshot(); }

 private:
  mutable rocksdb::ManagedSnapshot snapshot_;
};

class RocksEngine final : public Engine {
 public:
  static absl::StatusOr<std::unique_ptr<Engine>> Open(const std::string& dir, const StateOptions& options,
                                                      std::shared_ptr<FlushSignal> signal);
  ~RocksEngine() override;

  absl::StatusOr<std::optional<std::string>> GetMeta(std::string_view key) const override;
  absl::StatusOr<std::optional<StatePoint>> DurablePoint() const override;
  absl::StatusOr<Record> GetRecord(ChangeId change, Caching caching) const override;
  absl::Status GetRecords(const std::vector<ChangeId>& changes, Caching caching,
                          std::vector<Record>* records) const override;

  std::unique_ptr<EngineSnapshot> Snapshot() const override { return std::make_unique<RocksSnapshot>(db_.get()); }
  std::unique_ptr<EngineIterator> MetaIterator() const override {
    return std::make_unique<RocksIterator>(db_->NewIterator(rocksdb::ReadOptions(), meta_));
  }
  std::unique_ptr<EngineIterator> HistIterator(ScanLength length) const override {
    return HistIteratorOf(nullptr, length == ScanLength::kShort ? kShortReadahead : kLongReadahead);
  }
  std::unique_ptr<EngineIterator> HistIteratorAt(const EngineSnapshot& snapshot) const override {
    return HistIteratorOf(static_cast<const RocksSnapshot&>(snapshot).get(), kLongReadahead);
  }

  std::unique_ptr<EngineBatch> NewBatch() const override { return std::make_unique<RocksBatch>(meta_, hist_); }
  absl::Status Write(EngineBatch* batch) override;

  absl::Status Flush() override;
  absl::Status Checkpoint(const std::string& dir) override;
  void Abandon() override;

  int64_t AllocatedBytes() const override;
  bool TakeFlushed() override { return listener_->TakeFlushed(); }

 private:
  RocksEngine() = default;

  std::unique_ptr<EngineIterator> HistIteratorOf(const rocksdb::Snapshot* snapshot, size_t readahead_bytes) const;

  std::shared_ptr<Listener> listener_;
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::ColumnFamilyHandle* meta_ = nullptr;  // Owned by handles_.
  rocksdb::ColumnFamilyHandle* hist_ = nullptr;
  std::vector<rocksdb::ColumnFamilyHandle*> handles_;
  rocksdb::WriteOptions write_options_;
};

absl::StatusOr<std::unique_ptr<Engine>> RocksEngine::Open(const std::string& dir, const StateOptions& options,
                                                          std::shared_ptr<FlushSignal> signal) {
  std::unique_ptr<RocksEngine> engine(new RocksEngine());
  engine->listener_ = std::make_shared<Listener>(std::move(signal));
  rocksdb::DBOptions db_options = DatabaseOptions();
  db_options.listeners.push_back(engine->listener_);
  rocksdb::DB* db = nullptr;
  KEEL_ASSIGN_OR_RETURN(const std::optional<ManifestTail> tail, ManifestTail::Cut(dir));
  rocksdb::Status status = rocksdb::DB::Open(
      db_options, dir, {{rocksdb::kDefaultColumnFamilyName, MetaOptions()}, {kHistName, HistOptions(options)}},
      &engine->handles_, &db);
  if (tail.has_value()) {
    if (!status.ok()) KEEL_RETURN_IF_ERROR(tail->Restore());
    KEEL_LOG_INFO("cut an unfinished write off the database's manifest",
                  {{"path", tail->path()}, {"offset", tail->offset()}, {"bytes", tail->bytes()}});
  }
  if (!status.ok()) return FromRocks(status, absl::StrCat("cannot open ", dir));
  engine->db_.reset(db);
  engine->meta_ = engine->handles_[0];
  engine->hist_ = engine->handles_[1];
  engine->write_options_.disableWAL = true;
  return engine;
}

RocksEngine::~RocksEngine() {
  if (db_ == nullptr) return;
  for (rocksdb::ColumnFamilyHandle* handle : handles_) db_->DestroyColumnFamilyHandle(handle);
  db_->Close();
}

absl::StatusOr<std::optional<std::string>> RocksEngine::GetMeta(std::string_view key) const {
  std::string value;
  rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), meta_, ToSlice(key), &value);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return FromRocks(status, "read of meta");
  return value;
}

absl::StatusOr<std::optional<StatePoint>> RocksEngine::DurablePoint() const {
  rocksdb::ReadOptions options;
  options.read_tier = rocksdb::kPersistedTier;
  std::string value;
  rocksdb::Status status = db_->Get(options, meta_, ToSlice(kPointKey), &value);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return FromRocks(status, "read of the durable point");
  KEEL_ASSIGN_OR_RETURN(StatePoint point, ParsePoint(value, "the durable point"));
  return point;
}

// Of the history, which never has a range deletion.
rocksdb::ReadOptions ReadOptionsOf(Caching caching) {
  rocksdb::ReadOptions options;
  options.ignore_range_deletions = true;
  options.fill_cache = caching == Caching::kFill;
  return options;
}

absl::StatusOr<Record> RocksEngine::GetRecord(ChangeId change, Caching /*caching*/) const {
  rocksdb::PinnableSlice stored;
  // Who reads one record is served from the value cache the next time. Its block holds twenty others, which nobody
  // asked for, and to keep it costs nearly as much as to read it.
  rocksdb::Status status = db_->Get(ReadOptionsOf(Caching::kBypass), hist_, EncodeRecordKey(change), &stored);
  if (!status.ok()) {
    return FromRocks(status, ReadOf(change));
  }
  return ParseRecord(change, FromSlice(stored));
}

absl::Status RocksEngine::GetRecords(const std::vector<ChangeId>& changes, Caching caching,
                                     std::vector<Record>* records) const {
  std::vector<std::string> keys;
  keys.reserve(changes.size());
  for (ChangeId change : changes) keys.push_back(EncodeRecordKey(change));
  std::vector<rocksdb::Slice> slices(keys.begin(), keys.end());
  std::vector<rocksdb::PinnableSlice> values(changes.size());
  std::vector<rocksdb::Status> statuses(changes.size());
  db_->MultiGet(ReadOptionsOf(caching), hist_, changes.size(), slices.data(), values.data(), statuses.data());
  records->clear();
  records->reserve(changes.size());
  for (size_t i = 0; i < changes.size(); ++i) {
    if (!statuses[i].ok()) {
      return FromRocks(statuses[i], ReadOf(changes[i]));
    }
    KEEL_ASSIGN_OR_RETURN(Record record, ParseRecord(changes[i], FromSlice(values[i])));
    records->push_back(std::move(record));
  }
  return absl::OkStatus();
}

std::unique_ptr<EngineIterator> RocksEngine::HistIteratorOf(const rocksdb::Snapshot* snapshot,
                                                            size_t readahead_bytes) const {
  rocksdb::ReadOptions options = ReadOptionsOf(Caching::kBypass);
  options.readahead_size = readahead_bytes;
  options.snapshot = snapshot;
  return std::make_unique<RocksIterator>(db_->NewIterator(options, hist_));
}

absl::Status RocksEngine::Write(EngineBatch* batch) {
  KEEL_RETURN_IF_ERROR(listener_->error());
  return FromRocks(db_->Write(write_options_, static_cast<RocksBatch*>(batch)->writes()), "write");
}

absl::Status RocksEngine::Flush() {
  KEEL_RETURN_IF_ERROR(listener_->error());
  return FromRocks(db_->Flush(rocksdb::FlushOptions(), handles_), "flush");
}

absl::Status RocksEngine::Checkpoint(const std::string& dir) {
  rocksdb::Checkpoint* raw = nullptr;
  rocksdb::Status status = rocksdb::Checkpoint::Create(db_.get(), &raw);
  if (!status.ok()) return FromRocks(status, "checkpoint");
  std::unique_ptr<rocksdb::Checkpoint> checkpoint(raw);
  // 0: flush first, whatever the size of the log that we do not have.
  return FromRocks(checkpoint->CreateCheckpoint(dir, 0), absl::StrCat("checkpoint to ", dir));
}

void RocksEngine::Abandon() {
  // A database that refuses only closes more slowly.
  (void)db_->SetDBOptions({{"avoid_flush_during_shutdown", "true"}});
}

int64_t RocksEngine::AllocatedBytes() const {
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

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> OpenRocksEngine(const std::string& dir, const StateOptions& options,
                                                        std::shared_ptr<FlushSignal> signal) {
  return RocksEngine::Open(dir, options, std::move(signal));
}

absl::StatusOr<StatePoint> ReadRocksPoint(const std::string& dir) {
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
  return ParsePoint(value, dir);
}

}  // namespace keel::storage
