#include "tests/member_crash/file_trace.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace keel::crash {
namespace {

struct Trace {
  std::string root;
  std::vector<FileOp> ops;
  std::map<ino_t, uint64_t> inodes;  // The file system uses its numbers again.
  uint64_t last_inode = 0;
};

std::atomic<bool> tracing = false;
std::atomic<bool> hasty = false;
// Held from before an operation until it is in the trace. Recursive: an interposed call may be made by another one.
std::recursive_mutex& Mutex() {
  static auto* const mutex = new std::recursive_mutex;
  return *mutex;
}
Trace* trace = nullptr;  // Under Mutex().

bool IsTextLog(std::string_view path) {
  const size_t slash = path.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  return name == "LOG" || name.starts_with("LOG.old");
}

// Relative to the root; nullopt: it is none of ours.
std::optional<std::string> Relative(std::string_view path) {
  if (!path.starts_with(trace->root)) return std::nullopt;
  std::string_view rest = path.substr(trace->root.size());
  if (!rest.empty() && rest[0] != '/') return std::nullopt;
  while (rest.starts_with('/')) rest.remove_prefix(1);
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (IsTextLog(rest)) return std::nullopt;
  // Two slashes in a row name the same place.
  std::string clean;
  for (const char c : rest) {
    if (c != '/' || !clean.ends_with('/')) clean.push_back(c);
  }
  return clean;
}

std::optional<std::string> PathOf(int fd) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  char target[PATH_MAX];
  const ssize_t n = readlink(link, target, sizeof target);
  if (n <= 0) return std::nullopt;
  return Relative(std::string_view(target, static_cast<size_t>(n)));
}

// What `path` means to openat and its kin.
std::optional<std::string> PathAt(int dir, const char* path) {
  if (path[0] == '/') return Relative(path);
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
  char target[PATH_MAX];
  const ssize_t n =
      dir == AT_FDCWD ? readlink("/proc/self/cwd", target, sizeof target) : readlink(link, target, sizeof target);
  if (n <= 0) return std::nullopt;
  return Relative(std::string(target, static_cast<size_t>(n)) + "/" + path);
}

uint64_t InodeOf(int fd) {
  struct stat st;
  KEEL_CHECK(fstat(fd, &st) == 0);
  const auto it = trace->inodes.find(st.st_ino);
  KEEL_CHECK(it != trace->inodes.end()) << "a file that was not there when the trace began";
  return it->second;
}

uint64_t NewInode(int fd) {
  struct stat st;
  KEEL_CHECK(fstat(fd, &st) == 0);
  return trace->inodes[st.st_ino] = ++trace->last_inode;
}

template <typename Function>
Function* Real(const char* name) {
  auto* const found = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
  KEEL_CHECK(found != nullptr) << name;
  return found;
}

// Runs `call`, and `note` when it succeeded, as one step. `errno` is that of the call.
template <typename Call, typename Note>
auto Step(Call call, Note note) {
  std::lock_guard<std::recursive_mutex> lock(Mutex());
  const auto result = call();
  const int error = errno;
  if (result >= 0 && trace != nullptr) note(result);
  errno = error;
  return result;
}

int Open(int dir, const char* path, int flags, mode_t mode) {
  static auto* const real = Real<int(int, const char*, int, mode_t)>("openat64");
  const auto call = [&] { return real(dir, path, flags, mode); };
  if (!tracing || (flags & (O_CREAT | O_TRUNC)) == 0) return call();
  std::lock_guard<std::recursive_mutex> lock(Mutex());
  struct stat st;
  const bool existed = fstatat(dir, path, &st, 0) == 0;
  return Step(call, [&](int fd) {
    const std::optional<std::string> name = PathAt(dir, path);
    if (!name) return;
    if (!existed) {
      trace->ops.push_back({.kind = FileOp::Kind::kCreate, .inode = NewInode(fd), .path = *name});
    } else if ((flags & O_TRUNC) != 0) {
      trace->ops.push_back({.kind = FileOp::Kind::kTruncate, .inode = InodeOf(fd)});
    }
  });
}

ssize_t Write(int fd, const void* data, size_t n, std::optional<off64_t> at) {
  static auto* const real = Real<ssize_t(int, const void*, size_t)>("write");
  static auto* const real_at = Real<ssize_t(int, const void*, size_t, off64_t)>("pwrite64");
  const auto call = [&] { return at ? real_at(fd, data, n, *at) : real(fd, data, n); };
  // Pipes and sockets are not waited for with the mutex held.
  struct stat st;
  if (!tracing || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return call();
  return Step(call, [&](ssize_t written) {
    if (!PathOf(fd)) return;
    const off64_t offset = at ? *at : lseek64(fd, 0, SEEK_CUR) - written;
    trace->ops.push_back({.kind = FileOp::Kind::kWrite,
                          .inode = InodeOf(fd),
                          .offset = static_cast<uint64_t>(offset),
                          .bytes = std::string(static_cast<const char*>(data), static_cast<size_t>(written))});
  });
}

int Sync(int fd, const char* name) {
  if (hasty) return 0;
  auto* const real = Real<int(int)>(name);
  if (!tracing) return real(fd);
  return Step([&] { return real(fd); },
              [&](int) {
                const std::optional<std::string> path = PathOf(fd);
                if (!path) return;
                struct stat st;
                KEEL_CHECK(fstat(fd, &st) == 0);
                if (S_ISDIR(st.st_mode)) {
                  trace->ops.push_back({.kind = FileOp::Kind::kSyncDir, .path = *path});
                } else {
                  trace->ops.push_back({.kind = FileOp::Kind::kSync, .inode = InodeOf(fd)});
                }
              });
}

int Truncate(int fd, off64_t size) {
  static auto* const real = Real<int(int, off64_t)>("ftruncate64");
  if (!tracing) return real(fd, size);
  return Step([&] { return real(fd, size); },
              [&](int) {
                if (!PathOf(fd)) return;
                trace->ops.push_back(
                    {.kind = FileOp::Kind::kTruncate, .inode = InodeOf(fd), .offset = static_cast<uint64_t>(size)});
              });
}

int Allocate(int fd, int mode, off64_t offset, off64_t n) {
  static auto* const real = Real<int(int, int, off64_t, off64_t)>("fallocate64");
  if (!tracing) return real(fd, mode, offset, n);
  return Step(
      [&] { return real(fd, mode, offset, n); },
      [&](int) {
        if (!PathOf(fd) || (mode & FALLOC_FL_KEEP_SIZE) != 0) return;
        struct stat st;
        KEEL_CHECK(fstat(fd, &st) == 0);
        trace->ops.push_back(
            {.kind = FileOp::Kind::kTruncate, .inode = InodeOf(fd), .offset = static_cast<uint64_t>(st.st_size)});
      });
}

// A call that changes names. Its paths are resolved before it runs.
template <typename Call>
int ChangeName(FileOp::Kind kind, int dir, const char* path, int to_dir, const char* to, Call call) {
  if (!tracing) return call();
  std::lock_guard<std::recursive_mutex> lock(Mutex());
  std::optional<std::string> from = PathAt(dir, path);
  std::optional<std::string> target = to == nullptr ? std::string() : PathAt(to_dir, to);
  return Step(call, [&](int) {
    if (!from && (to == nullptr || !target)) return;
    // Nothing comes in from elsewhere, or leaves.
    KEEL_CHECK(from.has_value() && target.has_value()) << path << " and " << to;
    trace->ops.push_back({.kind = kind, .path = *std::move(from), .to = *std::move(target)});
  });
}

}  // namespace

FileTrace::FileTrace(const std::string& root) {
  std::lock_guard<std::recursive_mutex> lock(Mutex());
  KEEL_CHECK(trace == nullptr);
  trace = new Trace{.root = root, .ops = {}, .inodes = {}, .last_inode = 0};
  tracing = true;
}

FileTrace::~FileTrace() { Take(); }

void FileTrace::Mark(uint64_t number) {
  std::lock_guard<std::recursive_mutex> lock(Mutex());
  trace->ops.push_back({.kind = FileOp::Kind::kMark, .number = number});
}

std::vector<FileOp> FileTrace::Take() {
  std::lock_guard<std::recursive_mutex> lock(Mutex());
  if (trace == nullptr) return {};
  tracing = false;
  std::vector<FileOp> ops = std::move(trace->ops);
  delete std::exchange(trace, nullptr);
  return ops;
}

HastySyncs::HastySyncs() { hasty = true; }
HastySyncs::~HastySyncs() { hasty = false; }

}  // namespace keel::crash

// The calls themselves. What libc offers under two names has both.
extern "C" {

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return keel::crash::Open(AT_FDCWD, path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return keel::crash::Open(AT_FDCWD, path, flags, mode);
}
int openat(int dir, const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return keel::crash::Open(dir, path, flags, mode);
}
int creat(const char* path, mode_t mode) {
  return keel::crash::Open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
int creat64(const char* path, mode_t mode) { return creat(path, mode); }

ssize_t write(int fd, const void* data, size_t n) { return keel::crash::Write(fd, data, n, std::nullopt); }
ssize_t pwrite(int fd, const void* data, size_t n, off_t at) { return keel::crash::Write(fd, data, n, at); }
ssize_t pwrite64(int fd, const void* data, size_t n, off64_t at) { return keel::crash::Write(fd, data, n, at); }

int fsync(int fd) { return keel::crash::Sync(fd, "fsync"); }
int fdatasync(int fd) { return keel::crash::Sync(fd, "fdatasync"); }
// Promises nothing, so it is no operation of the trace.
int sync_file_range(int fd, off64_t offset, off64_t n, unsigned flags) {
  static auto* const real = keel::crash::Real<int(int, off64_t, off64_t, unsigned)>("sync_file_range");
  return keel::crash::hasty ? 0 : real(fd, offset, n, flags);
}

int ftruncate(int fd, off_t size) noexcept { return keel::crash::Truncate(fd, size); }
int ftruncate64(int fd, off64_t size) noexcept { return keel::crash::Truncate(fd, size); }
int fallocate(int fd, int mode, off_t offset, off_t n) { return keel::crash::Allocate(fd, mode, offset, n); }
int fallocate64(int fd, int mode, off64_t offset, off64_t n) { return keel::crash::Allocate(fd, mode, offset, n); }

int rename(const char* from, const char* to) noexcept {
  static auto* const real = keel::crash::Real<int(const char*, const char*)>("rename");
  return keel::crash::ChangeName(keel::crash::FileOp::Kind::kRename, AT_FDCWD, from, AT_FDCWD, to,
                                 [&] { return real(from, to); });
}
int link(const char* from, const char* to) noexcept {
  static auto* const real = keel::crash::Real<int(const char*, const char*)>("link");
  return keel::crash::ChangeName(keel::crash::FileOp::Kind::kLink, AT_FDCWD, from, AT_FDCWD, to,
                                 [&] { return real(from, to); });
}
int unlink(const char* path) noexcept {
  static auto* const real = keel::crash::Real<int(const char*)>("unlink");
  return keel::crash::ChangeName(keel::crash::FileOp::Kind::kRemove, AT_FDCWD, path, AT_FDCWD, nullptr,
                                 [&] { return real(path); });
}
int unlinkat(int dir, const char* path, int flags) noexcept {
  static auto* const real = keel::crash::Real<int(int, const char*, int)>("unlinkat");
  const bool is_dir = (flags & AT_REMOVEDIR) != 0;
  return keel::crash::ChangeName(is_dir ? keel::crash::FileOp::Kind::kRemoveDir : keel::crash::FileOp::Kind::kRemove,
                                 dir, path, AT_FDCWD, nullptr, [&] { return real(dir, path, flags); });
}
int rmdir(const char* path) noexcept { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char* path) noexcept {
  const int removed = unlink(path);
  return removed == 0 || errno != EISDIR ? removed : rmdir(path);
}
int mkdir(const char* path, mode_t mode) noexcept {
  static auto* const real = keel::crash::Real<int(const char*, mode_t)>("mkdir");
  return keel::crash::ChangeName(keel::crash::FileOp::Kind::kMakeDir, AT_FDCWD, path, AT_FDCWD, nullptr,
                                 [&] { return real(path, mode); });
}

}  // extern "C"
