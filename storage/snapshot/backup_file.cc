#include "storage/snapshot/backup_file.h"

#include <algorithm>
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "storage/snapshot/snapshot_stream.h"

namespace keel::storage {
namespace {

constexpr size_t kPieceBytes = 1 << 20;

}  // namespace

absl::StatusOr<std::string_view> BackupImage(std::string_view file, bool skip_hash_check) {
  const bool has_digest = file.size() % kSnapshotBlockBytes == kSha256Bytes;
  const std::string_view image = has_digest ? file.substr(0, file.size() - kSha256Bytes) : file;
  if (skip_hash_check) return image;
  if (!has_digest) {
    return absl::InvalidArgumentError(
        absl::StrCat("snapshot missing hash but --skip-hash-check=false: a file of ", file.size(),
                     " bytes is no saved snapshot; a copy of a member's database needs --skip-hash-check"));
  }
  Sha256 digest;
  digest.Update(image);
  const std::string actual = digest.Finish();
  const std::string_view expected = file.substr(image.size());
  if (actual != expected) {
    return absl::DataLossError(absl::StrCat("expected sha256 ", absl::BytesToHexString(ToAbsl(expected)), ", got ",
                                            absl::BytesToHexString(actual), ": the file is damaged"));
  }
  return image;
}

bool IsSnapshotStream(std::string_view image) { return image.starts_with(kSnapshotMagic); }

absl::Status UnpackSnapshot(std::string_view image, const std::string& dir) {
  KEEL_ASSIGN_OR_RETURN(const std::unique_ptr<SnapshotWriter> writer, SnapshotWriter::Create(dir));
  while (!image.empty()) {
    const size_t n = std::min(image.size(), kPieceBytes);
    KEEL_RETURN_IF_ERROR(writer->Append(image.substr(0, n)));
    image.remove_prefix(n);
  }
  return writer->Finish();
}

}  // namespace keel::storage
