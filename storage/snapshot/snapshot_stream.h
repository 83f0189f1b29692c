#pragma once

// A checkpoint directory as one stream of bytes, and back. The stream frames every file with its name, size and
// checksum (format: storage/README.md), so that a receiver can verify it whole before it uses any of it.

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace keel::storage {

// What a stream begins with.
inline constexpr std::string_view kSnapshotMagic = "KEELSNAP";
// A stream's length is a multiple of this, as clients expect of a backup's.
inline constexpr size_t kSnapshotBlockBytes = 512;

// Reads the files of a checkpoint directory in name order. Owned by one thread.
class SnapshotReader {
 public:
  static absl::StatusOr<std::unique_ptr<SnapshotReader>> Open(const std::string& dir);
  virtual ~SnapshotReader() = default;

  // Up to `bytes_max` next bytes of the stream; empty at its end.
  virtual absl::StatusOr<std::string> Next(size_t bytes_max) = 0;
  virtual uint64_t total_bytes() const = 0;
};

// Writes the stream's files into a new directory. Owned by one thread. Without Finish() the directory is removed by the
// destructor.
class SnapshotWriter {
 public:
  // `dir` must not exist; its parent must.
  static absl::StatusOr<std::unique_ptr<SnapshotWriter>> Create(const std::string& dir);
  virtual ~SnapshotWriter() = default;

  // kDataLoss: the stream is damaged; kResourceExhausted: no space. The writer is then useless.
  virtual absl::Status Append(std::string_view bytes) = 0;
  // Everything arrived and verified; files and directory are synced. kDataLoss when the stream is not complete.
  virtual absl::Status Finish() = 0;
};

}  // namespace keel::storage
