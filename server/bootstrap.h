#pragma once

// From a data directory and a configuration to what a member starts with: a first start, or a restart.
//
// A first start writes the state (cluster and members), then the identity; a crash between leaves a directory that the
// next first start simply begins anew. On a restart the identity on disk decides, and --name, --initial-cluster and the
// advertised peer URLs are not looked at, with one exception: flags that name a NEW cluster (--initial-cluster given,
// state "new") of another id, or this member under another id, are refused, because then either the flags or the
// directory are a mistake.

#include <memory>
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
  std::vector<PeerAddress> peers;  // Without this member.
};

// REQUIRES: config.Validate() was OK. `observer` may be null and outlives the log.
//   kInvalidArgument     a first start with flags that do not fit together; nothing was created.
//   kFailedPrecondition  the directory is in use, belongs to another cluster or member, or there is none to go on with.
//   kDataLoss            log or state are damaged, or there is a hole between them.
// The text says what to do.
absl::StatusOr<Bootstrapped> Bootstrap(const Config& config, storage::RaftLogObserver* observer);

}  // namespace keel::server
