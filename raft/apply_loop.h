#pragma once

#include <atomic>
#include <thread>
#include <variant>
#include <vector>

#include "raft/applied_waiters.h"
#include "raft/failure.h"
#include "raft/log_writer.h"
#include "raft/mailbox.h"
#include "raft/pace.h"
#include "raft/ready.h"
#include "raft/stable_store.h"
#include "raft/state_machine.h"
#include "raft/work_queue.h"

namespace keel::raft {

// The thread that executes committed entries, in groups as large as have gathered, and installs snapshots. After each
// group it tells the raft thread and the reads that waited for it.
//
// The entries in its queue are bounded by the core, which leaves them out of the work when too many are under way; they
// are then read from the log when their turn comes.
class ApplyLoop {
 public:
  struct Limits {
    size_t batch_bytes_max = 0;
    size_t batch_entries_max = 0;
  };

  // All outlive this. `applied` is where the state machine stands.
  ApplyLoop(Limits limits, Index applied, StateMachine* state_machine, StableStore* store, LogWriter* log_writer,
            Mailbox* mailbox, AppliedWaiters* waiters, Failure* failure, const Pace* pace);
  ~ApplyLoop();

  // Carried out in the order of the calls. Install ends with the log writer's Reset.
  void Apply(ApplyWork work);
  void Install(SnapshotMeta meta);

  Index applied() const { return Index(applied_.load(std::memory_order_acquire)); }

  // Finishes the group that is being applied, drops the rest. Idempotent.
  void Stop();

 private:
  using Job = std::variant<ApplyWork, SnapshotMeta>;

  void Run();
  // False: failed, nothing more is to be done.
  bool Execute(Job& job);
  bool ExecuteFromLog(Index first, Index last);
  bool AddToGroup(Entry entry);
  bool ApplyGroup();
  void SetApplied(Index index);

  const Limits limits_;
  StateMachine& state_machine_;
  StableStore& store_;
  LogWriter& log_writer_;
  Mailbox& mailbox_;
  AppliedWaiters& waiters_;
  Failure& failure_;
  const Pace& pace_;

  std::atomic<uint64_t> applied_;
  std::atomic<bool> stopping_ = false;

  // The thread's.
  std::vector<Entry> group_;
  size_t group_bytes_ = 0;

  WorkQueue<Job> queue_;
  std::thread thread_;
};

}  // namespace keel::raft
