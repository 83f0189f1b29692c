#pragma once

// The database of one generation of the state: two ordered families of byte strings (`hist` for the history, `meta` for
// the rest), written in atomic batches without a log of their own. A crash comes back to exactly some earlier batch; a
// flush says which batch at least. RocksDB is one (rocks_engine.h), memory is the other (memory_medium.h).

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "storage/state/meta_codec.h"
#include "storage/state/record.h"

namespace keel::storage {

// What an engine's own threads have to tell. Shared by the generations of a store; takes no lock that anyone holds
// around a write. Thread-safe.
class FlushSignal {
 public:
  void SetListener(std::function<void()> listener);
  void Notify();

 private:
  absl::Mutex mu_;
  std::function<void()> listener_ ABSL_GUARDED_BY(mu_);
};

// Changes that are written together. Of two changes of one key the later counts. Owned by one thread.
class EngineBatch {
 public:
  virtual ~EngineBatch() = default;

  void AddRecord(ChangeId change, const Record& record);
  void DeleteRecord(ChangeId change);
  void PutMeta(std::string_view key, std::string_view value) { Put(Family::kMeta, key, value, {}); }
  void DeleteMeta(std::string_view key) { Delete(Family::kMeta, key); }

 protected:
  enum class Family { kMeta, kHist };

  // The value is `head` and then `tail`.
  virtual void Put(Family family, std::string_view key, std::string_view head, std::string_view tail) = 0;
  virtual void Delete(Family family, std::string_view key) = 0;
};

// How much an iterator will meet: what it reads ahead is that much too much at its end, and what is read at once and
// fits into the processor's caches is cheaper to look at.
enum class ScanLength { kShort, kLong };

// In key order, over one moment of the database, which it pins: keep it short. Starts nowhere; Seek() first. Owned by
// one thread; the engine outlives it.
class EngineIterator {
 public:
  virtual ~EngineIterator() = default;

  virtual void SeekToFirst() = 0;
  virtual void Seek(std::string_view key) = 0;
  // REQUIRES: Valid(), as all below but status().
  virtual void Next() = 0;
  virtual bool Valid() const = 0;
  // Both valid until the next move.
  virtual std::string_view key() const = 0;
  virtual std::string_view value() const = 0;
  // Why it ended, when not at the end. `what` says what was being done.
  virtual absl::Status status(std::string_view what) const = 0;
};

// A moment of the database; keeps what it shows. The engine outlives it.
class EngineSnapshot {
 public:
  virtual ~EngineSnapshot() = default;
};

// Thread-safe. Errors: kNotFound; kDataLoss for damage; kResourceExhausted for a full disk; kInternal else.
class Engine {
 public:
  virtual ~Engine() = default;

  // nullopt when absent.
  virtual absl::StatusOr<std::optional<std::string>> GetMeta(std::string_view key) const = 0;
  // The point as a crash now would find it; nullopt when nothing was ever flushed.
  virtual absl::StatusOr<std::optional<StatePoint>> DurablePoint() const = 0;
  // kNotFound when compacted away, kDataLoss when damaged.
  virtual absl::StatusOr<Record> GetRecord(ChangeId change, Caching caching) const = 0;
  // In the order of `changes`; kNotFound when any is missing.
  virtual absl::Status GetRecords(const std::vector<ChangeId>& changes, Caching caching,
                                  std::vector<Record>* records) const = 0;

  virtual std::unique_ptr<EngineSnapshot> Snapshot() const = 0;
  // As of now, or as of a snapshot of this engine, which outlives the iterator.
  virtual std::unique_ptr<EngineIterator> MetaIterator() const = 0;
  virtual std::unique_ptr<EngineIterator> HistIterator(ScanLength length) const = 0;
  virtual std::unique_ptr<EngineIterator> HistIteratorAt(const EngineSnapshot& snapshot) const = 0;

  virtual std::unique_ptr<EngineBatch> NewBatch() const = 0;
  // Atomic; the batch, which NewBatch() of this engine made, is spent. Not OK as well when background work has failed
  // since the start: what is written then may never become durable.
  virtual absl::Status Write(EngineBatch* batch) = 0;

  // Everything written before becomes durable, as one; blocks.
  virtual absl::Status Flush() = 0;
  // `dir` must not exist. Includes everything written before the call.
  virtual absl::Status Checkpoint(const std::string& dir) = 0;
  // The database will be removed: what is not durable yet need not become so when it closes.
  virtual void Abandon() = 0;

  // Bytes on disk, and in memory on the way there.
  virtual int64_t AllocatedBytes() const = 0;
  // True once after each completed flush.
  virtual bool TakeFlushed() = 0;
};

// For engines: the record that is stored as `stored`. kDataLoss when damaged.
absl::StatusOr<Record> ParseRecord(ChangeId change, std::string_view stored);
// "read of change 7.0"
std::string ReadOf(ChangeId change);
// The point that is stored as `stored`. kDataLoss, which names `place`, when damaged.
absl::StatusOr<StatePoint> ParsePoint(std::string_view stored, std::string_view place);

}  // namespace keel::storage
