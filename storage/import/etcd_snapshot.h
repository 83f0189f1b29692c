#pragma once

// A snapshot file that etcd saved, as a state of our own: keys with their history, versions and revisions, the compact
// revision, leases. Members, alarms and what the Raft log knew are another cluster's and stay behind.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/revision.h"
#include "storage/state/medium.h"

namespace keel::storage {

// What came over.
struct EtcdImport {
  Revision current{1};
  Revision compact{-1};
  int64_t records = 0;
  int64_t leases = 0;
  bool auth_enabled = false;
  int64_t users = 0;
  int64_t roles = 0;
};

struct EtcdImportOptions {
  // A copy of a member's database has no digest at its end; a saved snapshot has.
  bool skip_hash_check = false;
  // Users and roles cannot be kept. Without this a file that has any is refused: whoever reads it would find everything
  // open that was closed.
  bool drop_auth = false;
};

// Writes the state in `file` as a database into `dir`, which must not exist; what an error leaves there is the caller's
// to remove.
//   kInvalidArgument     no digest where one was asked for, or authentication is in use; says what to do
//   kDataLoss            damaged; the message has the offset and the reason
absl::StatusOr<EtcdImport> ImportEtcdSnapshot(std::string_view file, const std::string& dir,
                                              const EtcdImportOptions& options,
                                              std::shared_ptr<StateMedium> medium = FileMedium());

}  // namespace keel::storage
