#pragma once

// A disk in memory for the real log code, with a power switch. What was written but not synced is lost at a crash; so
// are names that were made, changed or removed since their directory was synced. A test may also have one write stop
// half way, or damage what is stored. Owned by one thread.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/disk.h"

namespace keel::raft::scenario {

class MemoryDisk final : public storage::Disk {
 public:
  absl::Status CreateDir(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> List(const std::string& dir) const override;
  absl::StatusOr<std::unique_ptr<storage::DiskFile>> Create(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<storage::DiskFile>> Open(const std::string& path) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::Status SyncDir(const std::string& dir) override;

  // Power is lost; open files must not be used any more.
  void Crash();
  // The next write stores only its first `bytes` bytes, which survive a crash, and fails.
  void TearNextWrite(size_t bytes) { tear_at_ = bytes; }
  void FailNextSync() { fail_sync_ = true; }
  // The disk is as it was never used.
  void Wipe();

  // Damage to what is stored, durably. Both look for the newest place where some file holds `bytes`. False: none does.
  bool FlipBitIn(std::string_view bytes);
  // The file ends `kept` bytes after that place begins.
  bool CutFileIn(std::string_view bytes, size_t kept);

 private:
  struct Contents {
    std::string now;
    std::string durable;
  };
  class File;
  using Names = std::map<std::string, std::shared_ptr<Contents>>;

  // The file and the offset of the last occurrence of `bytes`.
  std::optional<std::pair<std::shared_ptr<Contents>, size_t>> Find(std::string_view bytes) const;

  Names now_;
  Names durable_;
  std::optional<size_t> tear_at_;
  bool fail_sync_ = false;
};

}  // namespace keel::raft::scenario
