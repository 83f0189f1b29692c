#pragma once

// raft::Node in one thread: the production core, read batching, waiters and truncation policy, with the threads of the
// real node replaced by events. Inputs queue as in its mailbox and are taken all at once; the log writer writes what
// has queued with one sync that takes time; the apply thread takes groups.
//
// Owned by one thread. Lives from a start of its member to the next crash.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/random.h"
#include "raft/applied_waiters.h"
#include "raft/core.h"
#include "raft/mailbox.h"
#include "raft/node.h"
#include "raft/read_batcher.h"
#include "raft/state_machine.h"
#include "raft/transport.h"
#include "raft/truncation_policy.h"
#include "storage/log/raft_log.h"
#include "tests/sim/options.h"
#include "tests/sim/world.h"

namespace keel::sim {

class SimNode final : public raft::Node {
 public:
  struct Host {
    // Void when the member has ended, later when it stands still.
    std::function<void(SimTime, std::function<void()>)> after;
    // Every proposal, before it is queued.
    std::function<void(std::string_view)> on_propose;
    // Something of this member has run.
    std::function<void()> on_turn;
    // The member must end.
    std::function<void(absl::Status)> on_fatal;
    // How much longer the disk does not answer.
    std::function<SimTime()> stall;
    double rate = 1;  // Of the member's clock.
  };

  // Beyond `log_bytes_kept_max` no follower keeps the log from being cut.
  SimNode(const SimOptions* options, uint64_t log_bytes_kept_max, const raft::CoreOptions& core,
          raft::InitialState initial, uint64_t seed, storage::RaftLog* log, raft::Transport* transport,
          raft::StateMachine* state_machine, const Clock* clock, Host host);

  void Start();
  void EndFaults() { faults_ = false; }
  bool is_idle() const { return jobs_.empty() && running_.empty() && tasks_.empty(); }
  // What the log writer is at: a crash hits it somewhere in there.
  void WriteOn();
  raft::CoreStatus core_status() const { return core_.status(); }

  absl::Status Propose(raft::Payload payload, absl::Time deadline) override;
  void ProposeMembership(raft::MembershipChange change, raft::Payload context, absl::Time deadline,
                         raft::ChangeDone done) override;
  void TransferLeadership(raft::MemberId target, absl::Time deadline, raft::ChangeDone done) override;
  void ReadIndex(absl::Time deadline, raft::ReadDone done) override;
  void WaitApplied(raft::Index index, absl::Time deadline, raft::ReadDone done) override;
  void Deliver(std::vector<raft::Message> messages) override;
  void ReportUnreachable(raft::MemberId peer) override;
  void ReportReachable(raft::MemberId /*peer*/) override {}  // The simulated wire reaches everybody, or loses.
  void ReportPeerDied(raft::MemberId peer) override;
  void ReportSnapshotSent(raft::MemberId follower, const absl::Status& status, raft::EntryId last) override;
  void OfferSnapshot(raft::MemberId from, raft::Term term, const raft::SnapshotMeta& meta,
                     std::function<void(bool)> decided) override;
  raft::NodeStatus status() const override;
  raft::Term term() const override { return core_.status().term; }
  raft::MemberId leader() const override { return core_.status().leader; }
  raft::Index applied() const override { return applied_; }
  raft::Index commit() const override { return core_.status().commit; }
  void Stop() override {}

 private:
  struct AppendJob {
    std::optional<raft::AppendTicket> ticket;
    raft::StableBatch batch;
    std::vector<raft::Message> after;
  };
  struct TruncateJob {
    raft::Index through;
  };
  struct ResetJob {
    raft::SnapshotMeta meta;
  };
  using Job = std::variant<AppendJob, TruncateJob, ResetJob>;
  struct ApplyTask {
    raft::ApplyWork work;  // From `first` on, what is still to be done.
    std::optional<raft::SnapshotMeta> install;
  };

  void Tick();
  void Input(std::function<void()> input);
  void Turn();
  void NoteLeadership();
  void ProposePending();
  void Execute(raft::Ready ready);
  void StartWriting();
  void FinishWriting();
  absl::Status RunAppend(AppendJob* job);
  void StartApplying();
  void FinishApplying();
  void Fetch(const raft::FetchWork& work);
  void MaybeTruncate();

  const SimOptions& options_;
  storage::RaftLog& log_;
  raft::Transport& transport_;
  raft::StateMachine& state_machine_;
  const Clock& clock_;
  const Host host_;
  Random random_;
  bool faults_ = true;

  raft::AppliedWaiters waiters_;
  raft::Core core_;
  raft::TruncationPolicy truncation_;
  raft::ReadBatcher reads_;
  raft::Index applied_;

  std::vector<std::function<void()>> inbox_;
  std::vector<raft::PendingRead> new_reads_;
  std::deque<raft::PendingProposal> proposals_;
  bool turn_due_ = false;

  std::deque<Job> jobs_;
  std::vector<Job> running_;
  size_t outstanding_appends_ = 0;
  bool truncating_ = false;
  std::deque<ApplyTask> tasks_;
  bool applying_ = false;

  raft::Role role_ = raft::Role::kFollower;
  raft::Term seen_term_;
  raft::MemberId seen_leader_ = raft::kNobody;
};

}  // namespace keel::sim
