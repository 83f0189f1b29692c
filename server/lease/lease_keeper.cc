#include "server/lease/lease_keeper.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <deque>
#include <optional>
#include <thread>
#include <utility>
#include <variant>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "base/check.h"
#include "base/log.h"
#include "server/lease/lease_call.h"
#include "server/lease/lease_table.h"

namespace keel::server {
namespace {

using Kind = LeaseCall::Kind;
using Route = LeaseCall::Route;
using Stage = LeaseCall::Stage;

constexpr absl::Duration kDeadlineTick = absl::Milliseconds(50);  // A call may overstay its deadline by as much.
constexpr absl::Duration kRetryPause = absl::Milliseconds(50);    // After a forward that failed.
constexpr absl::Duration kProposalTimeout = absl::Seconds(5);     // Of expiries and checkpoints; they are repeated.
constexpr absl::Duration kForwardTimeout = absl::Seconds(5);      // Of one attempt.
constexpr size_t kForwardsMax = 16;                               // In flight.
constexpr size_t kRenewalsPerForwardMax = 1000;
constexpr size_t kCheckpointsPerEntryMax = 1000;

absl::Status StoppedError() { return absl::UnavailableError("etcdserver: server stopped"); }
absl::Status NotLeader() { return absl::UnavailableError("etcdserver: not leader"); }
absl::Status TimedOut() { return absl::UnavailableError("etcdserver: request timed out"); }

bool Applied(const absl::StatusOr<ApplyResult>& result) { return result.ok() && result->status.ok(); }

// Everything is decided on one thread, which takes what has queued since it last looked: so renewals that arrive while
// a quorum is asked, or while the leader is, travel together the next time. What the decisions ask of others is done
// without the lock, as are completions.
class LeaseKeeperImpl final : public LeaseKeeper {
 public:
  LeaseKeeperImpl(const Options& options, raft::MemberId self, const Clock* clock, storage::StateStore* store)
      : options_(options), self_(self), clock_(clock), store_(store), table_(options.checkpoint_interval) {}
  ~LeaseKeeperImpl() override { Stop(); }

  void Attach(raft::Node* node, Proposer* proposer, LeaseForwarder* forwarder) override {
    node_ = node;
    proposer_ = proposer;
    forwarder_ = forwarder;
  }

  void Start() override {
    KEEL_CHECK(node_ != nullptr) << "Start before Attach";
    if (options_.drive == Drive::kThread) worker_ = std::thread([this] { Run(); });
  }

  void Stop() override {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
      Wake();
    }
    if (worker_.joinable()) worker_.join();
    Actions actions;
    {
      absl::MutexLock lock(&mutex_);
      const std::vector<LeaseCallPtr> open(open_.begin(), open_.end());
      for (const LeaseCallPtr& call : open) Finish(call, StoppedError(), &actions);
      queued_.clear();
      ending_.clear();
    }
    for (Action& action : actions) action();
  }

  bool Poll() override {
    if (Turn()) Promote();
    absl::MutexLock lock(&mutex_);
    return work_ && !stopping_;
  }

  int64_t minimum_ttl() const override {
    return static_cast<int64_t>(std::ceil(1.5 * absl::ToDoubleSeconds(options_.election_timeout)));
  }

  void Renew(storage::LeaseId id, absl::Time deadline,
             absl::AnyInvocable<void(absl::StatusOr<int64_t>)> done) override {
    Enter(Kind::kRenew, Route::kAnywhere, id, deadline, TtlOnly(std::move(done)));
  }

  void RenewAsLeader(std::vector<storage::LeaseId> ids, absl::Time deadline,
                     absl::AnyInvocable<void(absl::StatusOr<std::vector<int64_t>>)> done) override {
    if (ids.empty()) {
      done(std::vector<int64_t>());
      return;
    }
    // The batch is answered when its last renewal is, or with the first error.
    struct Batch {
      absl::Mutex mutex;
      std::vector<int64_t> ttls;
      size_t missing;
      absl::AnyInvocable<void(absl::StatusOr<std::vector<int64_t>>)> done;
    };
    auto batch = std::make_shared<Batch>();
    batch->ttls.resize(ids.size());
    batch->missing = ids.size();
    batch->done = std::move(done);
    for (size_t i = 0; i < ids.size(); ++i) {
      Enter(Kind::kRenew, Route::kThisMember, ids[i], deadline, TtlOnly([batch, i](absl::StatusOr<int64_t> ttl) {
              absl::AnyInvocable<void(absl::StatusOr<std::vector<int64_t>>)> answer;
              {
                absl::MutexLock lock(&batch->mutex);
                if (ttl.ok()) batch->ttls[i] = *ttl;
                --batch->missing;
                if (batch->done && (batch->missing == 0 || !ttl.ok())) answer = std::exchange(batch->done, nullptr);
              }
              if (!answer) return;
              if (ttl.ok()) {
                answer(std::move(batch->ttls));
              } else {
                answer(ttl.status());
              }
            }));
    }
  }

  void TimeToLive(storage::LeaseId id, absl::Time deadline,
                  absl::AnyInvocable<void(absl::StatusOr<LeaseTimeToLive>)> done) override {
    Enter(Kind::kTimeToLive, Route::kAnywhere, id, deadline, std::move(done));
  }
  void TimeToLiveAsLeader(storage::LeaseId id, absl::Time deadline,
                          absl::AnyInvocable<void(absl::StatusOr<LeaseTimeToLive>)> done) override {
    Enter(Kind::kTimeToLive, Route::kThisMember, id, deadline, std::move(done));
  }

  std::vector<storage::LeaseId> Leases() const override {
    {
      absl::MutexLock lock(&mutex_);
      if (IsPromoted()) return table_.ByDeadline();
    }
    std::vector<storage::LeaseId> ids;
    for (const storage::LeaseRecord& lease : store_->Leases()) ids.push_back(lease.id);
    return ids;
  }

  uint64_t renewals() const override { return renewals_.load(std::memory_order_relaxed); }

  void OnGranted(const storage::LeaseRecord& lease) override {
    absl::MutexLock lock(&mutex_);
    if (promotion_changes_.has_value()) promotion_changes_->push_back(lease);
    if (IsPromoted()) table_.Grant(lease, clock_->Now());
  }

  void OnRevoked(storage::LeaseId id) override {
    Actions actions;
    {
      absl::MutexLock lock(&mutex_);
      if (promotion_changes_.has_value()) promotion_changes_->push_back(id);
      if (IsPromoted()) table_.Remove(id);
      AnswerEnded(id, &actions);
    }
    for (Action& action : actions) action();
  }

  // A member that installs a snapshot does not lead; the next promotion reads the new state.
  void OnStateReplaced() override {
    absl::MutexLock lock(&mutex_);
    promoted_epoch_ = 0;
    Wake();
  }

  void OnLeadership(raft::Role role, raft::Term term, raft::MemberId leader) override {
    absl::MutexLock lock(&mutex_);
    if (role == role_ && term == term_ && leader == leader_) return;
    role_ = role;
    term_ = term;
    leader_ = leader;
    ++epoch_;
    Wake();
  }

 private:
  using Action = absl::AnyInvocable<void()>;
  using Actions = std::vector<Action>;
  using LeaseChange = std::variant<storage::LeaseRecord, storage::LeaseId>;
  // By lease: their order goes into the log.
  using ClearingCalls = absl::btree_map<storage::LeaseId, std::vector<LeaseCallPtr>>;
  struct BySerial {
    bool operator()(const LeaseCallPtr& a, const LeaseCallPtr& b) const { return a->serial < b->serial; }
  };

  static LeaseCall::Done TtlOnly(absl::AnyInvocable<void(absl::StatusOr<int64_t>)> done) {
    return [done = std::move(done)](absl::StatusOr<LeaseTimeToLive> answer) mutable {
      if (answer.ok()) {
        done(answer->ttl);
      } else {
        done(answer.status());
      }
    };
  }

  void Enter(Kind kind, Route route, storage::LeaseId id, absl::Time deadline, LeaseCall::Done done) {
    auto call = std::make_shared<LeaseCall>();
    call->kind = kind;
    call->route = route;
    call->id = id;
    call->deadline = deadline;
    call->done = std::move(done);
    absl::Status refusal;
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) {
        refusal = StoppedError();
      } else if (open_.size() >= options_.calls_max) {
        refusal = absl::ResourceExhaustedError("etcdserver: too many requests");
      } else {
        call->serial = next_serial_++;
        open_.insert(call);
        earliest_deadline_ = std::min(earliest_deadline_, deadline);
        queued_.push_back(call);
        Wake();
      }
    }
    if (!refusal.ok()) call->done(std::move(refusal));
  }

  void Wake() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { work_ = true; }

  bool IsLeader() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return role_ == raft::Role::kLeader; }
  bool IsPromoted() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return IsLeader() && promoted_epoch_ == epoch_; }

  // Ends the call; its completion runs with the actions.
  void Finish(const LeaseCallPtr& call, absl::StatusOr<LeaseTimeToLive> answer, Actions* actions)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (call->stage == Stage::kDone) return;
    call->stage = Stage::kDone;
    open_.erase(call);
    actions->push_back(
        [done = std::move(call->done), answer = std::move(answer)]() mutable { done(std::move(answer)); });
  }

  void Requeue(const LeaseCallPtr& call, absl::Time not_before) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (call->stage == Stage::kDone) return;
    call->stage = Stage::kQueued;
    call->not_before = not_before;
    queued_.push_back(call);
  }

  // --- The worker.

  void Run() {
    while (true) {
      {
        absl::MutexLock lock(&mutex_);
        mutex_.AwaitWithTimeout(absl::Condition(&work_), NextLook());
      }
      if (!Turn()) return;
      Promote();
    }
  }

  // False: stopping.
  bool Turn() {
    Actions actions;
    {
      absl::MutexLock lock(&mutex_);
      work_ = false;
      if (stopping_) return false;
      Work(&actions);
    }
    for (Action& action : actions) action();
    return true;
  }

  absl::Duration NextLook() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    absl::Duration check = IsLeader() ? options_.check_interval : absl::InfiniteDuration();
    if (IsPromoted() && expire_at_once_ && !expiring_) {
      check = std::min(check, std::max(expiries_not_before_ - clock_->Now(), absl::ZeroDuration()));
    }
    return open_.empty() ? check : std::min(check, kDeadlineTick);
  }

  void Work(Actions* actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const absl::Time now = clock_->Now();
    if (seen_epoch_ != epoch_) FollowLeadership(now);
    if (earliest_deadline_ <= now) EndOverdue(now, actions);
    if (confirmed_ != nullptr && IsPromoted()) ServeConfirmed(now, actions);
    RouteQueued(now, actions);
    if (IsPromoted()) {
      ProposeExpiries(now, actions);
      ProposeCheckpoints(now, actions);
    }
  }

  // Who leads has changed: what was asked of the former leader, this member perhaps, is asked again.
  void FollowLeadership(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    seen_epoch_ = epoch_;
    confirming_ = nullptr;
    confirmed_ = nullptr;
    expiring_ = false;
    expire_at_once_ = false;
    expiries_not_before_ = now;
    next_check_ = now;
    ending_.clear();
    if (!IsPromoted()) table_.Clear();
    queued_.clear();
    for (const LeaseCallPtr& call : open_) Requeue(call, absl::InfinitePast());
  }

  void EndOverdue(absl::Time now, Actions* actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    earliest_deadline_ = absl::InfiniteFuture();
    std::vector<LeaseCallPtr> overdue;
    for (const LeaseCallPtr& call : open_) {
      if (call->deadline <= now) {
        overdue.push_back(call);
      } else {
        earliest_deadline_ = std::min(earliest_deadline_, call->deadline);
      }
    }
    for (const LeaseCallPtr& call : overdue) Finish(call, WhyLate(*call), actions);
  }

  absl::Status WhyLate(const LeaseCall& call) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (IsLeader()) {
      const bool unconfirmed = call.stage == Stage::kConfirming || call.stage == Stage::kQueued;
      return unconfirmed ? absl::UnknownError("not a primary lessor") : TimedOut();
    }
    if (leader_ == raft::kNobody) return absl::UnavailableError("etcdserver: no leader");
    return TimedOut();
  }

  // Sends what is queued on its way: to a quorum when this member leads, else to the leader.
  void RouteQueued(absl::Time now, Actions* actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (IsLeader()) {
      if (confirming_ == nullptr && confirmed_ == nullptr && (!queued_.empty() || !IsPromoted())) {
        Confirm(now, actions);
      }
      return;
    }
    std::deque<LeaseCallPtr> later;
    std::vector<LeaseCallPtr> renewals;
    const auto flush = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      if (!renewals.empty()) Forward(std::move(renewals), now, actions);
      renewals.clear();
    };
    for (LeaseCallPtr& call : queued_) {
      if (call->stage != Stage::kQueued) continue;
      if (call->route == Route::kThisMember) {
        Finish(call, NotLeader(), actions);
      } else if (leader_ == raft::kNobody || leader_ == self_ || call->not_before > now || forwards_ >= kForwardsMax) {
        later.push_back(std::move(call));
      } else if (call->kind == Kind::kTimeToLive) {
        Forward({std::move(call)}, now, actions);
      } else {
        renewals.push_back(std::move(call));
        if (renewals.size() == kRenewalsPerForwardMax) flush();
      }
    }
    flush();
    queued_ = std::move(later);
  }

  void Confirm(absl::Time now, Actions* actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    confirming_ = std::make_shared<LeaseCallGroup>();
    confirming_->epoch = epoch_;
    confirming_->started = now;
    absl::Time deadline = now + options_.election_timeout;
    for (LeaseCallPtr& call : queued_) {
      if (call->stage != Stage::kQueued) continue;
      call->stage = Stage::kConfirming;
      deadline = std::max(deadline, call->deadline);
      confirming_->calls.push_back(std::move(call));
    }
    queued_.clear();
    actions->push_back([this, deadline, group = confirming_]() mutable {
      node_->ReadIndex(deadline, [this, group = std::move(group)](const absl::Status& status, raft::Index /*at*/) {
        OnConfirmed(group, status);
      });
    });
  }

  void OnConfirmed(const LeaseCallGroupPtr& group, const absl::Status& status) {
    absl::MutexLock lock(&mutex_);
    if (group != confirming_) return;  // Leadership has changed meanwhile, and with it the way of these calls.
    confirming_ = nullptr;
    if (status.ok()) {
      confirmed_ = group;
      Wake();
      return;
    }
    // Tried again at the next tick, each call until its own deadline.
    for (const LeaseCallPtr& call : group->calls) Requeue(call, absl::InfinitePast());
  }

  // A confirmed leader's table: the leases of the state, which now holds all that former leaders have committed.
  void Promote() {
    uint64_t epoch = 0;
    {
      absl::MutexLock lock(&mutex_);
      if (confirmed_ == nullptr || confirmed_->epoch != epoch_ || !IsLeader() || IsPromoted()) return;
      epoch = epoch_;
      promotion_changes_.emplace();
    }
    // The lock is not held while the leases are read and sorted; what changes meanwhile is made up for.
    const absl::Time now = clock_->Now();
    LeaseTable table(options_.checkpoint_interval);
    for (const storage::LeaseRecord& lease : store_->Leases()) table.Inherit(lease, now, options_.election_timeout);
    absl::MutexLock lock(&mutex_);
    const std::vector<LeaseChange> changes = *std::exchange(promotion_changes_, std::nullopt);
    Wake();
    if (epoch != epoch_) return;
    for (const LeaseChange& change : changes) {
      if (const auto* granted = std::get_if<storage::LeaseRecord>(&change)) {
        table.Grant(*granted, now);
      } else {
        table.Remove(std::get<storage::LeaseId>(change));
      }
    }
    table_.Swap(&table);
    promoted_epoch_ = epoch;
    KEEL_LOG_INFO("keeping leases", {{"member", self_}, {"term", term_}, {"leases", table_.size()}});
  }

  // A quorum has said that this member led when the group set out. Taken as true for one election timeout: a successor
  // gives every lease at least as much on top. After a pause longer than that (a stopped process) it is asked again.
  void ServeConfirmed(absl::Time now, Actions* actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const LeaseCallGroupPtr group = std::exchange(confirmed_, nullptr);
    if (now - group->started > options_.election_timeout) {
      for (const LeaseCallPtr& call : group->calls) Requeue(call, absl::InfinitePast());
      return;
    }
    ClearingCalls to_clear;
    for (const LeaseCallPtr& call : group->calls) {
      if (call->stage == Stage::kDone) continue;
      if (call->kind == Kind::kTimeToLive) {
        Finish(call, LookUp(call->id, now), actions);
      } else {
        ServeRenewal(call, now, &to_clear, actions);
      }
    }
    if (!to_clear.empty()) ClearCheckpoints(std::move(to_clear), now, actions);
  }

  LeaseTimeToLive LookUp(storage::LeaseId id, absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const std::optional<LeaseTable::Facts> facts = table_.Find(id, now);
    if (!facts.has_value()) return {};
    return {.ttl = std::min(absl::ToInt64Seconds(facts->remaining), facts->granted_ttl),
            .granted_ttl = facts->granted_ttl};
  }

  void ServeRenewal(const LeaseCallPtr& call, absl::Time now, ClearingCalls* to_clear, Actions* actions)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    int64_t ttl = 0;
    switch (table_.Renew(call->id, now, &ttl)) {
      case LeaseTable::Renewal::kRenewed:
        renewals_.fetch_add(1, std::memory_order_relaxed);
        // Its revocation may have been committed a moment ago.
        Finish(call, LeaseTimeToLive{.ttl = store_->Lease(call->id).has_value() ? ttl : 0}, actions);
        break;
      case LeaseTable::Renewal::kCheckpointed:
        renewals_.fetch_add(1, std::memory_order_relaxed);
        call->stage = Stage::kClearing;
        (*to_clear)[call->id].push_back(call);
        break;
      case LeaseTable::Renewal::kExpired:
        call->stage = Stage::kEnding;
        ending_[call->id].push_back(call);
        expire_at_once_ = true;
        break;
      case LeaseTable::Renewal::kUnknown:
        Finish(call, LeaseTimeToLive{.ttl = 0}, actions);
        break;
    }
  }

  // The holder may rely on the full TTL only when a successor would grant it, too.
  void ClearCheckpoints(ClearingCalls calls, absl::Time now, Actions* actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    struct Cleared {
      storage::LeaseId id;
      LeaseTable::Facts facts;
    };
    command::Command command;
    command::LeaseCheckpoint* checkpoint = command.mutable_lease_checkpoint();
    checkpoint->set_term(term_.value());
    std::vector<Cleared> cleared;
    auto group = std::make_shared<LeaseCallGroup>();
    group->epoch = epoch_;
    for (auto& [id, renewals] : calls) {
      checkpoint->add_leases()->set_id(id.value());
      cleared.push_back({.id = id, .facts = *table_.Find(id, now)});
      for (LeaseCallPtr& call : renewals) group->calls.push_back(std::move(call));
    }
    auto done = [this, group, cleared = std::move(cleared)](const absl::StatusOr<ApplyResult>& result) {
      Actions answers;
      {
        absl::MutexLock lock(&mutex_);
        if (group->epoch != epoch_ || !IsPromoted()) return;  // They are on another way already, or will be.
        for (const Cleared& lease : cleared) {
          if (Applied(result)) table_.CheckpointCleared(lease.id, lease.facts.grant_index, lease.facts.checkpoint);
        }
        for (const LeaseCallPtr& call : group->calls) {
          if (call->stage != Stage::kClearing) continue;
          if (!Applied(result)) {
            Requeue(call, absl::InfinitePast());
            continue;
          }
          const std::optional<LeaseTable::Facts> facts = table_.Find(call->id, clock_->Now());
          Finish(call, LeaseTimeToLive{.ttl = facts.has_value() ? facts->granted_ttl : 0}, &answers);
        }
      }
      for (Action& answer : answers) answer();
    };
    Propose(std::move(command), now, std::move(done), actions);
  }

  // However many are due at once, they take turns with everybody else's writes: one entry of few at a time, and a pause
  // after it for as long as it took.
  void ProposeExpiries(absl::Time now, Actions* actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (expiring_ || now < expiries_not_before_ || (now < next_check_ && !expire_at_once_)) return;
    expire_at_once_ = false;
    next_check_ = now + options_.check_interval;
    std::vector<LeaseTable::Expired> expired = table_.FindExpired(now, options_.expiries_per_entry_max);
    if (expired.empty()) return;
    expiring_ = true;
    command::Command command;
    command::LeaseExpire* expire = command.mutable_lease_expire();
    expire->set_term(term_.value());
    for (const LeaseTable::Expired& lease : expired) {
      command::LeaseExpire::Item* item = expire->add_leases();
      item->set_id(lease.id.value());
      item->set_grant_index(lease.grant_index);
    }
    auto done = [this, epoch = epoch_, now, expired = std::move(expired)](const absl::StatusOr<ApplyResult>& result) {
      Actions answers;
      {
        absl::MutexLock lock(&mutex_);
        if (epoch != epoch_ || !IsPromoted()) return;
        expiring_ = false;
        const absl::Time ended = clock_->Now();
        if (Applied(result)) {
          expiries_not_before_ = ended + std::min(ended - now, options_.check_interval);
          // OnRevoked() has removed them; whatever of them is left here does not exist.
          for (const LeaseTable::Expired& lease : expired) {
            const std::optional<LeaseTable::Facts> facts = table_.Find(lease.id, ended);
            if (!facts.has_value() || facts->grant_index != lease.grant_index) continue;
            table_.Remove(lease.id);
            AnswerEnded(lease.id, &answers);
          }
          // There may be more than fitted into one entry.
          expire_at_once_ = true;
          Wake();
        }
      }
      for (Action& answer : answers) answer();
    };
    Propose(std::move(command), now, std::move(done), actions);
  }

  void AnswerEnded(storage::LeaseId id, Actions* actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    auto it = ending_.find(id);
    if (it == ending_.end()) return;
    for (const LeaseCallPtr& call : it->second) {
      if (call->stage == Stage::kEnding) Finish(call, LeaseTimeToLive{.ttl = 0}, actions);
    }
    ending_.erase(it);
  }

  // Lost ones are not repeated: the lease then only lives longer under a successor.
  void ProposeCheckpoints(absl::Time now, Actions* actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const std::vector<LeaseTable::Checkpoint> due = table_.TakeCheckpoints(now, kCheckpointsPerEntryMax);
    if (due.empty()) return;
    if (due.size() == kCheckpointsPerEntryMax) Wake();
    command::Command command;
    command::LeaseCheckpoint* checkpoint = command.mutable_lease_checkpoint();
    checkpoint->set_term(term_.value());
    for (const LeaseTable::Checkpoint& lease : due) {
      command::LeaseCheckpoint::Item* item = checkpoint->add_leases();
      item->set_id(lease.id.value());
      item->set_remaining_ttl(lease.remaining_ttl);
    }
    Propose(
        std::move(command), now, [](const absl::StatusOr<ApplyResult>& /*result*/) {}, actions);
  }

  // All proposals are submitted by the worker, in the order of the decisions, so that the log has them in this order.
  void Propose(command::Command command, absl::Time now, Proposer::Done done, Actions* actions) {
    actions->push_back([this, now, command = std::move(command), done = std::move(done)]() mutable {
      proposer_->Submit(std::move(command), now + kProposalTimeout, std::move(done));
    });
  }

  // --- Not the leader.

  // All of one kind; look-ups travel alone.
  void Forward(std::vector<LeaseCallPtr> calls, absl::Time now, Actions* actions)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    ++forwards_;
    auto group = std::make_shared<LeaseCallGroup>();
    group->epoch = epoch_;
    group->started = now;
    absl::Time deadline = now;
    std::vector<storage::LeaseId> ids;
    ids.reserve(calls.size());
    for (const LeaseCallPtr& call : calls) {
      call->stage = Stage::kForwarding;
      deadline = std::max(deadline, call->deadline);
      ids.push_back(call->id);
    }
    deadline = std::min(deadline, now + kForwardTimeout);
    const Kind kind = calls.front()->kind;
    group->calls = std::move(calls);
    actions->push_back([this, leader = leader_, kind, ids = std::move(ids), deadline, group]() mutable {
      if (kind == Kind::kTimeToLive) {
        forwarder_->TimeToLive(leader, ids.front(), deadline, [this, group](absl::StatusOr<LeaseTimeToLive> answer) {
          if (answer.ok()) {
            OnForwarded(group, std::vector<LeaseTimeToLive>{*answer});
          } else {
            OnForwarded(group, answer.status());
          }
        });
      } else {
        forwarder_->Renew(leader, std::move(ids), deadline, [this, group](absl::StatusOr<std::vector<int64_t>> ttls) {
          if (!ttls.ok()) {
            OnForwarded(group, ttls.status());
            return;
          }
          std::vector<LeaseTimeToLive> answers;
          answers.reserve(ttls->size());
          for (int64_t ttl : *ttls) answers.push_back({.ttl = ttl});
          OnForwarded(group, std::move(answers));
        });
      }
    });
  }

  void OnForwarded(const LeaseCallGroupPtr& group, absl::StatusOr<std::vector<LeaseTimeToLive>> answers) {
    Actions actions;
    {
      absl::MutexLock lock(&mutex_);
      --forwards_;
      Wake();
      if (group->epoch == seen_epoch_) {
        const bool usable = answers.ok() && answers->size() == group->calls.size();
        const absl::Time next = clock_->Now() + kRetryPause;
        for (size_t i = 0; i < group->calls.size(); ++i) {
          const LeaseCallPtr& call = group->calls[i];
          if (call->stage != Stage::kForwarding) continue;
          if (usable) {
            Finish(call, (*answers)[i], &actions);
          } else {
            Requeue(call, next);
          }
        }
      }
    }
    for (Action& action : actions) action();
  }

  const Options options_;
  const raft::MemberId self_;
  const Clock* const clock_;
  storage::StateStore* const store_;
  raft::Node* node_ = nullptr;
  Proposer* proposer_ = nullptr;
  LeaseForwarder* forwarder_ = nullptr;

  // A leaf: nothing of other rooms but the clock and the store's look-up of one lease is called under it.
  mutable absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool work_ ABSL_GUARDED_BY(mutex_) = false;  // The worker has something to look at.

  // Who leads. The epoch counts the changes; what was begun in another one is void.
  raft::Role role_ ABSL_GUARDED_BY(mutex_) = raft::Role::kFollower;
  raft::Term term_ ABSL_GUARDED_BY(mutex_);
  raft::MemberId leader_ ABSL_GUARDED_BY(mutex_) = raft::kNobody;
  uint64_t epoch_ ABSL_GUARDED_BY(mutex_) = 1;
  uint64_t seen_epoch_ ABSL_GUARDED_BY(mutex_) = 1;  // By the worker.

  // Calls: all, those to be sent on their way, and those that wait for the end of their lease.
  absl::btree_set<LeaseCallPtr, BySerial> open_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_serial_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time earliest_deadline_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();  // No open call's is earlier.
  std::deque<LeaseCallPtr> queued_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<storage::LeaseId, std::vector<LeaseCallPtr>> ending_ ABSL_GUARDED_BY(mutex_);
  LeaseCallGroupPtr confirming_ ABSL_GUARDED_BY(mutex_);  // A quorum is being asked.
  LeaseCallGroupPtr confirmed_ ABSL_GUARDED_BY(mutex_);   // It has said yes; to be served.
  size_t forwards_ ABSL_GUARDED_BY(mutex_) = 0;           // In flight.

  // Leader only: valid in `promoted_epoch_`.
  LeaseTable table_ ABSL_GUARDED_BY(mutex_);
  uint64_t promoted_epoch_ ABSL_GUARDED_BY(mutex_) = 0;
  // Set while the worker builds the table: what has been applied since it began.
  std::optional<std::vector<LeaseChange>> promotion_changes_ ABSL_GUARDED_BY(mutex_);
  bool expiring_ ABSL_GUARDED_BY(mutex_) = false;        // An expiry is on its way.
  bool expire_at_once_ ABSL_GUARDED_BY(mutex_) = false;  // Do not wait for the next check.
  absl::Time expiries_not_before_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Time next_check_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();

  std::atomic<uint64_t> renewals_{0};

  std::thread worker_;
};

}  // namespace

std::unique_ptr<LeaseKeeper> LeaseKeeper::Create(const Options& options, raft::MemberId self, const Clock* clock,
                                                 storage::StateStore* store) {
  return std::make_unique<LeaseKeeperImpl>(options, self, clock, store);
}

}  // namespace keel::server
