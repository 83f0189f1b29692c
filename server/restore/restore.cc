#include "server/restore/restore.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/version.h"
#include "storage/data_dir.h"
#include "storage/disk.h"
#include "storage/mapped_file.h"
#include "storage/snapshot/backup_file.h"
#include "storage/state/state_store.h"

namespace keel::server {
namespace {

namespace fs = std::filesystem;

// Puts the database that is in the backup into a directory that does not exist yet.
using Unpack = std::function<absl::Status(const std::string& dir)>;

absl::Status CheckTarget(const std::string& data_dir) {
  std::error_code error;
  if (!fs::exists(data_dir, error) && !error) return absl::OkStatus();
  if (!error && fs::is_directory(data_dir, error) && fs::is_empty(data_dir, error) && !error) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("data-dir \"", data_dir, "\" not empty or could not be read"));
}

// The flags as a first start would see them, so that they are checked by the same rules.
absl::StatusOr<Config> ConfigOf(const RestoreOptions& options) {
  Config config;
  config.name = options.name;
  config.data_dir = options.data_dir;
  config.initial_cluster = options.initial_cluster;
  config.initial_cluster_token = options.initial_cluster_token;
  config.initial_advertise_peer_urls = options.initial_advertise_peer_urls;
  KEEL_RETURN_IF_ERROR(config.Validate());
  KEEL_RETURN_IF_ERROR(config.ValidateFirstStart());
  return config;
}

struct NewCluster {
  uint64_t cluster_id = 0;
  uint64_t self = 0;
  std::vector<storage::MemberRecord> members;
};

NewCluster NewClusterOf(const Config& config) {
  NewCluster cluster;
  std::vector<uint64_t> ids;
  for (const InitialMember& initial : config.initial_cluster) {
    storage::MemberRecord member;
    member.id = ComputeMemberId(initial.peer_urls, config.initial_cluster_token);
    for (const Url& url : initial.peer_urls) member.peer_urls.push_back(url.ToString());
    if (initial.name == config.name) cluster.self = member.id;
    ids.push_back(member.id);
    cluster.members.push_back(std::move(member));
  }
  std::sort(cluster.members.begin(), cluster.members.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  cluster.cluster_id = ComputeClusterId(std::move(ids));
  return cluster;
}

absl::Status FillState(const NewCluster& cluster, const RestoreOptions& options, const Unpack& unpack,
                       const storage::DataDir& dir, Restored* restored) {
  const std::string unpacked = absl::StrCat(dir.path(), "/unpacked");
  KEEL_RETURN_IF_ERROR(unpack(unpacked));
  KEEL_ASSIGN_OR_RETURN(const auto store, storage::StateStore::Open({.dir = dir.state_dir()}));
  KEEL_RETURN_IF_ERROR(store->Install(unpacked));
  if (options.bump_revision > 0) {
    KEEL_RETURN_IF_ERROR(store->AdvanceRevision(store->current_revision() + options.bump_revision));
  }
  const storage::Founding founding{.cluster_id = cluster.cluster_id, .members = cluster.members};
  // A state that came from elsewhere has never been anybody's.
  KEEL_RETURN_IF_ERROR(store->bootstrapped() ? store->Refound(founding) : store->Bootstrap(founding));
  restored->cluster_id = cluster.cluster_id;
  restored->member_id = cluster.self;
  restored->revision = store->current_revision().value();
  restored->keys = store->sizes().live_keys;
  restored->leases = static_cast<int64_t>(store->Leases().size());
  return store->Close();
}

absl::StatusOr<Restored> Restore(const RestoreOptions& options, const Unpack& unpack) {
  KEEL_ASSIGN_OR_RETURN(const Config config, ConfigOf(options));
  const NewCluster cluster = NewClusterOf(config);
  const fs::path target = fs::absolute(fs::path(config.data_dir) / "").parent_path();
  const std::string work = absl::StrCat(target.string(), ".restoring");
  std::error_code error;
  if (fs::exists(work, error)) {
    return absl::FailedPreconditionError(absl::StrCat(
        work, " is there already: another restore is running, or one was killed; remove it if it is the latter"));
  }
  absl::Cleanup remove_work = [&work] {
    std::error_code ignored;
    fs::remove_all(work, ignored);
  };
  Restored restored;
  {
    KEEL_ASSIGN_OR_RETURN(const auto dir, storage::DataDir::Open(work));
    KEEL_RETURN_IF_ERROR(FillState(cluster, options, unpack, *dir, &restored));
    // Last: only now the directory is a member's.
    KEEL_RETURN_IF_ERROR(
        dir->WriteIdentity({.cluster_id = cluster.cluster_id, .member_id = cluster.self, .name = config.name}));
  }
  storage::Disk& disk = storage::Disk::Real();
  KEEL_RETURN_IF_ERROR(disk.Rename(work, target.string()));  // Replaces an empty directory.
  std::move(remove_work).Cancel();
  KEEL_RETURN_IF_ERROR(disk.SyncDir(target.parent_path().string()));
  return restored;
}

// A directory for what is only looked at.
class ScratchDir {
 public:
  ScratchDir() {
    std::string name = (fs::temp_directory_path() / "keel-snapshot-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~ScratchDir() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;

  // Empty: it could not be made.
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

absl::StatusOr<Restored> RestoreSnapshot(const RestoreOptions& options) {
  KEEL_RETURN_IF_ERROR(CheckTarget(options.data_dir));
  KEEL_ASSIGN_OR_RETURN(const auto file, storage::MappedFile::Open(options.file));
  KEEL_ASSIGN_OR_RETURN(const auto image, storage::BackupImage(file->bytes(), options.skip_hash_check));
  if (!storage::IsSnapshotStream(image)) {
    return absl::InvalidArgumentError(absl::StrCat(
        options.file, " is no snapshot of Keel's; if etcd saved it, use: keelctl snapshot import-etcd ", options.file));
  }
  return Restore(options, [image](const std::string& dir) { return storage::UnpackSnapshot(image, dir); });
}

absl::StatusOr<Restored> RestoreEtcdSnapshot(const RestoreOptions& options) {
  KEEL_RETURN_IF_ERROR(CheckTarget(options.data_dir));
  KEEL_ASSIGN_OR_RETURN(const auto file, storage::MappedFile::Open(options.file));
  if (storage::IsSnapshotStream(file->bytes())) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.file, " is a snapshot of Keel's; use: keelctl snapshot restore ", options.file));
  }
  return Restore(options, [&](const std::string& dir) {
    return storage::ImportEtcdSnapshot(file->bytes(), dir,
                                       {.skip_hash_check = options.skip_hash_check, .drop_auth = options.drop_auth})
        .status();
  });
}

absl::StatusOr<BackupFacts> ExamineBackup(const std::string& path, bool skip_hash_check) {
  KEEL_ASSIGN_OR_RETURN(const auto file, storage::MappedFile::Open(path));
  KEEL_ASSIGN_OR_RETURN(const auto image, storage::BackupImage(file->bytes(), skip_hash_check));
  const ScratchDir scratch;
  if (scratch.path().empty()) {
    return storage::ErrnoStatus(errno, absl::StrCat("make a directory in ", fs::temp_directory_path().string()));
  }
  const std::string unpacked = absl::StrCat(scratch.path(), "/unpacked");
  BackupFacts facts{.bytes = static_cast<int64_t>(file->bytes().size())};
  if (storage::IsSnapshotStream(image)) {
    KEEL_RETURN_IF_ERROR(storage::UnpackSnapshot(image, unpacked));
    facts.version = kProtocolVersion;
  } else {
    KEEL_RETURN_IF_ERROR(
        storage::ImportEtcdSnapshot(file->bytes(), unpacked, {.skip_hash_check = true, .drop_auth = true}).status());
    facts.version = "etcd";
  }
  KEEL_ASSIGN_OR_RETURN(const auto store, storage::StateStore::Open({.dir = absl::StrCat(scratch.path(), "/state")}));
  KEEL_RETURN_IF_ERROR(store->Install(unpacked));
  KEEL_ASSIGN_OR_RETURN(const storage::HashResult hash, store->HashKv(storage::Revision(0)));
  facts.hash = hash.hash;
  facts.revision = hash.hash_revision.value();
  facts.keys = store->sizes().live_keys;
  KEEL_RETURN_IF_ERROR(store->Close());
  return facts;
}

}  // namespace keel::server
