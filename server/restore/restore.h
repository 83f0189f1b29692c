#pragma once

// Makes the data directory of a member of a NEW cluster out of a backup, offline: a saved snapshot of Keel's, or one of
// etcd's. Every member of the new cluster restores the same file with the same flags but its own name.

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/config.h"
#include "storage/import/etcd_snapshot.h"

namespace keel::server {

struct RestoreOptions {
  std::string file;
  std::string data_dir;  // Must not exist, or be empty.
  std::string name = "default";
  std::vector<InitialMember> initial_cluster;
  std::string initial_cluster_token = "etcd-cluster";
  std::vector<Url> initial_advertise_peer_urls;
  // Added to the revision in the file, and everything up to it compacted: whoever has seen a revision after the backup
  // was made then sees no other state under the same number, and caches read anew.
  int64_t bump_revision = 0;
  bool skip_hash_check = false;
  bool drop_auth = false;  // Import only.
};

struct Restored {
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  int64_t revision = 0;
  int64_t keys = 0;  // Live.
  int64_t leases = 0;
};

// Keys with their history, versions and leases are kept; leases begin anew with their whole time to live. Members,
// alarms and the Raft log are the new cluster's. The directory appears complete or not at all: it is made beside its
// place, as <data-dir>.restoring.
//   kInvalidArgument     flags that do not fit together, or a file that is no backup
//   kFailedPrecondition  the directory, or what an earlier attempt left, is in the way
//   kDataLoss            the file is damaged; the message says where
absl::StatusOr<Restored> RestoreSnapshot(const RestoreOptions& options);
absl::StatusOr<Restored> RestoreEtcdSnapshot(const RestoreOptions& options);

// What is in a backup of either kind.
struct BackupFacts {
  uint32_t hash = 0;  // As HashKV computes it.
  int64_t revision = 0;
  int64_t keys = 0;  // Live.
  int64_t bytes = 0;
  std::string version;  // Of its format.
};
// Unpacks it in the system's directory for temporary files, so that needs as much space as the file takes.
absl::StatusOr<BackupFacts> ExamineBackup(const std::string& file, bool skip_hash_check);

}  // namespace keel::server
