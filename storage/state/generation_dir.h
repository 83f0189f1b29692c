#pragma once

// The directory that holds the generations of the state, one database each, and which of them counts:
//
//   <dir>/LOCK       held by the process that has it open
//   <dir>/CURRENT    "gen-N\n", replaced atomically
//   <dir>/gen-N/     a RocksDB
//
// Anything else is a leftover of a crash and goes at the next open. Owned by one thread.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rocksdb/env.h"

namespace keel::storage {

class GenerationDir {
 public:
  // Creates the directory and its first generation's name when missing. kFailedPrecondition: in use.
  static absl::StatusOr<std::unique_ptr<GenerationDir>> Open(const std::string& dir);
  ~GenerationDir();

  std::string current() const { return PathOf(number_); }
  // Where the next generation must be put before Switch().
  std::string next() const { return PathOf(number_ + 1); }

  // Makes next() the current one; durable when it returns OK. On error the old one still is.
  absl::Status Switch();
  // Removes what is neither current nor ours.
  absl::Status RemoveLeftovers();

 private:
  explicit GenerationDir(std::string dir) : dir_(std::move(dir)) {}

  std::string PathOf(uint64_t number) const;
  absl::Status WriteCurrent(uint64_t number);

  const std::string dir_;
  uint64_t number_ = 1;
  rocksdb::FileLock* lock_ = nullptr;
};

// All files of a directory (not of those below it), then the directory itself.
absl::Status SyncDirAndFiles(const std::string& dir);
// The names in a directory.
absl::Status SyncDir(const std::string& dir);

}  // namespace keel::storage
