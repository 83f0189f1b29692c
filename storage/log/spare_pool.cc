#include "storage/log/spare_pool.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace keel::storage {
namespace {

constexpr char kSparePrefix[] = "spare-";
constexpr char kUnfinishedPrefix[] = "filling-";
constexpr size_t kFillStepBytes = 1u << 20;

}  // namespace

bool SparePool::IsSpare(const std::string& name) { return absl::StartsWith(name, kSparePrefix); }
bool SparePool::IsUnfinished(const std::string& name) { return absl::StartsWith(name, kUnfinishedPrefix); }

SparePool::SparePool(Disk* disk, std::string dir, uint64_t segment_bytes, int spares_max, SpareWork work,
                     std::vector<std::string> found)
    : disk_(disk),
      dir_(std::move(dir)),
      segment_bytes_(segment_bytes),
      spares_max_(static_cast<size_t>(std::max(spares_max, 0))),
      work_(spares_max_ == 0 ? SpareWork::kByCaller : work) {
  // Those of another size go too: the option has changed.
  for (const std::string& path : found) {
    const absl::StatusOr<std::unique_ptr<DiskFile>> file = disk_->Open(path);
    const absl::StatusOr<uint64_t> size = file.ok() ? (*file)->Size() : file.status();
    if (size.ok() && *size == segment_bytes_ && spares_.size() < spares_max_) {
      spares_.push_back(path);
    } else if (const absl::Status removed = disk_->Remove(path); !removed.ok()) {
      KEEL_LOG_WARN("cannot remove a spare log segment", {{"error", removed}});
    }
  }
  for (const std::string& path : spares_) {
    // Their numbers are taken; any number above them is free.
    uint64_t number = 0;
    for (const char c : path.substr(path.rfind('-') + 1)) {
      if (c >= '0' && c <= '9') number = number * 10 + static_cast<uint64_t>(c - '0');
    }
    next_name_ = std::max(next_name_, number + 1);
  }
  if (work_ == SpareWork::kOwnThread) thread_ = std::thread([this] { Run(); });
}

SparePool::~SparePool() { Stop(); }

void SparePool::Stop() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::optional<std::string> SparePool::Take() {
  std::lock_guard<std::mutex> lock(mu_);
  if (spares_.empty()) return std::nullopt;
  std::string path = std::move(spares_.back());
  spares_.pop_back();
  return path;
}

void SparePool::Prepare() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (wanted_ || spares_.size() >= spares_max_) return;
    wanted_ = true;
    is_stuck_ = false;
  }
  WorkOff();
}

void SparePool::Recycle(const std::vector<std::string>& paths) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    recycled_.insert(recycled_.end(), paths.begin(), paths.end());
    is_stuck_ = false;
  }
  WorkOff();
}

void SparePool::WorkOff() {
  if (work_ == SpareWork::kOwnThread) return changed_.notify_all();
  std::unique_lock<std::mutex> lock(mu_);
  while (!stopping_ && has_work()) WorkOnce(&lock);
}

std::string SparePool::NextName() { return absl::StrCat(next_name_++); }

absl::Status SparePool::RecycleOne(const std::string& path, bool keep, const std::string& spare) {
  const absl::Status moved = keep ? disk_->Rename(path, spare) : disk_->Remove(path);
  if (!moved.ok() && !absl::IsNotFound(moved)) return moved;
  // Before the file is written over and before the next one goes: a crash must find either a whole segment under its
  // old name or none, and never a gap in the sequence.
  KEEL_RETURN_IF_ERROR(disk_->SyncDir(dir_));
  return moved;
}

absl::Status SparePool::FillWithZeroes(DiskFile* file, uint64_t from, uint64_t to) {
  const std::string zeroes(static_cast<size_t>(std::min<uint64_t>(kFillStepBytes, to > from ? to - from : 0)), '\0');
  while (from < to) {
    const size_t step = static_cast<size_t>(std::min<uint64_t>(kFillStepBytes, to - from));
    KEEL_RETURN_IF_ERROR(file->Write(from, std::string_view(zeroes).substr(0, step)));
    KEEL_RETURN_IF_ERROR(file->Sync());
    from += step;
  }
  return absl::OkStatus();
}

absl::Status SparePool::Fill(const std::string& spare) {
  const std::string unfinished = absl::StrCat(dir_, "/", kUnfinishedPrefix, spare);
  const absl::Status filled = [&]() -> absl::Status {
    KEEL_ASSIGN_OR_RETURN(const std::unique_ptr<DiskFile> file, disk_->Create(unfinished));
    for (uint64_t at = 0; at < segment_bytes_; at += kFillStepBytes) {
      {
        std::lock_guard<std::mutex> lock(mu_);
        if (stopping_) return absl::CancelledError("stopping");
      }
      KEEL_RETURN_IF_ERROR(FillWithZeroes(file.get(), at, std::min<uint64_t>(segment_bytes_, at + kFillStepBytes)));
    }
    KEEL_RETURN_IF_ERROR(disk_->Rename(unfinished, absl::StrCat(dir_, "/", kSparePrefix, spare)));
    return disk_->SyncDir(dir_);
  }();
  if (!filled.ok()) (void)disk_->Remove(unfinished);  // Space matters more than why this failed too.
  return filled;
}

void SparePool::Run() {
  std::unique_lock<std::mutex> lock(mu_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || has_work(); });
    if (stopping_ && !has_recycled()) return;
    WorkOnce(&lock);
  }
}

void SparePool::WorkOnce(std::unique_lock<std::mutex>* lock) {
  if (has_recycled()) {
    const std::string path = recycled_.front();
    const std::string spare = absl::StrCat(dir_, "/", kSparePrefix, NextName());
    bool keep = spares_.size() < spares_max_;
    lock->unlock();
    if (keep) {
      const absl::StatusOr<std::unique_ptr<DiskFile>> file = disk_->Open(path);
      const absl::StatusOr<uint64_t> size = file.ok() ? (*file)->Size() : file.status();
      keep = size.ok() && *size == segment_bytes_;
    }
    const absl::Status status = RecycleOne(path, keep, spare);
    lock->lock();
    // An earlier attempt got as far as that; whether its name is durable was not known then.
    const bool is_gone = absl::IsNotFound(status);
    if (!status.ok() && !is_gone) {
      KEEL_LOG_WARN("cannot recycle an old log segment", {{"error", status}});
      is_stuck_ = true;  // Later ones must not go before this one.
      return;
    }
    recycled_.pop_front();
    if (keep && !is_gone) spares_.push_back(spare);
    return;
  }
  wanted_ = false;
  if (spares_.size() >= spares_max_) return;
  const std::string name = NextName();
  lock->unlock();
  const absl::Status status = Fill(name);
  lock->lock();
  if (status.ok()) {
    spares_.push_back(absl::StrCat(dir_, "/", kSparePrefix, name));
    wanted_ = spares_.size() < spares_max_;
  } else if (!stopping_) {
    KEEL_LOG_WARN("cannot prepare a spare log segment", {{"error", status}});
  }
}

}  // namespace keel::storage
