#include "client/src/snapshot_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/string_view.h"

namespace keel::client {
namespace {

// What a server's database image is a multiple of.
constexpr uint64_t kBlockBytes = 512;

}  // namespace

SnapshotFile::~SnapshotFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(part_.c_str());
}

absl::Status SnapshotFile::Fail(int error, std::string_view what, const std::string& path) const {
  const std::string text = absl::StrCat("cannot ", ToAbsl(what), " ", path, ": ", std::strerror(error));
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(text);
    case ENOENT:
      return absl::NotFoundError(text);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(text);
    default:
      return absl::InternalError(text);
  }
}

absl::Status SnapshotFile::Open() {
  fd_ = open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd_ < 0) return Fail(errno, "create", part_);
  return absl::OkStatus();
}

absl::Status SnapshotFile::Append(std::string_view bytes) {
  bytes_ += bytes.size();
  tail_.append(bytes);
  if (tail_.size() > kSha256Bytes) {
    const size_t certain = tail_.size() - kSha256Bytes;
    digest_.Update(std::string_view(tail_).substr(0, certain));
    tail_.erase(0, certain);
  }
  while (!bytes.empty()) {
    const ssize_t n = write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Fail(errno, "write", part_);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status SnapshotFile::Finish() {
  if (bytes_ % kBlockBytes != kSha256Bytes) {
    return absl::DataLossError(
        absl::StrCat("the snapshot ended early: ", bytes_, " bytes have come, which is no image and a digest"));
  }
  if (digest_.Finish() != tail_) {
    return absl::DataLossError(absl::StrCat("the snapshot was damaged on its way: its ", bytes_,
                                            " bytes do not have the SHA-256 that the server sent"));
  }
  if (fsync(fd_) != 0) return Fail(errno, "sync", part_);
  if (rename(part_.c_str(), path_.c_str()) != 0) return Fail(errno, "rename to its name", part_);
  close(fd_);
  fd_ = -1;
  std::string dir = std::filesystem::path(path_).parent_path().string();
  if (dir.empty()) dir = std::string(".");
  const int dir_fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir_fd < 0) return Fail(errno, "open", dir);
  const absl::Status synced = fsync(dir_fd) == 0 ? absl::OkStatus() : Fail(errno, "sync", dir);
  close(dir_fd);
  return synced;
}

}  // namespace keel::client
