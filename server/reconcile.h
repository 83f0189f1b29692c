#pragma once

// Where a member stands after a restart, from what its log and its state each recovered by themselves.

#include "absl/status/statusor.h"
#include "raft/core.h"
#include "storage/log/raft_log.h"
#include "storage/state/state_store.h"

namespace keel::server {

struct Reconciled {
  raft::InitialState initial;
  // The log on disk has to be emptied and continued after initial.snapshot. The state is ahead of it: a snapshot was
  // installed and the log not yet cut; or entries were applied, being committed by others, that this member's own disk
  // had not synced, or that replaced some it holds of a dead leader.
  bool reset_log = false;
};

// Log and state, each recovered by itself, as one consistent start. kDataLoss: entries between them are missing. Pure.
absl::StatusOr<Reconciled> Reconcile(const storage::RaftLog::Recovered& log, storage::AppliedPosition applied,
                                     raft::Membership membership);

}  // namespace keel::server
