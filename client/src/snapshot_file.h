#pragma once

// A file that a snapshot is received into.

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/sha256.h"

namespace keel::client {

// Written as "<path>.part", verified against the digest that ends it, synced, then renamed. Without Finish() nothing is
// left behind. Owned by one thread.
class SnapshotFile {
 public:
  explicit SnapshotFile(std::string path) : path_(std::move(path)), part_(path_ + ".part") {}
  ~SnapshotFile();
  SnapshotFile(const SnapshotFile&) = delete;
  SnapshotFile& operator=(const SnapshotFile&) = delete;

  // Mode 0600: it holds everything the cluster knows.
  absl::Status Open();
  absl::Status Append(std::string_view bytes);
  // kDataLoss: the bytes are no whole snapshot.
  absl::Status Finish();
  uint64_t bytes() const { return bytes_; }

 private:
  absl::Status Fail(int error, std::string_view what, const std::string& path) const;

  const std::string path_;
  const std::string part_;
  int fd_ = -1;
  uint64_t bytes_ = 0;
  std::string tail_;  // The last bytes so far, which may be the digest.
  Sha256 digest_;     // Of everything before them.
};

}  // namespace keel::client
