#pragma once

// A whole Raft group in one thread: production cores over a simulated network (messages are really encoded), simulated
// disks, a counter as state machine, clients, and faults. Everything is decided by one seed.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "raft/core.h"
#include "tests/sim/sim_checker.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_options.h"

namespace keel::raft::sim {

struct SimStats {
  uint64_t events = 0;
  uint64_t messages = 0;
  uint64_t elections = 0;
  uint64_t crashes = 0;
  uint64_t writes = 0;  // Confirmed to clients.
  uint64_t reads = 0;   // Answered.
  uint64_t reads_failed = 0;
  uint64_t installs = 0;  // Snapshots.
  uint64_t fetches = 0;
  uint64_t committed = 0;
};

class Cluster {
 public:
  Cluster(const SimOptions& options, bool trace);

  // Faults for options.ticks, then none, then everything must work within a bound. The violation, or empty.
  std::string Run();
  const SimStats& stats() const { return stats_; }

  // For scripted worlds. All throw Violation.
  void RunTicks(int ticks);
  // False: the condition did not come true within `ticks`.
  bool RunUntil(const std::function<bool()>& condition, int ticks);
  // May messages travel from one to the other?
  void SetLink(int from, int to, bool up) { cut_[Link(from, to)] = !up; }
  void StopFaults();
  // The leader that the most recent term has, 0 if none.
  int Leader() const;
  Core& core(int id) { return *members_[id].core; }
  void Propose(int id);
  Index newest_commit() const { return Index(checker_.committed().size() - 1); }

 private:
  struct ApplyTask {
    ApplyWork work;
    std::optional<SnapshotMeta> install;
  };
  struct Read {
    uint64_t started_at;
    Index committed;             // By then, anywhere.
    std::optional<Index> index;  // Answered; waits for apply.
  };
  struct Member {
    std::unique_ptr<Core> core;  // Null: down.
    double clock_rate = 1;
    uint64_t starts = 0;       // Events of earlier lives are void.
    int64_t frozen_until = 0;  // Neither ticks nor hears until then.
    bool syncing = false;
    bool applying = false;
    int64_t disk_stalled_until = 0;
    MachineState machine;
    MachineState durable_machine;
    std::deque<ApplyTask> tasks;
    std::map<ReadId, Read> reads;            // Asked, unanswered or waiting for apply.
    std::map<std::string, uint64_t> writes;  // Proposed here, unconfirmed; when they started.
    std::optional<MachineState> offered;     // The snapshot being installed.
    std::function<void(bool)> offered_done;
  };

  size_t Link(int from, int to) const { return static_cast<size_t>(from * 8 + to); }
  void At(int64_t delay, std::function<void()> action);
  // Void if the member has crashed meanwhile; postponed while it is frozen.
  void AtMember(int id, int64_t delay, std::function<void()> action);
  // One input to a member's core and all that follows from it at once.
  void Input(int id, const std::function<void(Core&)>& input);
  void Pump(int id);
  void Execute(int id, Ready ready);
  void Deliver(int id, const std::string& bytes);
  void SendAll(int id, std::vector<Message> messages);
  void Transmit(const Message& message);
  bool Lost(int from, int to);
  void StartSync(int id);
  void FinishSync(int id);
  void StartApply(int id);
  void FinishApply(int id);
  void ApplyEntries(int id, const ApplyWork& work);
  void Install(int id, const SnapshotMeta& meta);
  void Fetch(int id, const FetchWork& work);
  void SendSnapshot(int id, const SnapshotWork& work);
  void OnReadResult(int id, const ReadResult& result);
  void FinishReads(int id);
  void TickMember(int id);
  void WorldTick();
  void ClientStep();
  void StartRead(int id);
  void Start(int id);
  void Crash(int id);
  void Partition();
  void Heal();
  bool AllCaughtUp() const;
  void CheckLiveness();
  template <typename... Args>
  void Trace(const Args&... args);

  SimOptions options_;
  const bool trace_;
  Random random_;
  Checker checker_;
  SimStats stats_;
  std::vector<Member> members_;
  std::vector<SimDisk> disks_;
  std::vector<char> cut_;
  std::map<std::pair<int64_t, uint64_t>, std::function<void()>> events_;  // By time, then order.
  int64_t now_ = 0;
  uint64_t sequence_ = 0;
  uint64_t next_read_ = 1;
  uint64_t next_write_ = 1;
  uint64_t next_start_ = 1;
  bool faults_ = true;
  std::set<Term> terms_led_;
};

}  // namespace keel::raft::sim
