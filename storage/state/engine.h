#pragma once

// The one RocksDB of a generation of the state: its options, its two column families (`hist` for the history, the
// default one as `meta`), and its errors as absl::Status. There is no write-ahead log; atomic flush makes a crash come
// back to exactly some earlier batch of writes (facebook/rocksdb, atomic flush without WAL).
//
// Thread-safe.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "rocksdb/db.h"
#include "rocksdb/listener.h"
#include "rocksdb/write_batch.h"
#include "storage/state/meta_codec.h"
#include "storage/state/record.h"
#include "storage/state/state_store.h"

namespace keel::storage {

// kNotFound for NotFound; kDataLoss for corruption; kResourceExhausted for a full disk; kFailedPrecondition when
// another process holds it; kInternal else. `what` says what was being done.
absl::Status FromRocks(const rocksdb::Status& status, std::string_view what);

// What RocksDB's own threads have to tell. Shared by the generations of a store; takes no lock that anyone holds around
// a write. Thread-safe.
class FlushSignal {
 public:
  void SetListener(std::function<void()> listener);
  void Notify();

 private:
  absl::Mutex mu_;
  std::function<void()> listener_ ABSL_GUARDED_BY(mu_);
};

class Engine {
 public:
  // Creates when missing.
  static absl::StatusOr<std::unique_ptr<Engine>> Open(const std::string& dir, const StateOptions& options,
                                                      std::shared_ptr<FlushSignal> signal);
  ~Engine();

  // nullopt when absent.
  absl::StatusOr<std::optional<std::string>> GetMeta(std::string_view key) const;
  // The point as a crash now would find it; nullopt when nothing was ever flushed.
  absl::StatusOr<std::optional<StatePoint>> DurablePoint() const;
  // kNotFound when compacted away, kDataLoss when damaged.
  absl::StatusOr<Record> GetRecord(ChangeId change) const;
  // In the order of `changes`; kNotFound when any is missing.
  absl::Status GetRecords(const std::vector<ChangeId>& changes, std::vector<Record>* records) const;

  // Both see the database as it is now, and pin it: keep them short. They start nowhere; Seek() first.
  std::unique_ptr<rocksdb::Iterator> MetaIterator() const;
  // `snapshot` may be null.
  std::unique_ptr<rocksdb::Iterator> HistIterator(const rocksdb::Snapshot* snapshot = nullptr) const;
  rocksdb::DB* db() const { return db_.get(); }

  // Atomic. Not OK as well when RocksDB has reported a background error since the start.
  absl::Status Write(rocksdb::WriteBatch* batch);
  void AddRecord(ChangeId change, const Record& record, rocksdb::WriteBatch* batch) const;
  void DeleteRecord(ChangeId change, rocksdb::WriteBatch* batch) const;
  void PutMeta(std::string_view key, std::string_view value, rocksdb::WriteBatch* batch) const;
  void DeleteMeta(std::string_view key, rocksdb::WriteBatch* batch) const;

  // Both families in one atomic flush; blocks.
  absl::Status Flush();
  // Hard links where possible; `dir` must not exist. Includes everything written before the call.
  absl::Status Checkpoint(const std::string& dir);

  // Bytes in files, and in memory on the way there.
  int64_t AllocatedBytes() const;
  // True once after each completed flush.
  bool TakeFlushed() { return flushed_->exchange(false); }

  // The point that a checkpoint's files stand for.
  static absl::StatusOr<StatePoint> ReadPoint(const std::string& dir);

 private:
  class Listener;

  Engine() = default;

  std::shared_ptr<std::atomic<bool>> flushed_ = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<Listener> listener_;
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::ColumnFamilyHandle* meta_ = nullptr;  // Owned by handles_.
  rocksdb::ColumnFamilyHandle* hist_ = nullptr;
  std::vector<rocksdb::ColumnFamilyHandle*> handles_;
  rocksdb::WriteOptions write_options_;
};

}  // namespace keel::storage
