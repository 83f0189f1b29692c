#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/disk.h"

namespace keel::storage {

// The real disk, until it is told to fail: then one write is cut short, or one sync does nothing, and says so.
class FaultyDisk final : public Disk {
 public:
  // The write after `more` further ones stores only `stored` of its bytes and reports a full disk.
  void FailWriteAfter(int more, size_t stored) {
    stored_ = stored;
    writes_left_ = more;
  }
  void FailSyncAfter(int more) { syncs_left_ = more; }
  int syncs() const { return syncs_; }

  absl::Status CreateDir(const std::string& path) override { return real_.CreateDir(path); }
  absl::StatusOr<std::vector<std::string>> List(const std::string& dir) const override { return real_.List(dir); }
  absl::StatusOr<std::unique_ptr<DiskFile>> Create(const std::string& path) override {
    return Wrap(real_.Create(path));
  }
  absl::StatusOr<std::unique_ptr<DiskFile>> Open(const std::string& path) override { return Wrap(real_.Open(path)); }
  absl::Status Rename(const std::string& from, const std::string& to) override { return real_.Rename(from, to); }
  absl::Status Remove(const std::string& path) override { return real_.Remove(path); }
  absl::Status SyncDir(const std::string& dir) override { return real_.SyncDir(dir); }

 private:
  class File final : public DiskFile {
   public:
    File(FaultyDisk* disk, std::unique_ptr<DiskFile> real) : disk_(*disk), real_(std::move(real)) {}

    absl::Status Write(uint64_t offset, std::string_view bytes) override {
      if (disk_.writes_left_-- == 0) {
        const size_t stored = std::min<size_t>(disk_.stored_, bytes.size());
        const absl::Status status = real_->Write(offset, bytes.substr(0, stored));
        return status.ok() ? absl::ResourceExhaustedError("write: No space left on device") : status;
      }
      return real_->Write(offset, bytes);
    }
    absl::Status Sync() override {
      ++disk_.syncs_;
      if (disk_.syncs_left_-- == 0) return absl::InternalError("fdatasync: Input/output error");
      return real_->Sync();
    }
    absl::StatusOr<size_t> Read(uint64_t offset, size_t n, char* out) const override {
      return real_->Read(offset, n, out);
    }
    absl::StatusOr<uint64_t> Size() const override { return real_->Size(); }

   private:
    FaultyDisk& disk_;
    std::unique_ptr<DiskFile> real_;
  };

  absl::StatusOr<std::unique_ptr<DiskFile>> Wrap(absl::StatusOr<std::unique_ptr<DiskFile>> real) {
    if (!real.ok()) return real.status();
    return std::make_unique<File>(this, *std::move(real));
  }

  Disk& real_ = Disk::Real();
  std::atomic<int> writes_left_ = -1;
  std::atomic<int> syncs_left_ = -1;
  std::atomic<int> syncs_ = 0;
  std::atomic<size_t> stored_ = 0;
};

}  // namespace keel::storage
