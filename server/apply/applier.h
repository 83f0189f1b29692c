#pragma once

// The state machine that the log drives: parses each command, executes it on the state store in one batch per group,
// then tells those who wait: the proposer's calls, watchers, the lease keeper.

#include <functional>
#include <memory>
#include <string>

#include "raft/state_machine.h"
#include "server/apply/apply_observer.h"
#include "server/lease/lease_keeper.h"
#include "server/proposer.h"
#include "server/watch/watch_hub.h"
#include "storage/state/state_store.h"

namespace keel::server {

class Applier : public raft::StateMachine {
 public:
  struct Options {
    // Where a received snapshot waits to be installed; server/peer puts it there before Node::OfferSnapshot.
    std::string incoming_dir;
    int64_t quota_bytes = 0;  // Live bytes at which puts are refused; 0: 2 GiB, negative: none.
    // A write was carried out that does not fit; everybody should be told. Apply thread, for every such write.
    std::function<void()> on_full = [] {};
    ApplyObserver* observer = nullptr;  // Null: nobody counts.
  };

  // Borrowed, all outlive it.
  static std::unique_ptr<Applier> Create(const Options& options, storage::StateStore* store, Proposer* proposer,
                                         WatchHub* watch, LeaseKeeper* leases);

  // Both for what follows from membership. Before the node starts.
  struct MemberEvents {
    // The log has a membership entry, not committed yet, that brings these members or these peer URLs. Raft thread.
    std::function<void(raft::Index index, const std::vector<storage::MemberRecord>& members)> appended;
    // The state's members are others, or say other things of themselves. Apply thread.
    std::function<void()> applied;
  };
  virtual void SetMemberEvents(MemberEvents events) = 0;
  // Called on the raft thread after the parts have been told; for metrics and logs. Before the node starts.
  virtual void SetLeadershipListener(std::function<void(raft::Role, raft::Term, raft::MemberId)> listener) = 0;
  // Directory of the complete, verified snapshot that stands for `meta`; also where the peer side must put it.
  virtual std::string IncomingSnapshotDir(const raft::SnapshotMeta& meta) const = 0;
};

}  // namespace keel::server
