#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "rocksdb/env.h"
#include "storage/state/medium.h"
#include "storage/state/rocks_engine.h"

namespace keel::storage {
namespace {

namespace fs = std::filesystem;

constexpr char kLockName[] = "LOCK";
constexpr char kCurrentName[] = "CURRENT";
constexpr std::string_view kPrefix = "gen-";

absl::Status FromErrno(int error, std::string_view what, const std::string& path) {
  std::string text = absl::StrCat("state: cannot ", ToAbsl(what), " ", path, ": ", std::strerror(error));
  if (error == ENOSPC || error == EDQUOT) return absl::ResourceExhaustedError(text);
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(text);
  return absl::InternalError(text);
}

// Opens, syncs, closes.
absl::Status SyncPath(const std::string& path, int flags) {
  int fd = open(path.c_str(), flags | O_CLOEXEC);
  if (fd < 0) return FromErrno(errno, "open", path);
  absl::Status status;
  if (fsync(fd) != 0) status = FromErrno(errno, "sync", path);
  close(fd);
  return status;
}

absl::Status WriteSynced(const std::string& path, std::string_view text) {
  int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return FromErrno(errno, "create", path);
  absl::Status status;
  while (!text.empty() && status.ok()) {
    ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      status = FromErrno(errno, "write", path);
    } else {
      text.remove_prefix(static_cast<size_t>(n));
    }
  }
  if (status.ok() && fsync(fd) != 0) status = FromErrno(errno, "sync", path);
  close(fd);
  return status;
}

absl::Status SyncDir(const std::string& dir) { return SyncPath(dir, O_RDONLY | O_DIRECTORY); }

absl::Status SyncDirAndFiles(const std::string& dir) {
  std::error_code error;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error)) {
    std::error_code type_error;
    if (it->is_regular_file(type_error)) KEEL_RETURN_IF_ERROR(SyncPath(it->path().string(), O_RDONLY));
  }
  if (error) return FromErrno(error.value(), "list", dir);
  return SyncDir(dir);
}

class FileGenerationDir final : public GenerationDir {
 public:
  static absl::StatusOr<std::unique_ptr<GenerationDir>> Open(const std::string& dir);
  ~FileGenerationDir() override;

  std::string current() const override { return PathOf(number_); }
  std::string next() const override { return PathOf(number_ + 1); }
  absl::Status Switch() override;
  absl::Status RemoveLeftovers() override;

 private:
  explicit FileGenerationDir(std::string dir) : dir_(std::move(dir)) {}

  std::string PathOf(uint64_t number) const;
  absl::Status WriteCurrent(uint64_t number);

  const std::string dir_;
  uint64_t number_ = 1;
  rocksdb::FileLock* lock_ = nullptr;  // Of <dir>/LOCK.
};

std::string FileGenerationDir::PathOf(uint64_t number) const {
  return absl::StrCat(dir_, "/", ToAbsl(kPrefix), number);
}

absl::StatusOr<std::unique_ptr<GenerationDir>> FileGenerationDir::Open(const std::string& dir) {
  KEEL_RETURN_IF_ERROR(CreateDirs(dir));
  std::unique_ptr<FileGenerationDir> self(new FileGenerationDir(dir));
  rocksdb::Status locked = rocksdb::Env::Default()->LockFile(absl::StrCat(dir, "/", kLockName), &self->lock_);
  if (!locked.ok()) return FromRocks(locked, absl::StrCat("cannot lock ", dir));

  std::string current_path = absl::StrCat(dir, "/", kCurrentName);
  std::error_code error;
  if (!fs::exists(current_path, error)) {
    if (error) return FromErrno(error.value(), "look at", current_path);
    KEEL_RETURN_IF_ERROR(self->WriteCurrent(1));
    return self;
  }
  std::ifstream file(current_path);
  std::string name;
  std::getline(file, name);
  uint64_t number = 0;
  const char* first = name.data() + std::min(name.size(), kPrefix.size());
  const char* last = name.data() + name.size();
  auto [end, parse_error] = std::from_chars(first, last, number);
  if (!std::string_view(name).starts_with(kPrefix) || parse_error != std::errc() || end != last || number == 0) {
    return absl::DataLossError(
        absl::StrCat("state: ", current_path, " does not name a generation; restore this member from a snapshot"));
  }
  self->number_ = number;
  // The process that wrote CURRENT may have been killed before it had synced the directory; the generation before must
  // not be removed on the word of a name that a power cut would take back.
  KEEL_RETURN_IF_ERROR(SyncDir(dir));
  // The first generation is created after CURRENT; any later one was complete before.
  if (number > 1 && !fs::is_directory(self->current(), error)) {
    return absl::DataLossError(
        absl::StrCat("state: ", self->current(), " is missing; restore this member from a snapshot"));
  }
  return self;
}

FileGenerationDir::~FileGenerationDir() {
  if (lock_ != nullptr) rocksdb::Env::Default()->UnlockFile(lock_);
}

absl::Status FileGenerationDir::WriteCurrent(uint64_t number) {
  std::string path = absl::StrCat(dir_, "/", kCurrentName);
  std::string temporary = absl::StrCat(path, ".tmp");
  KEEL_RETURN_IF_ERROR(WriteSynced(temporary, absl::StrCat(ToAbsl(kPrefix), number, "\n")));
  if (rename(temporary.c_str(), path.c_str()) != 0) return FromErrno(errno, "replace", path);
  return SyncDir(dir_);
}

absl::Status FileGenerationDir::Switch() {
  KEEL_RETURN_IF_ERROR(WriteCurrent(number_ + 1));
  ++number_;
  return absl::OkStatus();
}

absl::Status FileGenerationDir::RemoveLeftovers() {
  std::error_code error;
  std::vector<fs::path> leftovers;
  for (fs::directory_iterator it(dir_, error), end; !error && it != end; it.increment(error)) {
    std::string name = it->path().filename().string();
    if (name != kLockName && name != kCurrentName && it->path() != fs::path(current())) leftovers.push_back(it->path());
  }
  if (error) return FromErrno(error.value(), "list", dir_);
  for (const fs::path& path : leftovers) {
    fs::remove_all(path, error);
    if (error) return FromErrno(error.value(), "remove", path.string());
    KEEL_LOG_INFO("removed a leftover of the state", {{"path", path.string()}});
  }
  return absl::OkStatus();
}

class FileMediumImpl final : public StateMedium {
 public:
  absl::StatusOr<std::unique_ptr<GenerationDir>> OpenDir(const std::string& dir) override {
    return FileGenerationDir::Open(dir);
  }
  absl::StatusOr<std::unique_ptr<Engine>> OpenEngine(const std::string& dir, const StateOptions& options,
                                                     std::shared_ptr<FlushSignal> signal) override {
    return OpenRocksEngine(dir, options, std::move(signal));
  }
  absl::StatusOr<StatePoint> ReadPoint(const std::string& dir) override { return ReadRocksPoint(dir); }

  Disk* disk() override { return &Disk::Real(); }

  bool Exists(const std::string& path) override {
    std::error_code error;
    return fs::exists(path, error);
  }
  absl::Status Move(const std::string& from, const std::string& to) override {
    if (std::rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
    return absl::InternalError(absl::StrCat("state: cannot move ", from, " to ", to, ": ", std::strerror(errno)));
  }
  absl::Status Sync(const std::string& dir) override { return SyncDirAndFiles(dir); }
  absl::Status SyncNames(const std::string& dir) override { return SyncDir(dir); }
  absl::Status Remove(const std::string& dir) override {
    std::error_code error;
    fs::remove_all(dir, error);
    return error ? FromErrno(error.value(), "remove", dir) : absl::OkStatus();
  }
};

}  // namespace

std::shared_ptr<StateMedium> FileMedium() {
  static const auto* const medium = new std::shared_ptr<StateMedium>(std::make_shared<FileMediumImpl>());
  return *medium;
}

}  // namespace keel::storage
