#pragma once

// From a data directory and a configuration to what a member starts with: a first start of a new cluster, a first start
// that joins a running one, or a restart.
//
// A first start writes the state (cluster and members; nothing when joining: a snapshot brings it), then the identity;
// a crash between leaves a directory that the next first start simply begins anew. On a restart the identity on disk
// decides, and --name, --initial-cluster and the advertised peer URLs are not looked at, with one exception: flags that
// name a NEW cluster (--initial-cluster given, state "new") of another id, or this member under another id, are
// refused, because then either the flags or the directory are a mistake.
//
// Before it takes part again a member asks the others whether they would have it: one whose data is older than what it
// has promised, or that has been removed, ends here and leaves its directory as it is.

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "raft/core.h"
#include "server/config.h"
#include "server/peer/peer_network.h"
#include "storage/data_dir.h"
#include "storage/log/raft_log.h"
#include "storage/state/state_store.h"

namespace keel::server {

// Members are in an order that allows their destruction.
struct Bootstrapped {
  std::unique_ptr<storage::DataDir> data_dir;
  std::unique_ptr<storage::RaftLog> log;
  std::unique_ptr<storage::StateStore> store;
  storage::MemberIdentity identity;
  raft::InitialState initial;
  uint64_t process = 0;  // Random; of this start.
  // Without a state yet: whom to look for. Without this member.
  std::vector<PeerAddress> peers;
  // Whom the log names beyond the state, and in which entry.
  std::vector<std::pair<PeerAddress, raft::Index>> expected;
};

// The members as the state has them.
PeerBook BookOf(const storage::StateStore& store);

// This member has been removed from its cluster for ever; not a failure, but the end.
absl::Status RemovedError(uint64_t member_id);
bool IsRemovedError(const absl::Status& status);

// REQUIRES: config.Validate() was OK. `observer` may be null and outlives the log.
//   kInvalidArgument     a first start with flags that do not fit together; nothing was created.
//   kFailedPrecondition  the directory is in use, belongs to another cluster or member, or there is none to go on with;
//                        the cluster does not know this member, or knows it with another directory.
//   kUnavailable         joining: no member of the cluster answers.
//   kDataLoss            log or state are damaged, or there is a hole between them.
//   IsRemovedError()
// The text says what to do.
absl::StatusOr<Bootstrapped> Bootstrap(const Config& config, storage::RaftLogObserver* observer);

}  // namespace keel::server
