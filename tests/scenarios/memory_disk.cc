#include "tests/scenarios/memory_disk.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace keel::raft::scenario {
namespace {

std::string DirOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

class MemoryDisk::File final : public storage::DiskFile {
 public:
  File(MemoryDisk* disk, std::shared_ptr<Contents> contents) : disk_(*disk), contents_(std::move(contents)) {}

  absl::Status Write(uint64_t offset, std::string_view bytes) override {
    const std::optional<size_t> torn = std::exchange(disk_.tear_at_, std::nullopt);
    if (torn) bytes = bytes.substr(0, std::min(*torn, bytes.size()));
    std::string& now = contents_->now;
    now.resize(std::max<size_t>(now.size(), offset + bytes.size()));
    now.replace(offset, bytes.size(), bytes);
    if (!torn) return absl::OkStatus();
    contents_->durable = now;
    return absl::InternalError("write: the power went");
  }
  absl::Status Sync() override {
    if (std::exchange(disk_.fail_sync_, false)) {
      // As the page cache does it: the pages are called clean, and what they held is gone at the next crash.
      return absl::InternalError("fdatasync: Input/output error");
    }
    contents_->durable = contents_->now;
    return absl::OkStatus();
  }
  absl::StatusOr<size_t> Read(uint64_t offset, size_t n, char* out) const override {
    const std::string& now = contents_->now;
    if (offset >= now.size()) return 0;
    n = std::min<size_t>(n, now.size() - offset);
    std::memcpy(out, now.data() + offset, n);
    return n;
  }
  absl::StatusOr<uint64_t> Size() const override { return contents_->now.size(); }

 private:
  MemoryDisk& disk_;
  std::shared_ptr<Contents> contents_;
};

absl::Status MemoryDisk::CreateDir(const std::string&) { return absl::OkStatus(); }

absl::StatusOr<std::vector<std::string>> MemoryDisk::List(const std::string& dir) const {
  std::vector<std::string> names;
  for (const auto& [path, contents] : now_) {
    if (DirOf(path) == dir) names.push_back(path.substr(dir.size() + 1));
  }
  return names;
}

absl::StatusOr<std::unique_ptr<storage::DiskFile>> MemoryDisk::Create(const std::string& path) {
  const auto [it, is_new] = now_.try_emplace(path, std::make_shared<Contents>());
  if (!is_new) return absl::AlreadyExistsError("create: the file exists");
  return std::make_unique<File>(this, it->second);
}

absl::StatusOr<std::unique_ptr<storage::DiskFile>> MemoryDisk::Open(const std::string& path) {
  const auto it = now_.find(path);
  if (it == now_.end()) return absl::NotFoundError("open: no such file");
  return std::make_unique<File>(this, it->second);
}

absl::Status MemoryDisk::Rename(const std::string& from, const std::string& to) {
  auto file = now_.extract(from);
  if (file.empty()) return absl::NotFoundError("rename: no such file");
  now_[to] = std::move(file.mapped());
  return absl::OkStatus();
}

absl::Status MemoryDisk::Remove(const std::string& path) {
  return now_.erase(path) == 1 ? absl::OkStatus() : absl::NotFoundError("remove: no such file");
}

absl::Status MemoryDisk::SyncDir(const std::string& dir) {
  std::erase_if(durable_, [&](const auto& name) { return DirOf(name.first) == dir; });
  for (const auto& [path, contents] : now_) {
    if (DirOf(path) == dir) durable_[path] = contents;
  }
  return absl::OkStatus();
}

void MemoryDisk::Crash() {
  tear_at_.reset();
  fail_sync_ = false;
  now_ = durable_;
  for (const auto& [path, contents] : now_) contents->now = contents->durable;
}

void MemoryDisk::Wipe() { *this = MemoryDisk(); }

std::optional<std::pair<std::shared_ptr<MemoryDisk::Contents>, size_t>> MemoryDisk::Find(std::string_view bytes) const {
  for (auto it = now_.rbegin(); it != now_.rend(); ++it) {
    const size_t at = it->second->now.rfind(bytes);
    if (at != std::string::npos) return std::pair(it->second, at);
  }
  return std::nullopt;
}

bool MemoryDisk::FlipBitIn(std::string_view bytes) {
  const auto found = Find(bytes);
  if (!found) return false;
  found->first->now[found->second] ^= 1;
  found->first->durable = found->first->now;
  return true;
}

bool MemoryDisk::CutFileIn(std::string_view bytes, size_t kept) {
  const auto found = Find(bytes);
  if (!found) return false;
  found->first->now.resize(std::min(found->first->now.size(), found->second + kept));
  found->first->durable = found->first->now;
  return true;
}

}  // namespace keel::raft::scenario
