#pragma once

// The index on disk, as of some revision, so that a start reads it instead of the whole history. Grammar in
// storage/README.md. Everything in it is covered by one checksum chain; what is damaged or cut off is refused as a
// whole, and the index is then made from the history.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/disk.h"
#include "storage/revision.h"
#include "storage/state/key_index.h"

namespace keel::storage {

// Builds a file piece by piece, under a temporary name. Owned by one thread.
class IndexFileWriter {
 public:
  // `revision`: all changes up to it are in what will be added, later ones may be.
  static absl::StatusOr<std::unique_ptr<IndexFileWriter>> Create(Disk* disk, const std::string& path,
                                                                 Revision revision);
  // Not finished: the file goes.
  ~IndexFileWriter();
  IndexFileWriter(const IndexFileWriter&) = delete;
  IndexFileWriter& operator=(const IndexFileWriter&) = delete;

  // Consecutive blocks, as KeyIndex::Dump makes them.
  absl::Status Add(const IndexDump& dump);
  // `newest`: no change in the file is later. Makes the file whole and durable, still under its temporary name.
  absl::Status End(Revision newest);
  // Gives it its name, in place of the one before. That may have happened when the result is not OK: see published().
  absl::Status Publish();
  bool published() const { return published_; }

 private:
  // So that a sync never has more than this to write, and nobody else's sync waits behind it for long.
  static constexpr uint64_t kSyncBytes = 8u << 20;

  IndexFileWriter(Disk* disk, std::string path) : disk_(*disk), path_(std::move(path)) {}
  absl::Status Append(std::string bytes);
  absl::Status Write(std::string_view bytes);
  std::string TemporaryPath() const { return path_ + ".tmp"; }

  Disk& disk_;
  const std::string path_;
  std::unique_ptr<DiskFile> file_;
  uint64_t size_ = 0;
  uint64_t synced_ = 0;
  uint64_t entries_ = 0;
  uint32_t chain_ = 0;
  bool published_ = false;
};

struct LoadedIndexFile {
  Revision revision;  // All changes up to it are in.
  Revision newest;    // No later one is.
};
// Loads `path` into `loader`'s index, which is of no use when the result is not OK. kNotFound: there is no such file;
// kDataLoss: it is damaged, at which offset.
absl::StatusOr<LoadedIndexFile> LoadIndexFile(Disk* disk, const std::string& path, KeyIndex::Loader* loader);

}  // namespace keel::storage
