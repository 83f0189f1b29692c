#pragma once

// Files and directories, as the log needs them: a seam for tests and simulation, which fail, tear and forget writes.
// The real one is a thin layer over the system calls. Errors carry the path and the system's words; a full disk is
// kResourceExhausted, a missing file kNotFound.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace keel::storage {

// An open file. Reads may overlap each other and a write elsewhere in the file; one writer at a time.
class DiskFile {
 public:
  virtual ~DiskFile() = default;

  // Writes all of `bytes` at `offset`. After an error any part of them may be there.
  virtual absl::Status Write(uint64_t offset, std::string_view bytes) = 0;
  // Returns when what was written, and the metadata needed to find it, is on the device. An error is final for the
  // file: the system may have dropped the pages it could not write, so a later success would prove nothing.
  virtual absl::Status Sync() = 0;
  // Up to `n` bytes at `offset` into `out`; fewer only at the end of the file.
  virtual absl::StatusOr<size_t> Read(uint64_t offset, size_t n, char* out) const = 0;
  virtual absl::StatusOr<uint64_t> Size() const = 0;
};

// Thread-safe.
class Disk {
 public:
  virtual ~Disk() = default;
  static Disk& Real();

  // With mode 0700; an existing directory is fine. Its entry in the parent is synced.
  virtual absl::Status CreateDir(const std::string& path) = 0;
  // Names of the entries, ascending.
  virtual absl::StatusOr<std::vector<std::string>> List(const std::string& dir) const = 0;
  // A new file, for reading and writing. kAlreadyExists.
  virtual absl::StatusOr<std::unique_ptr<DiskFile>> Create(const std::string& path) = 0;
  // An existing file, for reading and writing.
  virtual absl::StatusOr<std::unique_ptr<DiskFile>> Open(const std::string& path) = 0;
  // Replaces `to` when it exists. Durable after SyncDir.
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  virtual absl::Status Remove(const std::string& path) = 0;
  // Makes created, renamed and removed entries durable.
  virtual absl::Status SyncDir(const std::string& dir) = 0;
};

// Creates `path` and what is missing above it, on the machine's own disk; each one's name is durable.
absl::Status CreateDirs(const std::string& path);

// "WHAT: No space left on device" with the code that fits `error` (an errno value).
absl::Status ErrnoStatus(int error, const std::string& what);

// The whole file. REQUIRES: it is small enough to be held in memory.
absl::StatusOr<std::string> ReadWhole(const DiskFile& file);

}  // namespace keel::storage
