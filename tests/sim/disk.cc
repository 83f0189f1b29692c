#include "tests/sim/disk.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace keel::sim {
namespace {

std::string DirOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

absl::Status PowerIsOff() { return absl::InternalError("the machine has stopped"); }

}  // namespace

// A file's content, and what undoes the part of it that is not durable.
struct SimDisk::Inode {
  std::string content;        // As read by a process.
  uint64_t durable_size = 0;  // Its size after a power cut, unless more survives by chance.
  // Per dirty sector what the device holds instead, shorter where it has never held anything; in the order in which
  // they became dirty.
  std::vector<std::pair<uint64_t, std::string>> dirty;
  // The same for sectors that a failed sync left looking clean.
  std::map<uint64_t, std::string> lost;

  std::string SectorAt(uint64_t sector) const {
    const uint64_t begin = sector * kSectorBytes;
    return begin < content.size() ? content.substr(begin, kSectorBytes) : std::string();
  }

  void MarkDirty(uint64_t offset, size_t n) {
    for (uint64_t sector = offset / kSectorBytes; sector * kSectorBytes < offset + n; ++sector) {
      if (const auto it = lost.find(sector); it != lost.end()) {
        dirty.emplace_back(sector, std::move(it->second));
        lost.erase(it);
        continue;
      }
      const bool known = std::any_of(dirty.rbegin(), dirty.rend(), [&](const auto& d) { return d.first == sector; });
      if (!known) dirty.emplace_back(sector, SectorAt(sector));
    }
  }

  void Write(uint64_t offset, std::string_view bytes) {
    MarkDirty(offset, bytes.size());
    if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
    std::memcpy(content.data() + offset, bytes.data(), bytes.size());
  }

  void Sync() {
    dirty.clear();
    durable_size = content.size();
  }

  void FailSync() {
    for (auto& [sector, before] : dirty) lost.try_emplace(sector, std::move(before));
    dirty.clear();
  }

  void Undo(uint64_t sector, const std::string& before) {
    const uint64_t begin = sector * kSectorBytes;
    if (begin >= content.size()) return;
    const size_t n = std::min<size_t>(kSectorBytes, content.size() - begin);
    std::string old = before;
    old.resize(n, '\0');
    std::memcpy(content.data() + begin, old.data(), n);
  }

  void PowerCut(Loss loss, Random& random) {
    const uint64_t cache_size = content.size();
    const size_t kept = loss == Loss::kNothing  ? dirty.size()
                        : loss == Loss::kPrefix ? random.Below(dirty.size() + 1)
                                                : 0;
    for (size_t i = 0; i < dirty.size(); ++i) {
      const bool survives = i < kept || (loss == Loss::kRandomSectors && random.Chance(0.5));
      if (!survives) Undo(dirty[i].first, dirty[i].second);
    }
    for (const auto& [sector, before] : lost) Undo(sector, before);
    // Growth is a matter of metadata, which may be stored although the data is not.
    const bool grows = loss == Loss::kNothing || (loss != Loss::kEverything && random.Chance(0.5));
    if (!grows && durable_size < cache_size) content.resize(durable_size);
    dirty.clear();
    lost.clear();
    durable_size = content.size();
  }
};

class SimDisk::File final : public storage::DiskFile {
 public:
  File(SimDisk* disk, std::string path, std::shared_ptr<Inode> inode)
      : disk_(*disk), path_(std::move(path)), inode_(std::move(inode)) {}

  absl::Status Write(uint64_t offset, std::string_view bytes) override {
    bool partly = false;
    if (!disk_.Proceed(&partly)) {
      if (partly) StorePart(offset, bytes);
      return PowerIsOff();
    }
    const bool no_space = disk_.full_ && offset + bytes.size() > inode_->content.size();
    if (no_space || disk_.Take(Fault::kShortWrite)) {
      if (!no_space) StorePart(offset, bytes);
      return storage::ErrnoStatus(ENOSPC, absl::StrCat("write ", path_));
    }
    if (disk_.Take(Fault::kWriteError)) {
      StorePart(offset, bytes);
      return storage::ErrnoStatus(EIO, absl::StrCat("write ", path_));
    }
    inode_->Write(offset, bytes);
    return absl::OkStatus();
  }

  absl::Status Sync() override {
    bool partly = false;
    // A sync that is cut short has stored some of it; the power cut decides what.
    if (!disk_.Proceed(&partly)) return PowerIsOff();
    if (disk_.Take(Fault::kSyncError)) {
      inode_->FailSync();
      return storage::ErrnoStatus(EIO, absl::StrCat("fdatasync ", path_));
    }
    if (!disk_.skips_syncs_) inode_->Sync();
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> Read(uint64_t offset, size_t n, char* out) const override {
    if (disk_.stopped_) return PowerIsOff();
    if (disk_.Take(Fault::kReadError)) return storage::ErrnoStatus(EIO, absl::StrCat("read ", path_));
    if (offset >= inode_->content.size()) return 0;
    const size_t got = std::min<size_t>(n, inode_->content.size() - offset);
    std::memcpy(out, inode_->content.data() + offset, got);
    return got;
  }

  absl::StatusOr<uint64_t> Size() const override { return inode_->content.size(); }

 private:
  void StorePart(uint64_t offset, std::string_view bytes) {
    inode_->Write(offset, bytes.substr(0, disk_.random_.Below(bytes.size() + 1)));
  }

  SimDisk& disk_;
  const std::string path_;
  const std::shared_ptr<Inode> inode_;
};

class SimDisk::Image {
 public:
  explicit Image(const SimDisk& disk) {
    for (const auto& [name, inode] : disk.names_) files_.emplace(name, inode->content);
  }
  const std::map<std::string, std::string>& files() const { return files_; }

 private:
  std::map<std::string, std::string> files_;
};

SimDisk::SimDisk(uint64_t seed, Ledger* ledger) : random_(seed), ledger_(*ledger) {}
SimDisk::~SimDisk() = default;

bool SimDisk::Take(Fault fault) {
  if (armed_.empty()) return false;
  const auto it = armed_.find(fault);
  if (it == armed_.end() || !it->second) return false;
  armed_.erase(it);
  static constexpr const char* kNames[] = {"disk-write-error", "disk-short-write", "disk-sync-error", "disk-read-error",
                                           "disk-rename-error"};
  ++ledger_.faults[kNames[static_cast<int>(fault)]];
  return true;
}

bool SimDisk::Proceed(bool* partly) {
  if (stopped_) return false;
  ++operations_;
  if (!operations_left_) return true;
  if (*operations_left_ > 0) {
    --*operations_left_;
    return true;
  }
  stopped_ = true;
  *partly = true;
  return false;
}

void SimDisk::Apply(const NameChange& change, Names* names) {
  switch (change.kind) {
    case NameChange::Kind::kLink:
      (*names)[change.to] = change.inode;
      return;
    case NameChange::Kind::kRename:
      names->erase(change.from);
      (*names)[change.to] = change.inode;
      return;
    case NameChange::Kind::kUnlink:
      names->erase(change.from);
      return;
  }
}

void SimDisk::ChangeNames(NameChange change) {
  Apply(change, &names_);
  changes_.push_back(std::move(change));
}

absl::Status SimDisk::CreateDir(const std::string&) { return stopped_ ? PowerIsOff() : absl::OkStatus(); }

absl::StatusOr<std::vector<std::string>> SimDisk::List(const std::string& dir) const {
  if (stopped_) return PowerIsOff();
  std::vector<std::string> names;
  const std::string prefix = absl::StrCat(dir, "/");
  for (auto it = names_.lower_bound(prefix); it != names_.end() && it->first.compare(0, prefix.size(), prefix) == 0;
       ++it) {
    const std::string rest = it->first.substr(prefix.size());
    if (rest.find('/') == std::string::npos) names.push_back(rest);
  }
  return names;
}

absl::StatusOr<std::unique_ptr<storage::DiskFile>> SimDisk::Create(const std::string& path) {
  bool partly = false;
  if (!Proceed(&partly)) return PowerIsOff();
  if (names_.count(path) != 0) return storage::ErrnoStatus(EEXIST, absl::StrCat("create ", path));
  if (full_) return storage::ErrnoStatus(ENOSPC, absl::StrCat("create ", path));
  auto inode = std::make_shared<Inode>();
  ChangeNames({.kind = NameChange::Kind::kLink, .dir = DirOf(path), .from = "", .to = path, .inode = inode});
  return std::make_unique<File>(this, path, std::move(inode));
}

absl::StatusOr<std::unique_ptr<storage::DiskFile>> SimDisk::Open(const std::string& path) {
  if (stopped_) return PowerIsOff();
  const auto it = names_.find(path);
  if (it == names_.end()) return storage::ErrnoStatus(ENOENT, absl::StrCat("open ", path));
  return std::make_unique<File>(this, path, it->second);
}

absl::Status SimDisk::Rename(const std::string& from, const std::string& to) {
  bool partly = false;
  if (!Proceed(&partly)) return PowerIsOff();
  const auto it = names_.find(from);
  if (it == names_.end()) return storage::ErrnoStatus(ENOENT, absl::StrCat("rename ", from));
  if (FailsName()) return storage::ErrnoStatus(EIO, absl::StrCat("rename ", from));
  ChangeNames({.kind = NameChange::Kind::kRename, .dir = DirOf(to), .from = from, .to = to, .inode = it->second});
  return absl::OkStatus();
}

absl::Status SimDisk::Remove(const std::string& path) {
  bool partly = false;
  if (!Proceed(&partly)) return PowerIsOff();
  const auto it = names_.find(path);
  if (it == names_.end()) return storage::ErrnoStatus(ENOENT, absl::StrCat("unlink ", path));
  if (FailsName()) return storage::ErrnoStatus(EIO, absl::StrCat("unlink ", path));
  ChangeNames({.kind = NameChange::Kind::kUnlink, .dir = DirOf(path), .from = path, .to = "", .inode = nullptr});
  return absl::OkStatus();
}

absl::Status SimDisk::SyncDir(const std::string& dir) {
  bool partly = false;
  if (!Proceed(&partly)) return PowerIsOff();
  if (FailsName()) return storage::ErrnoStatus(EIO, absl::StrCat("fsync ", dir));
  std::vector<NameChange> others;
  for (NameChange& change : changes_) {
    if (change.dir == dir) {
      Apply(change, &durable_names_);
    } else {
      others.push_back(std::move(change));
    }
  }
  changes_ = std::move(others);
  return absl::OkStatus();
}

void SimDisk::PowerCut(Loss loss) {
  // Names are journalled: of the changes that were not synced the first ones survive, in their order.
  size_t kept = 0;
  if (loss == Loss::kNothing) {
    kept = changes_.size();
  } else if (loss != Loss::kEverything) {
    kept = random_.Below(changes_.size() + 1);
  }
  for (size_t i = 0; i < kept; ++i) Apply(changes_[i], &durable_names_);
  changes_.clear();
  names_ = durable_names_;
  for (auto& [name, inode] : names_) inode->PowerCut(loss, random_);
  Restart();
}

void SimDisk::Restart() {
  stopped_ = false;
  operations_left_.reset();
  armed_.clear();
}

bool SimDisk::FlipBit(const std::string& path, uint64_t first, uint64_t last) {
  const auto it = names_.find(path);
  if (it == names_.end()) return false;
  std::string& content = it->second->content;
  last = std::min<uint64_t>(last, content.size());
  if (first >= last) return false;
  content[first + random_.Below(last - first)] ^= static_cast<char>(1 << random_.Below(8));
  return true;
}

std::shared_ptr<const SimDisk::Image> SimDisk::Save() const { return std::make_shared<const Image>(*this); }

void SimDisk::Load(const Image& image) {
  Wipe();
  for (const auto& [name, content] : image.files()) {
    auto inode = std::make_shared<Inode>();
    inode->content = content;
    inode->Sync();
    names_.emplace(name, inode);
  }
  durable_names_ = names_;
}

void SimDisk::Wipe() {
  Restart();
  names_.clear();
  durable_names_.clear();
  changes_.clear();
}

uint64_t SimDisk::bytes() const {
  uint64_t sum = 0;
  for (const auto& [name, inode] : names_) sum += inode->content.size();
  return sum;
}

}  // namespace keel::sim
