#pragma once

// Databases in memory, which survive the stores that use them and lose in a crash what they would lose on a disk: for
// simulation and quick tests. A member's medium is its disk; a restart opens the same one again. What was not flushed
// is lost whenever a database is opened again without Crash().
//
//   auto disk = std::make_shared<MemoryMedium>();
//   auto store = StateStore::Open({.dir = "/state", .medium = disk});
//   ...
//   store.reset();
//   disk->Crash([&](size_t unflushed) { return random.Below(unflushed + 1); });
//   store = StateStore::Open({.dir = "/state", .medium = disk});

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/synchronization/mutex.h"
#include "storage/state/medium.h"

namespace keel::storage {

// Thread-safe. Paths are names: there are no parents to create. Names and small files (CURRENT) are durable at once.
class MemoryMedium final : public StateMedium, public std::enable_shared_from_this<MemoryMedium> {
 public:
  MemoryMedium();
  ~MemoryMedium() override;

  // --- What a world does to it.

  // The process that used it ends with no goodbye. Each database comes back at what was flushed and then the first
  // `keep(n)` of its `n` batches that were not: a flush may have been under way that nobody was told of. REQUIRES: the
  // stores are gone.
  void Crash(const std::function<size_t(size_t unflushed)>& keep);
  // What a crash now would come back to that keeps nothing else, as a medium of its own.
  std::shared_ptr<MemoryMedium> DurableImage() const;
  // As RocksDB does by itself: flushes the first `keep(n)` of each database's `n` unflushed batches, and tells the
  // store.
  void FlushInBackground(const std::function<size_t(size_t unflushed)>& keep);
  // Copies the database at `from` to `to` on another medium, durable. kNotFound.
  absl::Status CopyTo(const std::string& from, const std::string& to, MemoryMedium* other) const;
  // Told after every step that changes what is durable, by its name; may call DurableImage().
  void SetStepListener(std::function<void(std::string_view step)> listener);

  // --- StateMedium.
  absl::StatusOr<std::unique_ptr<GenerationDir>> OpenDir(const std::string& dir) override;
  absl::StatusOr<std::unique_ptr<Engine>> OpenEngine(const std::string& dir, const StateOptions& options,
                                                     std::shared_ptr<FlushSignal> signal) override;
  absl::StatusOr<StatePoint> ReadPoint(const std::string& dir) override;
  Disk* disk() override { return nullptr; }
  bool Exists(const std::string& path) override;
  absl::Status Move(const std::string& from, const std::string& to) override;
  absl::Status Sync(const std::string& dir) override;
  absl::Status SyncNames(const std::string& /*dir*/) override { return absl::OkStatus(); }  // They always are.
  absl::Status Remove(const std::string& dir) override;

 private:
  class Database;
  class Batch;
  class Iterator;
  class MomentSnapshot;
  class MemoryEngine;
  class Home;

  std::shared_ptr<Database> Find(const std::string& path) const;
  void Stepped(std::string_view step);

  mutable absl::Mutex mu_;
  std::map<std::string, std::shared_ptr<Database>> databases_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, uint64_t> current_ ABSL_GUARDED_BY(mu_);  // Generation in force, by directory.
  std::map<std::string, bool> held_ ABSL_GUARDED_BY(mu_);
  std::function<void(std::string_view)> listener_ ABSL_GUARDED_BY(mu_);
};

}  // namespace keel::storage
