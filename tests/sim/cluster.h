#pragma once

// A whole group in one world: members, network, faults, and the checker that sees them all. First the schedule's faults
// happen while clients work; then the faults end, for all or for a majority only, and the group must recover in bounded
// simulated time.
//
// Another profile brings its own state machine and its own clients:
//
//   Cluster cluster(&world, &ledger, options, make_machine);
//   MyWorkload workload(&cluster, ...);
//   cluster.Run(schedule, &workload);      // Throws Violation.
//
// Owned by one thread.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "raft/core.h"
#include "tests/sim/checker.h"
#include "tests/sim/fault_schedule.h"
#include "tests/sim/link_cuts.h"
#include "tests/sim/member.h"
#include "tests/sim/network.h"
#include "tests/sim/options.h"
#include "tests/sim/world.h"

namespace keel::sim {

// What clients do to a group, and how their answers are judged.
class Workload {
 public:
  virtual ~Workload() = default;
  // Schedules the clients' first operations.
  virtual void Begin() = 0;
  // No new operations from now on.
  virtual void End() = 0;
  // A command that the state machine takes, used to see whether the group makes progress.
  virtual std::string Probe() = 0;
  // Once, when the group has recovered. Throws Violation.
  virtual void Check() = 0;
};

// The position at which every world begins: a bootstrap is an applied entry like any other.
inline constexpr raft::EntryId kBootstrap{raft::Term(1), raft::Index(1)};

class Cluster final : public MemberHost {
 public:
  // Makes the state of a member: a founder's stands at kBootstrap with `membership`; any other is empty.
  using MachineFactory =
      std::function<std::unique_ptr<Machine>(raft::MemberId id, bool is_founder, const raft::Membership& membership)>;

  Cluster(World* world, Ledger* ledger, const SimOptions& options, const MachineFactory& make_machine);
  ~Cluster() override;

  // The whole run.
  void Run(const FaultSchedule& schedule, Workload* workload);

  // --- For workloads and scripted worlds. Nodes are 1 to nodes(); a member's id is its node.

  World& world() { return world_; }
  Checker& checker() { return checker_; }
  const SimOptions& options() const { return options_; }
  int nodes() const { return static_cast<int>(members_.size()) - 1; }
  Member& member(int node) { return *members_.at(static_cast<size_t>(node)); }
  Network& network() { return network_; }
  // Whoever leads the newest term that anybody leads; 0: nobody.
  int Leader() const;
  void Start();
  void Apply(const FaultEvent& event);
  // Message faults, slow disks and clocks end; links and members stay as they are.
  void EndFaults();
  SimTime election_timeout() const { return options_.core.election_ticks * options_.tick; }

  // --- MemberHost.

  bool Send(const Member& from, const raft::Message& message) override;
  void SendSnapshot(const Member& from, const raft::SnapshotWork& work, const raft::SnapshotMeta& meta,
                    std::string bytes, std::function<void(absl::Status)> report) override;
  void OnRecovered(const Member& member, storage::RaftLog& log) override { checker_.OnRecovered(member, log); }
  void OnStarted(const Member& member) override;
  void OnStopping(const Member& member) override;
  void OnLost(const Member& member, const absl::Status& why) override;
  void OnWrite(const Member& member, const raft::AppendWork& work) override { checker_.OnWrite(member, work); }
  void OnHandedToApply(const Member& member, const raft::ApplyWork& work) override {
    checker_.OnHandedToApply(member, work);
  }
  void OnApplied(const Member& member, std::span<const raft::Entry> entries) override {
    checker_.OnApplied(member, entries);
  }
  void OnInstalled(const Member& member) override;
  void OnStepped(const Member& member, const raft::Message& message, const absl::Status& status) override;
  void OnEvent(const Member& member) override;

 private:
  void Deliver(int from, int to, const std::string& bytes);
  void RestartAfter(int node, SimTime delay);
  void Transfer(int to);
  void ChangeMembership(const FaultEvent& event, int target);
  // A removed member goes on until somebody notices.
  void RetireRemoved();
  // Its directory becomes what it was some time ago, or empty, or loses its newest write, under the same id.
  void RollBack(const FaultEvent& event, int target);
  void WatchRolledBack(int node, int leader, raft::Term term);
  void DamageDisk(const FaultEvent& event, Member& member);
  void RotLog(Member& member, uint64_t param);
  // False: the log has no such write, or cannot be read.
  bool RotTail(Member& member);

  // Faults end for these, and they must recover; the others are shut out, one way or another.
  std::set<int> ChooseCore();
  void ShutOut(const std::set<int>& core);
  void HealAmong(const std::set<int>& nodes);
  void CheckRecovery(const std::set<int>& nodes, Workload* workload);
  bool HaveCaughtUp(const std::set<int>& nodes) const;
  std::string Describe(const std::set<int>& nodes) const;
  // Who has a say in what the group does next: by what is committed, and by what is only in somebody's log.
  std::set<int> Involved() const;
  // A change of membership is under way, or lies in one of their logs and may yet be.
  bool IsChanging(const std::set<int>& nodes) const;
  bool IsSettled(const std::set<int>& among) const;
  int LeaderAmong(const std::set<int>& nodes) const;

  World& world_;
  Ledger& ledger_;
  const SimOptions options_;
  Random random_;
  Network network_;
  Checker checker_;
  std::vector<std::unique_ptr<Member>> members_;  // By node; 0 unused.
  std::vector<const Member*> views_;
  LinkCuts cuts_;
  std::set<int> damaged_;  // Their disks have been tampered with.
  std::set<int> may_run_;  // Founders and those that were added, until they are retired.
  int next_spare_;
  std::map<int, std::optional<Member::Directory>> older_directories_;
  bool faults_ = true;
  std::set<raft::Term> terms_led_;

  Invariant accepts_;
  Invariant recovers_leader_;
  Invariant recovers_progress_;
  Invariant recovers_reads_;
  Invariant recovers_catch_up_;
  Invariant stable_leader_;
  Invariant term_stands_still_;
  Invariant recovers_settled_;
  Invariant equal_states_;
  Invariant damage_was_done_;
  Mark transfers_begun_;
  Mark changes_begun_;
  Mark rollbacks_refused_;
  uint64_t& messages_;
  uint64_t& elections_;
  uint64_t& installs_;
};

}  // namespace keel::sim
