#pragma once

// A backup in a file: a database image, whose length is a multiple of 512, and then its SHA-256. So etcd's tools know
// it; ours has a snapshot stream for an image, etcd's a bbolt database.

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace keel::storage {

// The image in `file`, its digest checked and cut off. `skip_hash_check`: taken as it is, with or without a digest.
//   kInvalidArgument  there is no digest
//   kDataLoss         it does not fit
absl::StatusOr<std::string_view> BackupImage(std::string_view file, bool skip_hash_check);

// Whether an image is a snapshot stream of ours, by its first bytes.
bool IsSnapshotStream(std::string_view image);

// Writes the files of a snapshot stream into the new directory `dir`; verified as SnapshotWriter does. Nothing is left
// there on error.
absl::Status UnpackSnapshot(std::string_view image, const std::string& dir);

}  // namespace keel::storage
