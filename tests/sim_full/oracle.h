#pragma once

// What is true of a whole simulated cluster, seen from above: the committed log, executed by the model once per index.
// Whatever a member applies, publishes, holds or answers is compared with it.
//
// Owned by one thread.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "raft/entry.h"
#include "storage/event.h"
#include "storage/state/state_store.h"
#include "tests/sim/ledger.h"
#include "tests/sim/world.h"
#include "tests/sim_full/model.h"

namespace keel::sim {

class Oracle {
 public:
  Oracle(World* world, Ledger* ledger);

  // All throw Violation.

  // A member hands a command to Raft.
  void OnPropose(std::string_view payload);
  // Member `node` is about to execute `entry`. The first to do so decides what everybody must execute there.
  void OnApply(int node, const raft::Entry& entry);
  // It has executed up to and including `index`, and its store says this.
  void OnApplied(int node, const storage::StateStore& store);
  void OnPublish(int node, const std::vector<storage::RevisionEventsPtr>& revisions);
  // The state as a whole: every pair, every lease with its keys, the hash. Dear.
  void CheckState(int node, const storage::StateStore& store);

  // A lease was granted or renewed for `ttl` seconds by a call sent at `sent`; no clock runs faster than `rate`.
  void OnLeaseHeld(int64_t id, int64_t ttl, SimTime sent, double rate);
  // The end of a lease by which it must be known to be gone; 0: it lives.
  SimTime LeaseGoneSince(int64_t id) const;
  void OnRevoked(int64_t id) { revoked_.insert(id); }

  // Nullptr: nobody has executed it.
  const Model::Outcome* OutcomeOf(uint64_t request_id) const;
  const Model& model() const { return model_; }
  uint64_t last() const { return log_.size() - 1; }
  const raft::Entry& EntryAt(uint64_t index) const { return log_[index].entry; }
  // The id of the proposal that the next OnPropose sees.
  uint64_t last_proposed() const { return last_proposed_; }

 private:
  struct Executed {
    raft::Entry entry;
    int64_t revision = 1;  // After it.
    int64_t compact = -1;
  };

  void Execute(const raft::Entry& entry);
  void CheckFences();

  World& world_;
  Model model_;
  std::vector<Executed> log_;  // By index; nothing is executed at 0 and 1.
  std::map<uint64_t, Model::Outcome> outcomes_;
  uint64_t last_proposed_ = 0;
  std::map<uint64_t, SimTime> expiry_proposed_;  // By request.
  std::map<int64_t, SimTime> expired_;           // When it was decided that the lease is over.
  std::map<int64_t, SimTime> gone_;              // When a lease was first seen to be gone, whatever ended it.
  std::map<int64_t, SimTime> held_until_;
  std::set<int64_t> revoked_;
  std::map<std::string, int64_t> fences_;
  // Hashes that members have computed, by revision and compact revision.
  std::map<std::pair<int64_t, int64_t>, uint32_t> hashes_;

  Invariant state_machine_safety_;
  Invariant position_equal_;
  Invariant changes_equal_;
  Invariant state_equal_;
  Invariant hash_equal_;
  Invariant executed_once_;
  Invariant fencing_;
  Invariant lease_lives_;
  Mark lease_expired_;
  Mark former_leader_;
};

}  // namespace keel::sim
