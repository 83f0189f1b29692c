#pragma once

// A disk in memory that keeps what a real one keeps, and no more: writes live in a cache until they are synced, created
// and renamed names until their directory is. A process that is killed leaves the cache; a power cut leaves what was
// synced and any part of the rest, in sectors of 512 bytes. Operations fail when told to; a failed sync marks the
// cached data clean, as kernels do, so that a later sync succeeds and the data is gone after a power cut.
//
// Time is the caller's affair: operations take none, and StopAfter cuts them off in the middle of whatever is running.
// Owned by one thread.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "storage/disk.h"
#include "tests/sim/ledger.h"

namespace keel::sim {

inline constexpr size_t kSectorBytes = 512;

class SimDisk final : public storage::Disk {
 public:
  SimDisk(uint64_t seed, Ledger* ledger);
  ~SimDisk() override;

  // --- storage::Disk.

  absl::Status CreateDir(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> List(const std::string& dir) const override;
  absl::StatusOr<std::unique_ptr<storage::DiskFile>> Create(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<storage::DiskFile>> Open(const std::string& path) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::Status SyncDir(const std::string& dir) override;

  // --- Faults.

  enum class Fault {
    kWriteError,   // The next write fails and stores any part of its bytes.
    kShortWrite,   // The same for want of space.
    kSyncError,    // The next sync fails; what it should have stored counts as clean from then on.
    kReadError,    // The next read fails.
    kRenameError,  // The next change of a name fails, or the next SyncDir.
  };
  void FailNext(Fault fault) { armed_[fault] = true; }
  void Disarm() { armed_.clear(); }
  // From now on it confirms what it does not store: a broken promise, to see it found.
  void SkipSyncs() { skips_syncs_ = true; }
  // While full, nothing grows and nothing is created.
  void SetFull(bool full) { full_ = full; }

  // The process or the machine ends after this many further changing operations, the last one only partly done; from
  // then on everything fails. Until PowerCut or Restart.
  void StopAfter(uint64_t operations) { operations_left_ = operations; }
  bool has_stopped() const { return stopped_; }
  uint64_t operations() const { return operations_; }

  // What a power cut does to data not yet synced.
  enum class Loss { kNothing, kEverything, kPrefix, kRandomSectors };
  void PowerCut(Loss loss);
  // After the process has ended: the cache is still there.
  void Restart();

  // Turns one bit of what is at rest in `path`, in [first, last). False: there is nothing there.
  bool FlipBit(const std::string& path, uint64_t first, uint64_t last);

  // The whole disk as it is now, and back to that.
  class Image;
  std::shared_ptr<const Image> Save() const;
  void Load(const Image& image);
  void Wipe();

  uint64_t bytes() const;
  // Changes of names that were made to fail.
  uint64_t name_errors() const { return name_errors_; }
  size_t files() const { return names_.size(); }

 private:
  class File;
  struct Inode;
  using Names = std::map<std::string, std::shared_ptr<Inode>>;
  // A change of names that no SyncDir has made durable.
  struct NameChange {
    enum class Kind { kLink, kRename, kUnlink } kind;
    std::string dir;
    std::string from;
    std::string to;
    std::shared_ptr<Inode> inode;
  };

  bool Take(Fault fault);
  bool FailsName() {
    const bool fails = Take(Fault::kRenameError);
    name_errors_ += fails;
    return fails;
  }
  // Counts a changing operation. False: the power is off; `*partly` is set when it went off during this one.
  bool Proceed(bool* partly);
  static void Apply(const NameChange& change, Names* names);
  void ChangeNames(NameChange change);

  Random random_;
  Ledger& ledger_;
  Names names_;          // As the running process sees them.
  Names durable_names_;  // As a power cut leaves them, before `changes_`.
  std::vector<NameChange> changes_;
  std::map<Fault, bool> armed_;
  bool full_ = false;
  bool skips_syncs_ = false;
  bool stopped_ = false;
  std::optional<uint64_t> operations_left_;
  uint64_t operations_ = 0;
  uint64_t name_errors_ = 0;
};

}  // namespace keel::sim
