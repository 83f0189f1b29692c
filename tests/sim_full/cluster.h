#pragma once

// A simulated cluster of whole members with its clients and faults, and the phases of its run: faults for a while, then
// none, then everything must work within a bound.
//
// Owned by one thread.

#include <memory>
#include <string>
#include <vector>

#include "tests/sim/fault_schedule.h"
#include "tests/sim/ledger.h"
#include "tests/sim/link_cuts.h"
#include "tests/sim/network.h"
#include "tests/sim/profile.h"
#include "tests/sim/world.h"
#include "tests/sim_full/client.h"
#include "tests/sim_full/options.h"
#include "tests/sim_full/oracle.h"
#include "tests/sim_full/replica.h"

namespace keel::sim {

class FullCluster {
 public:
  FullCluster(const FullOptions& options, const RunOptions& run, Ledger* ledger);
  ~FullCluster();

  // Throws Violation, or RunStopped.
  void Run();

  World& world() { return world_; }
  const FaultSchedule& schedule() const { return schedule_; }
  uint64_t client_operations() const { return shared_.operations; }

 private:
  Replica& replica(int node) { return *replicas_[static_cast<size_t>(node - 1)]; }
  int nodes() const { return options_.sim.members; }
  int Leader();
  void Apply(const FaultEvent& event);
  void RestartAfter(int node, SimTime delay);
  void Maintain(int node);
  void SendSnapshot(int from, int to, SnapshotInFlight snapshot, std::shared_ptr<TransferReport> report);
  void CheckLiveness();

  const FullOptions options_;
  Ledger& ledger_;
  World world_;
  Oracle oracle_;
  Random random_;
  FaultSchedule schedule_;
  Network network_;
  LinkCuts cuts_;
  bool faults_ = true;
  std::vector<std::unique_ptr<Replica>> replicas_;
  Clientele shared_;
  std::vector<std::unique_ptr<Client>> clients_;

  Invariant live_;
  Invariant converged_;
  Invariant leases_end_;
  Invariant watches_catch_up_;
};

// The profile "full" of the runner.
Profile FullProfile();

}  // namespace keel::sim
