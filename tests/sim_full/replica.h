#pragma once

// One whole member in one thread: everything of the server between its request handlers and its disks, built anew at
// every start from what the disks hold. Production code but for raft's threads (SimNode), the network, the disks and
// the clock.
//
// Owned by one thread.

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "proto/etcdserver_kv.pb.h"
#include "server/api/admission.h"
#include "server/api/api_base.h"
#include "server/api/kv_handlers.h"
#include "server/api/lease_handlers.h"
#include "server/api/worker_pool.h"
#include "server/apply/applier.h"
#include "server/lease/lease_keeper.h"
#include "server/lock/election_api.h"
#include "server/lock/lock_api.h"
#include "server/member.h"
#include "server/proposer.h"
#include "server/watch/watch_hub.h"
#include "storage/state/memory_medium.h"
#include "tests/sim/disk.h"
#include "tests/sim/ledger.h"
#include "tests/sim/network.h"
#include "tests/sim/options.h"
#include "tests/sim/world.h"
#include "tests/sim_full/options.h"
#include "tests/sim_full/oracle.h"
#include "tests/sim_full/sim_node.h"

namespace keel::sim {

// Told once how a transfer ended; whoever drops it unsaid says that the connection broke.
class TransferReport {
 public:
  explicit TransferReport(std::function<void(absl::Status)> tell) : tell_(std::move(tell)) {}
  ~TransferReport() { Tell(absl::UnavailableError("the connection broke")); }
  TransferReport(const TransferReport&) = delete;
  TransferReport& operator=(const TransferReport&) = delete;

  void Tell(absl::Status status) {
    if (auto tell = std::exchange(tell_, nullptr)) tell(std::move(status));
  }

 private:
  std::function<void(absl::Status)> tell_;
};

// A snapshot on its way.
struct SnapshotInFlight {
  raft::Term term;
  raft::SnapshotMeta meta;
  std::shared_ptr<storage::MemoryMedium> medium;  // Holds it.
  std::string path;
};

class Replica {
 public:
  struct Host {
    // False: lost, and the sender's connection shows it.
    std::function<bool(int to, std::string bytes)> send;
    std::function<void(int to, SnapshotInFlight snapshot, std::shared_ptr<TransferReport> report)> send_snapshot;
    // Its connections break: whoever holds streams or calls of it lets go of them now.
    std::function<void()> on_stopping;
  };

  Replica(World* world, Ledger* ledger, Oracle* oracle, const FullOptions* options, int node, Host host);
  ~Replica();

  // --- Its life.
  void Start();
  // The process ends, or the machine with it.
  void Kill();
  void PowerCut(SimDisk::Loss loss);
  void PauseUntil(SimTime time) { paused_until_ = std::max(paused_until_, time); }
  void StallDiskUntil(SimTime time) { stalled_until_ = std::max(stalled_until_, time); }
  void EndFaults();

  bool is_up() const { return parts_ != nullptr; }
  bool is_paused() const { return paused_until_ > world_.now(); }
  uint64_t life() const { return life_; }
  int node() const { return node_; }

  // --- Inputs. REQUIRES: is_up().
  void Deliver(int from, const std::string& bytes);
  void DeliverSnapshot(int from, SnapshotInFlight snapshot, std::shared_ptr<TransferReport> report);
  // Void when the member has ended meanwhile, later when it stands still.
  void After(SimTime delay, std::function<void()> action);

  // --- The parts. REQUIRES: is_up().
  SimNode& raft();
  storage::StateStore& store();
  server::WatchHub& hub();
  server::KvHandlers& kv();
  server::LeaseHandlers& leases();
  server::LockApi& lock();
  server::ElectionApi& election();
  const Clock& clock() const { return *clock_; }
  absl::Duration request_timeout() const;

  // Maintenance, as the world pleases.
  void FlushState();
  void CompactSome();
  // The state that a crash now would come back to, replayed to where the member stands, is the member's.
  void CheckRestartEquivalence();
  // A snapshot, restored elsewhere, is the member's state.
  void CheckSnapshotEquivalence();

  // After something that may have given one of the parts work.
  void PollSoon();

 private:
  struct Parts;
  class Machine;
  class Hub;
  class Wire;

  bool breaks(BrokenRule rule) const { return options_.sim.broken_rule == rule; }
  absl::Status Open(Parts* parts);
  void Stop(const std::function<void()>& crash_disk, bool lose_state);
  void Poll();
  void PollNowAndThen();
  void Fail(const absl::Status& status);
  storage::StateOptions StateOptionsOn(std::shared_ptr<storage::MemoryMedium> medium) const;

  World& world_;
  Ledger& ledger_;
  Oracle& oracle_;
  const FullOptions& options_;
  const int node_;
  const Host host_;
  Random random_;
  double clock_rate_ = 1;
  bool faults_ = true;
  std::unique_ptr<SimClock> clock_;
  std::unique_ptr<SimClock> lease_clock_;  // The same, unless a rule is to be broken.
  std::shared_ptr<storage::MemoryMedium> medium_ = std::make_shared<storage::MemoryMedium>();
  SimDisk disk_;
  uint64_t life_ = 0;
  SimTime paused_until_ = 0;
  SimTime stalled_until_ = 0;
  uint64_t snapshots_ = 0;
  bool poll_due_ = false;
  // Raft's own messages may come twice. Forwarded commands may not, their sender counts on it: a connection between
  // members loses, but never repeats.
  uint64_t next_once_ = 1;
  std::set<std::pair<int, uint64_t>> once_seen_;
  std::unique_ptr<Parts> parts_;
  // What outlives this looks here whether it may still be called.
  const std::shared_ptr<Replica*> self_ = std::make_shared<Replica*>(this);

  Invariant restart_equal_;
  Invariant snapshot_equal_;
  Mark snapshot_installed_;
};

}  // namespace keel::sim
