#pragma once

// A raft::Node of one member that loses nothing: what is proposed is committed and applied at once, in order, by a
// thread of its own, as the apply thread of a real node would. For tests of what stands above Raft.

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "raft/node.h"

namespace keel::server {

class FakeNode final : public raft::Node {
 public:
  // Leads term 1 at once. `first_free` is the index of the first proposal, after what the state machine has applied.
  explicit FakeNode(raft::StateMachine* state_machine, raft::MemberId self = raft::MemberId{1},
                    raft::Index first_free = raft::Index{1})
      : state_machine_(state_machine), self_(self), leader_(self), next_(first_free) {
    state_machine_->OnLeadership(raft::Role::kLeader, term_, self_);
    thread_ = std::thread([this] { Run(); });
  }
  ~FakeNode() override { Stop(); }

  absl::Status Propose(raft::Payload payload, absl::Time /*deadline*/) override {
    std::lock_guard<std::mutex> lock(mutex_);
    ++proposals_;
    if (stopped_) return absl::UnavailableError("stopping");
    if (!refusal_.ok()) return refusal_;
    if (dropping_) return absl::OkStatus();
    Task apply = [this, payload = std::move(payload)] { ApplyOne(payload); };
    (holding_proposals_ ? held_proposals_ : queue_).push_back(std::move(apply));
    wake_.notify_one();
    return absl::OkStatus();
  }

  void ReadIndex(absl::Time /*deadline*/, raft::ReadDone done) override {
    std::unique_lock<std::mutex> lock(mutex_);
    ++reads_;
    if (stopped_) {
      lock.unlock();
      done(absl::UnavailableError("stopping"), raft::Index{0});
      return;
    }
    if (holding_reads_) {
      held_reads_.push_back(std::move(done));
      return;
    }
    PushRead(std::move(done));
  }

  void WaitApplied(raft::Index /*index*/, absl::Time deadline, raft::ReadDone done) override {
    ReadIndex(deadline, std::move(done));
  }

  void Deliver(std::vector<raft::Message> /*messages*/) override {}
  void ReportUnreachable(raft::MemberId /*peer*/) override {}
  void ReportReachable(raft::MemberId /*peer*/) override {}
  void ReportPeerDied(raft::MemberId /*peer*/) override {}
  void ProposeMembership(raft::MembershipChange /*change*/, raft::Payload /*context*/, absl::Time /*deadline*/,
                         raft::ChangeDone done) override {
    done(absl::FailedPreconditionError(raft::kNotLeader));
  }
  void TransferLeadership(raft::MemberId target, absl::Time /*deadline*/, raft::ChangeDone done) override {
    absl::Status answer;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      transfer_target_ = target;
      answer = transfer_answer_;
    }
    done(answer);
  }
  void ReportSnapshotSent(raft::MemberId /*follower*/, const absl::Status& /*status*/,
                          raft::EntryId /*last*/) override {}
  void OfferSnapshot(raft::MemberId /*from*/, raft::Term /*term*/, const raft::SnapshotMeta& /*meta*/,
                     std::function<void(bool)> decided) override {
    decided(false);
  }

  raft::NodeStatus status() const override {
    std::lock_guard<std::mutex> lock(mutex_);
    raft::NodeStatus status;
    status.core.id = self_;
    status.core.role = role();
    status.core.term = term_;
    status.core.leader = leader_;
    status.core.commit = status.core.applied = Last();
    status.core.last = {.term = term_, .index = Last()};
    status.core.first = raft::Index{1};
    status.core.membership.voters = {self_};
    return status;
  }
  raft::Term term() const override {
    std::lock_guard<std::mutex> lock(mutex_);
    return term_;
  }
  raft::MemberId leader() const override {
    std::lock_guard<std::mutex> lock(mutex_);
    return leader_;
  }
  raft::Index applied() const override {
    std::lock_guard<std::mutex> lock(mutex_);
    return Last();
  }
  raft::Index commit() const override { return applied(); }

  void Stop() override {
    std::deque<raft::ReadDone> reads;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopped_ = true;
      reads.swap(held_reads_);
      wake_.notify_one();
    }
    for (raft::ReadDone& done : reads) done(absl::UnavailableError("stopping"), raft::Index{0});
    if (thread_.joinable()) thread_.join();
  }

  // --- What a test makes happen.

  // From now on `leader` leads `term`; the state machine is told.
  void SetLeader(raft::MemberId leader, raft::Term term) {
    raft::Role role;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      leader_ = leader;
      term_ = term;
      role = this->role();
    }
    state_machine_->OnLeadership(role, term, leader);
  }
  // TransferLeadership() answers this; and whom it was asked for last.
  void SetTransferAnswer(absl::Status answer) {
    std::lock_guard<std::mutex> lock(mutex_);
    transfer_answer_ = std::move(answer);
  }
  raft::MemberId transfer_target() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return transfer_target_;
  }
  // Proposals vanish, as when they were forwarded to a leader that died.
  void SetDropping(bool dropping) {
    std::lock_guard<std::mutex> lock(mutex_);
    dropping_ = dropping;
  }
  // Proposals wait to be committed until they are let go.
  void HoldProposals() {
    std::lock_guard<std::mutex> lock(mutex_);
    holding_proposals_ = true;
  }
  void ReleaseProposals() {
    std::lock_guard<std::mutex> lock(mutex_);
    holding_proposals_ = false;
    for (Task& apply : held_proposals_) queue_.push_back(std::move(apply));
    held_proposals_.clear();
    wake_.notify_one();
  }
  // Propose() answers this.
  void SetRefusal(absl::Status refusal) {
    std::lock_guard<std::mutex> lock(mutex_);
    refusal_ = std::move(refusal);
  }
  // Reads wait until they are let go or failed.
  void HoldReads() {
    std::lock_guard<std::mutex> lock(mutex_);
    holding_reads_ = true;
  }
  void ReleaseReads(absl::Status status = absl::OkStatus()) {
    std::lock_guard<std::mutex> lock(mutex_);
    holding_reads_ = false;
    for (raft::ReadDone& done : held_reads_) PushRead(std::move(done), status);
    held_reads_.clear();
  }
  size_t held_reads() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return held_reads_.size();
  }
  // Calls of Propose() and ReadIndex() so far.
  size_t proposals() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return proposals_;
  }
  size_t reads() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return reads_;
  }
  // The first error of Apply(); a real node would end the process.
  absl::Status apply_status() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return apply_status_;
  }

 private:
  using Task = absl::AnyInvocable<void()>;

  raft::Role role() const { return leader_ == self_ ? raft::Role::kLeader : raft::Role::kFollower; }
  raft::Index Last() const { return raft::Index{next_.value() - 1}; }

  void PushRead(raft::ReadDone done, absl::Status status = absl::OkStatus()) {
    queue_.push_back([this, done = std::move(done), status]() mutable { done(status, applied()); });
    wake_.notify_one();
  }

  void ApplyOne(const raft::Payload& payload) {
    raft::Entry entry;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!apply_status_.ok()) return;
      entry = {.id = {.term = term_, .index = next_}, .type = raft::EntryType::kCommand, .payload = payload};
      // Before anybody is told: who has an answer may ask how far this node is.
      next_ = raft::Index{next_.value() + 1};
    }
    const absl::Status status = state_machine_->Apply({&entry, 1});
    std::lock_guard<std::mutex> lock(mutex_);
    if (!status.ok()) apply_status_ = status;
  }

  // Ends when stopped; what was queued before is done first.
  void Run() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return stopped_ || !queue_.empty(); });
      if (queue_.empty()) return;
      Task task = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      task();
      lock.lock();
    }
  }

  raft::StateMachine* const state_machine_;
  const raft::MemberId self_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> queue_;
  std::deque<Task> held_proposals_;
  std::deque<raft::ReadDone> held_reads_;
  raft::Term term_{1};
  raft::MemberId leader_;
  raft::Index next_;  // Of the next entry.
  bool stopped_ = false;
  bool dropping_ = false;
  bool holding_proposals_ = false;
  bool holding_reads_ = false;
  absl::Status refusal_;
  absl::Status apply_status_;
  absl::Status transfer_answer_;
  raft::MemberId transfer_target_;
  size_t proposals_ = 0;
  size_t reads_ = 0;
  std::thread thread_;
};

}  // namespace keel::server
