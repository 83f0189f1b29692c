#include "storage/data_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "storage/disk.h"

namespace keel::storage {
namespace {

constexpr int kFormat = 2;
constexpr char kIdentityName[] = "MEMBER";
constexpr char kLockName[] = "LOCK";

// A name goes into a line of text, so it must stay on it.
bool IsNameSafe(std::string_view name) {
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  return true;
}

std::string EncodeIdentity(const MemberIdentity& identity) {
  std::string text =
      absl::StrFormat("keel-member %d\ncluster %016x\nmember %016x\nname %s\ndirectory %016x\nstarts %016x\n", kFormat,
                      identity.cluster_id, identity.member_id, identity.name, identity.directory_id, identity.starts);
  absl::StrAppendFormat(&text, "crc %08x\n", Crc32c(text));
  return text;
}

bool ConsumeHex(absl::string_view line, absl::string_view key, uint64_t* value) {
  return absl::ConsumePrefix(&line, key) && line.size() == 16 && absl::SimpleHexAtoi(line, value);
}

absl::StatusOr<MemberIdentity> DecodeIdentity(const std::string& path, const std::string& text) {
  const absl::Status damaged = absl::DataLossError(
      absl::StrCat(path, " is damaged; restore it from a copy, or remove the data directory and add the member again"));
  const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  absl::string_view first = lines[0];
  int format = 0;
  if (!absl::ConsumePrefix(&first, "keel-member ") || !absl::SimpleAtoi(first, &format)) return damaged;
  if (format > kFormat) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " has format ", format, ", this version knows up to ", kFormat, "; run a newer one"));
  }
  MemberIdentity identity;
  if (format != kFormat || lines.size() != 8 || !ConsumeHex(lines[1], "cluster ", &identity.cluster_id) ||
      !ConsumeHex(lines[2], "member ", &identity.member_id) || !absl::StartsWith(lines[3], "name ") ||
      !ConsumeHex(lines[4], "directory ", &identity.directory_id) ||
      !ConsumeHex(lines[5], "starts ", &identity.starts)) {
    return damaged;
  }
  identity.name = std::string(lines[3].substr(5));
  if (text != EncodeIdentity(identity)) return damaged;  // The checksum, and every other byte.
  return identity;
}

class DataDirImpl final : public DataDir {
 public:
  DataDirImpl(std::string path, int lock_fd, std::optional<MemberIdentity> identity)
      : path_(std::move(path)), lock_fd_(lock_fd), identity_(std::move(identity)) {}
  ~DataDirImpl() override { ::close(lock_fd_); }  // Which releases the lock.
  DataDirImpl(const DataDirImpl&) = delete;
  DataDirImpl& operator=(const DataDirImpl&) = delete;

  const std::optional<MemberIdentity>& identity() const override { return identity_; }

  absl::Status WriteIdentity(const MemberIdentity& identity) override {
    if (identity_ && *identity_ == identity) return absl::OkStatus();
    if (identity_) {
      return absl::FailedPreconditionError(absl::StrCat(path_, " already belongs to member '", identity_->name, "'"));
    }
    if (!IsNameSafe(identity.name)) {
      return absl::InvalidArgumentError("a member's name must not hold control characters");
    }
    MemberIdentity chosen = identity;
    while (chosen.directory_id == 0) chosen.directory_id = Random::EntropySeed();
    return Replace(chosen);
  }

  absl::Status CountStart() override {
    KEEL_CHECK(identity_.has_value());
    MemberIdentity counted = *identity_;
    ++counted.starts;
    return Replace(counted);
  }

  std::string log_dir() const override { return path_ + "/log"; }
  std::string state_dir() const override { return path_ + "/state"; }
  std::string incoming_dir() const override { return path_ + "/incoming"; }
  const std::string& path() const override { return path_; }

 private:
  absl::Status Replace(const MemberIdentity& identity) {
    Disk& disk = Disk::Real();
    const std::string temporary = absl::StrCat(path_, "/", kIdentityName, ".tmp");
    if (const absl::Status removed = disk.Remove(temporary); !removed.ok() && !absl::IsNotFound(removed)) {
      return removed;
    }
    {
      KEEL_ASSIGN_OR_RETURN(const std::unique_ptr<DiskFile> file, disk.Create(temporary));
      KEEL_RETURN_IF_ERROR(file->Write(0, EncodeIdentity(identity)));
      KEEL_RETURN_IF_ERROR(file->Sync());
    }
    KEEL_RETURN_IF_ERROR(disk.Rename(temporary, absl::StrCat(path_, "/", kIdentityName)));
    KEEL_RETURN_IF_ERROR(disk.SyncDir(path_));
    identity_ = identity;
    return absl::OkStatus();
  }

  const std::string path_;
  const int lock_fd_;
  std::optional<MemberIdentity> identity_;
};

// The lock's descriptor. It is released by the kernel however the process ends.
absl::StatusOr<int> Lock(const std::string& dir) {
  const std::string path = absl::StrCat(dir, "/", kLockName);
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("open ", path));
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  const int error = errno;
  ::close(fd);
  if (error != EWOULDBLOCK) return ErrnoStatus(error, absl::StrCat("lock ", path));
  return absl::FailedPreconditionError(
      absl::StrCat("data directory ", dir, " is in use by another process; stop it first"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataDir>> DataDir::Open(const std::string& given) {
  if (given.empty()) return absl::InvalidArgumentError("the data directory has no name");
  std::string path = given;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  KEEL_RETURN_IF_ERROR(CreateDirs(path));
  KEEL_ASSIGN_OR_RETURN(const int lock, Lock(path));
  const std::string identity_path = absl::StrCat(path, "/", kIdentityName);
  absl::StatusOr<std::optional<MemberIdentity>> found = [&]() -> absl::StatusOr<std::optional<MemberIdentity>> {
    if (::access(identity_path.c_str(), F_OK) != 0 && errno == ENOENT) return std::nullopt;
    KEEL_ASSIGN_OR_RETURN(const std::unique_ptr<DiskFile> file, Disk::Real().Open(identity_path));
    KEEL_ASSIGN_OR_RETURN(const std::string text, ReadWhole(*file));
    KEEL_ASSIGN_OR_RETURN(MemberIdentity read, DecodeIdentity(identity_path, text));
    return read;
  }();
  if (!found.ok()) {
    ::close(lock);
    return found.status();
  }
  return std::make_unique<DataDirImpl>(std::move(path), lock, *std::move(found));
}

}  // namespace keel::storage
