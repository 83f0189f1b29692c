#include "tests/sim_full/sim_node.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "raft/log_writer.h"
#include "tests/sim/ledger.h"

namespace keel::sim {

using raft::Index;

namespace {

constexpr int kRoundsMax = 1000;
constexpr size_t kGroupBytesMax = 1 << 20;

}  // namespace

SimNode::SimNode(const SimOptions* options, uint64_t log_bytes_kept_max, const raft::CoreOptions& core,
                 raft::InitialState initial, uint64_t seed, storage::RaftLog* log, raft::Transport* transport,
                 raft::StateMachine* state_machine, const Clock* clock, Host host)
    : options_(*options),
      log_(*log),
      transport_(*transport),
      state_machine_(*state_machine),
      clock_(*clock),
      host_(std::move(host)),
      random_(seed),
      waiters_(initial.applied),
      core_(core, initial),
      truncation_(options->log_entries_kept, log_bytes_kept_max),
      reads_(raft::ReadId(random_.Next() >> 1), &waiters_),
      applied_(initial.applied) {}

void SimNode::Start() {
  host_.after(random_.Between(0, options_.tick), [this] { Tick(); });
  const raft::Membership members = core_.status().membership;
  if (members.voters == std::vector<raft::MemberId>{core_.status().id} && !members.is_joint()) {
    Input([this] { core_.Campaign(); });
  } else {
    Input([] {});
  }
}

// --- The mailbox.

void SimNode::Input(std::function<void()> input) {
  inbox_.push_back(std::move(input));
  if (std::exchange(turn_due_, true)) return;
  host_.after(random_.Between(0, 100), [this] { Turn(); });
}

absl::Status SimNode::Propose(raft::Payload payload, absl::Time deadline) {
  host_.on_propose(payload.view());
  Input([this, proposal = std::make_shared<raft::PendingProposal>(
                   raft::PendingProposal{.payload = std::move(payload), .deadline = deadline})] {
    if (proposal->deadline > clock_.Now()) proposals_.push_back(std::move(*proposal));
  });
  return absl::OkStatus();
}

void SimNode::ProposeMembership(raft::MembershipChange change, raft::Payload context, absl::Time /*deadline*/,
                                raft::ChangeDone done) {
  Input([this, change = std::move(change), context = std::move(context),
         shared = std::make_shared<raft::ChangeDone>(std::move(done))] {
    (*shared)(core_.ProposeMembership(change, context));
  });
}

void SimNode::TransferLeadership(raft::MemberId target, absl::Time /*deadline*/, raft::ChangeDone done) {
  Input([this, target, shared = std::make_shared<raft::ChangeDone>(std::move(done))] {
    (*shared)(core_.TransferLeadership(target));
  });
}

void SimNode::ReadIndex(absl::Time deadline, raft::ReadDone done) {
  if (options_.broken_rule == BrokenRule::kReadWithoutQuorum) return done(absl::OkStatus(), applied_);
  new_reads_.push_back({.deadline = deadline, .done = std::move(done)});
  Input([this] { reads_.Add(&new_reads_); });
}

void SimNode::WaitApplied(Index index, absl::Time deadline, raft::ReadDone done) {
  std::vector<raft::PendingRead> read;
  read.push_back({.deadline = deadline, .done = std::move(done)});
  waiters_.Add(index, std::move(read));
}

void SimNode::Deliver(std::vector<raft::Message> messages) {
  Input([this, arrived = std::make_shared<std::vector<raft::Message>>(std::move(messages))] {
    for (raft::Message& message : *arrived) {
      const absl::Status status = core_.Step(std::move(message));
      if (!status.ok()) throw Violation{"messages-accepted", std::string(status.message())};
    }
  });
}

void SimNode::ReportUnreachable(raft::MemberId peer) {
  Input([this, peer] { core_.OnUnreachable(peer); });
}

void SimNode::ReportPeerDied(raft::MemberId peer) {
  Input([this, peer] { core_.OnPeerDied(peer); });
}

void SimNode::ReportSnapshotSent(raft::MemberId follower, const absl::Status& status, raft::EntryId last) {
  Input([this, follower, status, last] {
    truncation_.OnSnapshotSent(follower, status, last);
    core_.OnSnapshotSent(follower, status, last);
  });
}

void SimNode::OfferSnapshot(raft::MemberId from, raft::Term term, const raft::SnapshotMeta& meta,
                            std::function<void(bool)> decided) {
  Input([this, from, term, meta, decided = std::move(decided)] { decided(core_.OfferSnapshot(from, term, meta)); });
}

raft::NodeStatus SimNode::status() const {
  return {.core = core_.status(), .followers = core_.followers(), .pending_proposals = proposals_.size()};
}

// --- The raft thread.

void SimNode::Tick() {
  const auto tick = static_cast<SimTime>(static_cast<double>(options_.tick) / host_.rate);
  host_.after(tick + random_.Between(-1000, 1000), [this] { Tick(); });
  Input([this] {
    const absl::Time now = clock_.Now();
    core_.Tick();
    reads_.OnTick(now);
    waiters_.Expire(now);
    std::erase_if(proposals_, [now](const raft::PendingProposal& proposal) { return proposal.deadline <= now; });
    MaybeTruncate();
  });
}

void SimNode::Turn() {
  turn_due_ = false;
  std::vector<std::function<void()>> inputs = std::exchange(inbox_, {});
  for (std::function<void()>& input : inputs) input();
  for (int rounds = 0;; ++rounds) {
    if (rounds > kRoundsMax) throw Violation{"ready-ends", "TakeReady never ends"};
    NoteLeadership();
    if (core_.status().leader != raft::kNobody) {
      ProposePending();
      while (const std::optional<raft::ReadId> id = reads_.StartAttempt(clock_.Now())) core_.ReadIndex(*id);
    }
    if (!core_.HasReady()) break;
    while (core_.HasReady()) Execute(core_.TakeReady());
  }
  host_.on_turn();
}

void SimNode::NoteLeadership() {
  const raft::CoreStatus status = core_.status();
  if (status.role == role_ && status.term == seen_term_ && status.leader == seen_leader_) return;
  const bool leader_changed = seen_leader_ != status.leader || status.term != seen_term_;
  role_ = status.role;
  seen_term_ = status.term;
  seen_leader_ = status.leader;
  state_machine_.OnLeadership(status.role, status.term, status.leader);
  if (leader_changed && status.leader != raft::kNobody) reads_.OnLeaderChange();
}

void SimNode::ProposePending() {
  while (!proposals_.empty()) {
    std::vector<raft::Payload> payloads;
    for (const raft::PendingProposal& proposal : proposals_) payloads.push_back(proposal.payload);
    if (!core_.Propose(std::move(payloads)).ok()) {
      // Together they may be more than there is room for.
      if (!core_.Propose({proposals_.front().payload}).ok()) return;
      proposals_.pop_front();
    } else {
      proposals_.clear();
    }
  }
}

void SimNode::Execute(raft::Ready ready) {
  if (!ready.messages.empty()) transport_.Send(std::move(ready.messages));
  if (ready.append) {
    ++outstanding_appends_;
    jobs_.push_back(
        AppendJob{.ticket = ready.append->ticket,
                  .batch = {.hard_state = ready.append->hard_state, .entries = std::move(ready.append->entries)},
                  .after = std::move(ready.messages_after_append)});
  } else if (!ready.messages_after_append.empty()) {
    if (outstanding_appends_ == 0) {
      transport_.Send(std::move(ready.messages_after_append));
    } else {
      ++outstanding_appends_;
      jobs_.push_back(AppendJob{.ticket = std::nullopt, .batch = {}, .after = std::move(ready.messages_after_append)});
    }
  }
  StartWriting();
  if (ready.apply) tasks_.push_back({.work = *std::move(ready.apply), .install = std::nullopt});
  if (ready.install) tasks_.push_back({.work = {}, .install = *std::move(ready.install)});
  StartApplying();
  for (const raft::FetchWork& fetch : ready.fetches) Fetch(fetch);
  for (const raft::SnapshotWork& snapshot : ready.snapshots) {
    truncation_.OnSnapshotStarted(snapshot.follower, core_.status().applied);
    transport_.SendSnapshot(snapshot.follower, snapshot.term);
  }
  for (const raft::ReadResult& result : ready.reads) reads_.OnResult(result);
}

// --- The log writer.

void SimNode::StartWriting() {
  if (!running_.empty() || jobs_.empty()) return;
  // A job of another kind is carried out by itself.
  const auto other =
      std::find_if(jobs_.begin(), jobs_.end(), [](const Job& job) { return !std::holds_alternative<AppendJob>(job); });
  const auto end = other == jobs_.begin() ? jobs_.begin() + 1 : other;
  running_.assign(std::make_move_iterator(jobs_.begin()), std::make_move_iterator(end));
  jobs_.erase(jobs_.begin(), end);
  const SimTime sync = faults_ ? options_.sync_max : std::min(options_.sync_max, 5 * kMillisecond);
  host_.after((faults_ ? host_.stall() : 0) + random_.Between(0, sync), [this] { FinishWriting(); });
}

absl::Status SimNode::RunAppend(AppendJob* job) {
  if (!job->batch.hard_state && job->batch.entries.empty()) return absl::OkStatus();
  return log_.Append(job->batch);
}

void SimNode::WriteOn() {
  for (Job& job : running_) {
    absl::Status status;
    if (auto* append = std::get_if<AppendJob>(&job)) status = RunAppend(append);
    if (auto* truncate = std::get_if<TruncateJob>(&job)) status = log_.TruncatePrefix(truncate->through);
    if (auto* reset = std::get_if<ResetJob>(&job)) status = log_.ResetTo(reset->meta.last);
    if (!status.ok()) return;
  }
}

void SimNode::FinishWriting() {
  std::vector<Job> jobs = std::exchange(running_, {});
  AppendJob merged;
  std::vector<raft::Message> after;
  size_t appends = 0;
  for (Job& job : jobs) {
    auto* append = std::get_if<AppendJob>(&job);
    if (append == nullptr) continue;
    ++appends;
    if (append->ticket) merged.ticket = append->ticket;
    raft::MergeInto(&merged.batch, std::move(append->batch));
    after.insert(after.end(), std::make_move_iterator(append->after.begin()),
                 std::make_move_iterator(append->after.end()));
  }
  absl::Status status;
  if (appends > 0) {
    status = RunAppend(&merged);
    if (status.ok()) {
      raft::KeepNewestAcks(&after);
      transport_.Send(std::move(after));
      Input([this, appends, ticket = merged.ticket] {
        outstanding_appends_ -= appends;
        if (ticket) core_.OnAppended(*ticket);
      });
    }
  } else if (auto* truncate = std::get_if<TruncateJob>(&jobs.front())) {
    status = log_.TruncatePrefix(truncate->through);
    Input([this, through = truncate->through] {
      core_.OnLogTruncated(through);
      truncating_ = false;
    });
  } else {
    const raft::SnapshotMeta meta = std::get<ResetJob>(jobs.front()).meta;
    status = log_.ResetTo(meta.last);
    Input([this, meta] { core_.OnSnapshotInstalled(meta); });
  }
  if (!status.ok()) return host_.on_fatal(status);
  StartWriting();
}

void SimNode::MaybeTruncate() {
  if (truncating_) return;
  const std::optional<Index> through =
      truncation_.Choose(core_.status(), core_.followers(), core_.ReplicatedEverywhere(),
                         state_machine_.DurableApplied(), [this](Index index) { return log_.BytesAfter(index); });
  if (!through) return;
  truncating_ = true;
  jobs_.push_back(TruncateJob{*through});
  StartWriting();
}

// --- The apply thread and the log reader.

void SimNode::StartApplying() {
  if (applying_ || tasks_.empty()) return;
  applying_ = true;
  const SimTime took = faults_ ? options_.apply_max : std::min(options_.apply_max, 5 * kMillisecond);
  host_.after(random_.Between(0, took), [this] { FinishApplying(); });
}

void SimNode::FinishApplying() {
  applying_ = false;
  ApplyTask& task = tasks_.front();
  if (task.install) {
    const raft::SnapshotMeta meta = *task.install;
    tasks_.pop_front();
    if (const absl::Status status = state_machine_.Install(meta); !status.ok()) return host_.on_fatal(status);
    applied_ = meta.last.index;
    jobs_.push_back(ResetJob{meta});
    StartWriting();
    waiters_.Advance(meta.last.index);
  } else {
    std::vector<raft::Entry> group;
    raft::ApplyWork& work = task.work;
    const uint64_t group_max = options_.apply_group_max;
    const Index last = std::min(work.last, work.first + (group_max - 1));
    if (work.entries.empty()) {
      auto entries = log_.Read(work.first, last, kGroupBytesMax);
      if (!entries.ok()) return host_.on_fatal(entries.status());
      group = *std::move(entries);
    } else {
      const auto end = work.entries.begin() + static_cast<std::ptrdiff_t>(last - work.first + 1);
      group.assign(work.entries.begin(), end);
      work.entries.erase(work.entries.begin(), end);
    }
    const Index done = group.back().id.index;
    if (done == work.last) {
      tasks_.pop_front();
    } else {
      work.first = done + 1;
    }
    if (const absl::Status status = state_machine_.Apply(group); !status.ok()) return host_.on_fatal(status);
    applied_ = done;
    Input([this, done] { core_.OnApplied(done); });
    waiters_.Advance(done);
  }
  host_.on_turn();
  StartApplying();
}

void SimNode::Fetch(const raft::FetchWork& work) {
  host_.after(random_.Between(0, 5 * kMillisecond), [this, work] {
    auto entries = log_.Read(work.first, work.last, work.bytes_max);
    if (!entries.ok() && !absl::IsNotFound(entries.status())) return host_.on_fatal(entries.status());
    Input([this, follower = work.follower,
           read = std::make_shared<std::vector<raft::Entry>>(entries.ok() ? *std::move(entries)
                                                                          : std::vector<raft::Entry>())] {
      core_.OnFetched(follower, std::move(*read));
    });
  });
}

}  // namespace keel::sim
