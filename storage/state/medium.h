#pragma once

// What a state store stands on: a place for databases, addressed by path. One is RocksDB on the file system; the other
// is memory, for simulation and quick tests (memory_medium.h), where a crash is a call.

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/disk.h"
#include "storage/state/engine.h"
#include "storage/state/state_store.h"

namespace keel::storage {

// The directory that holds the generations of the state, one database each, and which of them counts:
//
//   <dir>/CURRENT    "gen-N\n", replaced atomically
//   <dir>/gen-N/     a database
//
// Anything else is a leftover of a crash and goes at the next open. Owned by one thread.
class GenerationDir {
 public:
  virtual ~GenerationDir() = default;

  virtual std::string current() const = 0;
  // Where the next generation must be put before Switch().
  virtual std::string next() const = 0;

  // Makes next() the current one; durable when it returns OK. On error the old one still is.
  virtual absl::Status Switch() = 0;
  // Removes what is neither current nor ours.
  virtual absl::Status RemoveLeftovers() = 0;
};

// Thread-safe.
class StateMedium {
 public:
  virtual ~StateMedium() = default;

  // Creates the directory and its first generation's name when missing; held by the caller until it is destroyed.
  // kFailedPrecondition: in use.
  virtual absl::StatusOr<std::unique_ptr<GenerationDir>> OpenDir(const std::string& dir) = 0;

  // Creates the database when missing.
  virtual absl::StatusOr<std::unique_ptr<Engine>> OpenEngine(const std::string& dir, const StateOptions& options,
                                                             std::shared_ptr<FlushSignal> signal) = 0;
  // The point that a checkpoint stands for. Not OK: there is no whole database.
  virtual absl::StatusOr<StatePoint> ReadPoint(const std::string& dir) = 0;

  // Where files may be put beside a database, in its directory; null: nowhere.
  virtual Disk* disk() = 0;

  virtual bool Exists(const std::string& path) = 0;
  virtual absl::Status Move(const std::string& from, const std::string& to) = 0;
  // Makes everything in `dir` durable. REQUIRES: nobody changes it meanwhile.
  virtual absl::Status Sync(const std::string& dir) = 0;
  // Makes the names in `dir` durable, which may be that of an open engine: what its files hold is the engine's to sync.
  virtual absl::Status SyncNames(const std::string& dir) = 0;
  // With everything in it.
  virtual absl::Status Remove(const std::string& dir) = 0;
};

// RocksDB on the file system.
std::shared_ptr<StateMedium> FileMedium();

}  // namespace keel::storage
