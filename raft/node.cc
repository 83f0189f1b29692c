#include "raft/node.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"
#include "base/random.h"
#include "base/thread_name.h"
#include "raft/applied_waiters.h"
#include "raft/apply_loop.h"
#include "raft/failure.h"
#include "raft/log_reader.h"
#include "raft/log_writer.h"
#include "raft/mailbox.h"
#include "raft/pace.h"
#include "raft/read_batcher.h"
#include "raft/truncation_policy.h"

namespace keel::raft {
namespace {

// Proposals given to the core in one call; what has gathered beyond it follows at once.
constexpr size_t kProposeBytesMax = 4u << 20;

// Membership changes and transfers that may wait.
constexpr size_t kRequestsMax = 1024;

// Between two looks at how far the log may be truncated, when applying is quick.
constexpr uint64_t kTruncationCheckEntries = 1000;

std::string Hex(MemberId id) { return absl::StrFormat("%x", id.value()); }

absl::Status Stopping() { return absl::UnavailableError("the member is stopping"); }

// A turn that finds more than this says that much is going on; so many turns in a row that find no more, that it is
// over. Slow to call it quiet: under load every turn of the raft thread that gathers more is worth two small ones.
constexpr size_t kQuietItemsMax = 2;
constexpr int kQuietTurns = 32;

// Says, for as long as it lives, that the calling thread is in a turn of `node`. A thread may be in turns of several:
// where a transport calls straight into another node of the same process.
class TurnMark {
 public:
  explicit TurnMark(const void* node) : node_(node), outer_(std::exchange(innermost_, this)) {}
  ~TurnMark() { innermost_ = outer_; }
  TurnMark(const TurnMark&) = delete;
  TurnMark& operator=(const TurnMark&) = delete;

  static bool Has(const void* node) {
    for (const TurnMark* mark = innermost_; mark != nullptr; mark = mark->outer_) {
      if (mark->node_ == node) return true;
    }
    return false;
  }

 private:
  static thread_local const TurnMark* innermost_;
  const void* const node_;
  const TurnMark* const outer_;
};
thread_local const TurnMark* TurnMark::innermost_ = nullptr;

class NodeImpl final : public Node {
 public:
  NodeImpl(const NodeOptions& options, InitialState initial, StableStore* store, Transport* transport,
           StateMachine* state_machine, const Clock* clock, std::function<void(absl::Status)> on_fatal)
      : options_(options),
        store_(*store),
        transport_(*transport),
        state_machine_(*state_machine),
        clock_(*clock),
        failure_(std::move(on_fatal)),
        mailbox_({.items_max = options.mailbox_max, .bytes_max = options.mailbox_bytes_max}, [this] { OnArrival(); }),
        waiters_(initial.applied),
        log_writer_(store, transport, &mailbox_, &failure_, &pace_),
        apply_loop_(
            {.batch_bytes_max = options.apply_batch_bytes_max, .batch_entries_max = options.apply_batch_entries_max},
            initial.applied, state_machine, store, &log_writer_, &mailbox_, &waiters_, &failure_, &pace_),
        log_reader_(store, &mailbox_, &failure_),
        core_(options.core, initial),
        truncation_(options.log_entries_kept, options.log_bytes_kept_max),
        // Far from where an earlier run of this member has been: its answers may still be on their way.
        reads_(ReadId(Random::EntropySeed() >> 1), &waiters_) {
    Publish(core_.status(), /*ticked=*/true);
    raft_thread_ = std::thread([this] { Run(); });
  }

  ~NodeImpl() override { Stop(); }

  absl::Status Propose(Payload payload, absl::Time deadline) override {
    if (failure_.failed()) return Stopping();
    // Two reads that do not belong together may come out negative; then nothing lags.
    const uint64_t applied = apply_loop_.applied().value();
    const uint64_t commit = commit_.load(std::memory_order_relaxed);
    if (commit > applied && commit - applied > options_.apply_lag_max) {
      return absl::ResourceExhaustedError("too many committed entries wait to be applied");
    }
    if (pending_proposals_.load(std::memory_order_relaxed) >= options_.mailbox_max) {
      return absl::ResourceExhaustedError("too many proposals wait for a leader");
    }
    switch (mailbox_.PushProposal({.payload = std::move(payload), .deadline = deadline})) {
      case Mailbox::PushResult::kOk:
        return absl::OkStatus();
      case Mailbox::PushResult::kFull:
        return absl::ResourceExhaustedError("too many proposals are waiting");
      case Mailbox::PushResult::kClosed:
        break;
    }
    return Stopping();
  }

  void ReadIndex(absl::Time deadline, ReadDone done) override {
    PendingRead read{.deadline = deadline, .done = std::move(done)};
    switch (mailbox_.PushRead(std::move(read))) {
      case Mailbox::PushResult::kOk:
        return;
      case Mailbox::PushResult::kFull:
        return read.done(absl::ResourceExhaustedError("too many reads are waiting"), Index(0));
      case Mailbox::PushResult::kClosed:
        return read.done(Stopping(), Index(0));
    }
  }

  void WaitApplied(Index index, absl::Time deadline, ReadDone done) override {
    std::vector<PendingRead> read;
    read.push_back({.deadline = deadline, .done = std::move(done)});
    waiters_.Add(index, std::move(read));
  }

  void ProposeMembership(MembershipChange change, Payload context, absl::Time deadline, ChangeDone done) override {
    PushRequest(MembershipRequest{std::move(change), std::move(context), deadline, std::move(done)});
  }

  void TransferLeadership(MemberId target, absl::Time deadline, ChangeDone done) override {
    PushRequest(TransferRequest{target, deadline, std::move(done)});
  }

  void Deliver(std::vector<Message> messages) override {
    // Full: dropped, as a network might.
    mailbox_.PushMessages(std::move(messages));
  }
  void ReportUnreachable(MemberId peer) override { mailbox_.PushEvent(Unreachable{peer}); }
  void ReportReachable(MemberId peer) override { mailbox_.PushEvent(Reachable{peer}); }
  void ReportPeerDied(MemberId peer) override { mailbox_.PushEvent(PeerDied{peer}); }
  void ReportSnapshotSent(MemberId follower, const absl::Status& status, EntryId last) override {
    mailbox_.PushEvent(SnapshotSent{follower, status, last});
  }
  void OfferSnapshot(MemberId from, Term term, const SnapshotMeta& meta, std::function<void(bool)> decided) override {
    Event offer = SnapshotOffer{from, term, meta, std::move(decided)};
    if (!mailbox_.PushEvent(std::move(offer))) std::get<SnapshotOffer>(offer).decided(false);
  }

  NodeStatus status() const override {
    // In this order the one is never beyond the other.
    const Index applied = this->applied();
    const Index commit = this->commit();
    std::lock_guard<std::mutex> lock(status_mu_);
    NodeStatus status = status_;
    // A turn may be under way that has not published all it did; what came of it must not be ahead of what we say.
    status.core.applied = std::max(status.core.applied, applied);
    status.core.commit = std::max(status.core.commit, commit);
    return status;
  }
  Term term() const override { return Term(term_.load(std::memory_order_acquire)); }
  MemberId leader() const override { return MemberId(leader_.load(std::memory_order_acquire)); }
  Index applied() const override { return apply_loop_.applied(); }
  Index commit() const override { return Index(commit_.load(std::memory_order_acquire)); }

  void Stop() override {
    std::lock_guard<std::mutex> lock(stop_mu_);
    mailbox_.Close();
    if (raft_thread_.joinable()) raft_thread_.join();
    apply_loop_.Stop();
    log_writer_.Stop();
    log_reader_.Stop();
    waiters_.Close(Stopping());
  }

 private:
  void Run() {
    NameThread("raft");
    absl::Time now = clock_.Now();
    absl::Time next_tick = now + options_.tick;
    {
      std::lock_guard<std::mutex> turn(turn_mu_);
      const TurnMark mark(this);
      // Alone, there is nobody to wait for.
      const Membership members = core_.status().membership;
      if (members.voters == std::vector<MemberId>{options_.core.id} && !members.is_joint()) core_.Campaign();
      Turn(now, /*ticked=*/false);
      started_ = true;
    }
    while (mailbox_.Wait(absl::ToChronoNanoseconds(next_tick - now))) {
      pace_.Follow();
      std::lock_guard<std::mutex> turn(turn_mu_);
      const TurnMark mark(this);
      now = clock_.Now();
      const bool ticks = now >= next_tick;
      if (ticks) next_tick = NextTick(next_tick, now);
      TakeTurn(now, ticks);
    }
    std::lock_guard<std::mutex> turn(turn_mu_);
    ended_ = true;
    mailbox_.Take(&inbox_);
    reads_.Add(&inbox_.reads);
    reads_.FailAll(Stopping());
    RefuseRequests(&inbox_);
  }

  // Something is in the mailbox; the calling thread has put it there.
  void OnArrival() {
    pace_.Follow();
    if (pace_.busy() || failure_.failed()) return mailbox_.Wake();
    // Deeper in a turn, or another thread has it: whoever has it looks again after it.
    if (TurnMark::Has(this)) return;
    {
      std::unique_lock<std::mutex> turn(turn_mu_, std::try_to_lock);
      if (!turn.owns_lock()) return;
      if (!started_ || ended_) return;
      const TurnMark mark(this);
      TakeTurn(clock_.Now(), /*ticks=*/false);
    }
    if (mailbox_.pending()) mailbox_.Wake();
  }

  // Everything from the mailbox to where it leads. REQUIRES: turn_mu_.
  void TakeTurn(absl::Time now, bool ticks) {
    mailbox_.Take(&inbox_);
    const size_t items = inbox_.messages.size() + inbox_.proposals.size() + inbox_.reads.size();
    quiet_turns_ = items > kQuietItemsMax ? 0 : std::min(quiet_turns_ + 1, kQuietTurns);
    pace_.Set(quiet_turns_ < kQuietTurns);
    if (!failure_.failed()) {
      HandleInbox(&inbox_, now);
      if (ticks) {
        core_.Tick();
        reads_.OnTick(now);
        waiters_.Expire(now);
        ExpireProposals(now);
        ExpireTransfers(now);
        MaybeTruncate();
      }
      Turn(now, ticks);
    } else {
      // Nobody is told anything but that time is over; the owner is about to stop us.
      RefuseRequests(&inbox_);
      reads_.Add(&inbox_.reads);
      if (ticks) {
        reads_.OnTick(now);
        waiters_.Expire(now);
      }
    }
    inbox_.Clear();
  }

  // After a pause of the process what its peers say is news; how many ticks it missed is not.
  absl::Time NextTick(absl::Time last, absl::Time now) const {
    const absl::Time next = last + options_.tick;
    return next > now ? next : now + options_.tick;
  }

  void HandleInbox(Inbox* inbox, absl::Time now) {
    outstanding_appends_ -= inbox->appends_done;
    if (inbox->appended) core_.OnAppended(*inbox->appended);
    for (Event& event : inbox->events) std::visit([this](auto& e) { Handle(e); }, event);
    if (inbox->applied > Index(0)) {
      core_.OnApplied(inbox->applied);
      if (inbox->applied - truncation_checked_ >= kTruncationCheckEntries) MaybeTruncate();
    }
    for (Message& message : inbox->messages) {
      // A refused message changes nothing; who sent it is wrong or out of date.
      if (const absl::Status status = core_.Step(std::move(message)); !status.ok()) {
        refused_messages_.fetch_add(1, std::memory_order_relaxed);
        KEEL_LOG_DEBUG("refused a message", {{"member", Hex(options_.core.id)}, {"error", status}});
        if (absl::IsDataLoss(status)) failure_.Report(status);
      }
    }
    for (PendingProposal& proposal : inbox->proposals) {
      if (proposal.deadline > now) proposals_.push_back(std::move(proposal));
    }
    pending_proposals_.store(proposals_.size(), std::memory_order_relaxed);
    reads_.Add(&inbox->reads);
  }

  void Handle(Fetched& fetched) { core_.OnFetched(fetched.follower, std::move(fetched.entries)); }
  void Handle(Unreachable& unreachable) { core_.OnUnreachable(unreachable.peer); }
  void Handle(const Reachable&) {}  // The turn that takes it sends what has waited.
  void Handle(PeerDied& died) { core_.OnPeerDied(died.peer); }
  void Handle(MembershipRequest& request) {
    if (request.deadline <= clock_.Now()) return Finish(request.done, Late("a membership change"));
    Finish(request.done, core_.ProposeMembership(request.change, request.context));
  }
  void Handle(TransferRequest& request) {
    if (request.deadline <= clock_.Now()) return Finish(request.done, Late("a leadership transfer"));
    if (const absl::Status status = core_.TransferLeadership(request.target); !status.ok()) {
      return Finish(request.done, status);
    }
    transfers_.push_back(std::move(request));
  }
  void Handle(SnapshotSent& sent) {
    truncation_.OnSnapshotSent(sent.follower, sent.status, sent.last);
    core_.OnSnapshotSent(sent.follower, sent.status, sent.last);
  }
  void Handle(SnapshotOffer& offer) { offer.decided(core_.OfferSnapshot(offer.from, offer.term, offer.meta)); }
  void Handle(Installed& installed) {
    core_.OnSnapshotInstalled(installed.meta);
    KEEL_LOG_INFO(
        "installed a snapshot",
        {{"member", Hex(options_.core.id)}, {"index", installed.meta.last.index}, {"term", installed.meta.last.term}});
  }
  void Handle(LogTruncated& truncated) {
    core_.OnLogTruncated(truncated.through);
    truncating_ = false;
  }

  // Gives the core what waits and carries out what it wants, until it wants nothing.
  void Turn(absl::Time now, bool ticked) {
    while (true) {
      CoreStatus status = core_.status();
      NoteLeadership(status);
      FinishTransfers(status);
      if ((!proposals_.empty() || reads_.is_waiting()) && ReachesLeader(status)) {
        ProposePending();
        while (const std::optional<ReadId> id = reads_.StartAttempt(now)) core_.ReadIndex(*id);
      }
      if (!core_.HasReady()) return Publish(std::move(status), ticked);
      while (core_.HasReady()) Execute(core_.TakeReady());
    }
  }

  // A new leader is often heard before it can be dialled: what is forwarded to it then would be lost, and its caller
  // would learn of it by its deadline only.
  bool ReachesLeader(const CoreStatus& status) const {
    return status.leader == options_.core.id || (status.leader != kNobody && transport_.Reaches(status.leader));
  }

  // In the order of ready.h.
  void Execute(Ready ready) {
    if (ready.append) {
      for (const Entry& entry : ready.append->entries) {
        if (entry.type == EntryType::kMembership) state_machine_.OnMembershipAppended(entry);
      }
    }
    if (!ready.messages.empty()) transport_.Send(std::move(ready.messages));
    if (ready.append) {
      ++outstanding_appends_;
      log_writer_.Write({.ticket = ready.append->ticket,
                         .batch = {.hard_state = ready.append->hard_state, .entries = std::move(ready.append->entries)},
                         .after = std::move(ready.messages_after_append)});
    } else if (!ready.messages_after_append.empty()) {
      if (outstanding_appends_ == 0) {
        transport_.Send(std::move(ready.messages_after_append));
      } else {
        ++outstanding_appends_;
        log_writer_.Write({.ticket = std::nullopt, .batch = {}, .after = std::move(ready.messages_after_append)});
      }
    }
    // Nobody may see the effect of an entry and be told that it is not committed.
    if (ready.apply) {
      RaiseCommit(ready.apply->last);
      apply_loop_.Apply(*std::move(ready.apply));
    }
    if (ready.install) {
      RaiseCommit(ready.install->last.index);
      apply_loop_.Install(*std::move(ready.install));
    }
    for (FetchWork& fetch : ready.fetches) log_reader_.Fetch(std::move(fetch));
    for (const SnapshotWork& snapshot : ready.snapshots) {
      truncation_.OnSnapshotStarted(snapshot.follower, core_.status().applied);
      transport_.SendSnapshot(snapshot.follower, snapshot.term);
    }
    for (const ReadResult& result : ready.reads) reads_.OnResult(result);
  }

  // REQUIRES: turn_mu_, as for all that writes it.
  void RaiseCommit(Index index) {
    if (index > commit()) commit_.store(index.value(), std::memory_order_release);
  }

  void ProposePending() {
    while (!proposals_.empty()) {
      std::vector<Payload> payloads;
      size_t bytes = 0;
      for (const PendingProposal& proposal : proposals_) {
        if (!payloads.empty() && bytes + proposal.payload.size() > kProposeBytesMax) break;
        bytes += proposal.payload.size();
        payloads.push_back(proposal.payload);
      }
      const size_t count = payloads.size();
      // No leader after all, or no room: they stay, until a later turn or their deadline.
      if (!core_.Propose(std::move(payloads)).ok()) break;
      proposals_.erase(proposals_.begin(), proposals_.begin() + static_cast<std::ptrdiff_t>(count));
    }
    pending_proposals_.store(proposals_.size(), std::memory_order_relaxed);
  }

  // A bounded way in for requests of which there are few at a time.
  template <typename Request>
  void PushRequest(Request request) {
    if (pending_requests_.fetch_add(1, std::memory_order_relaxed) >= kRequestsMax) {
      return Finish(request.done, absl::ResourceExhaustedError("too many membership changes are waiting"));
    }
    Event event = std::move(request);
    if (!mailbox_.PushEvent(std::move(event))) Finish(std::get<Request>(event).done, Stopping());
  }

  void Finish(ChangeDone& done, absl::Status status) {
    pending_requests_.fetch_sub(1, std::memory_order_relaxed);
    done(std::move(status));
  }

  static absl::Status Late(const char* what) {
    return absl::DeadlineExceededError(absl::StrCat(what, " was not looked at in time"));
  }

  void RefuseRequests(Inbox* inbox) {
    for (Event& event : inbox->events) {
      if (auto* const offer = std::get_if<SnapshotOffer>(&event)) offer->decided(false);
      if (auto* const request = std::get_if<MembershipRequest>(&event)) Finish(request->done, Stopping());
      if (auto* const request = std::get_if<TransferRequest>(&event)) Finish(request->done, Stopping());
    }
    for (TransferRequest& transfer : transfers_) Finish(transfer.done, Stopping());
    transfers_.clear();
  }

  // Ends those whose outcome is known.
  void FinishTransfers(const CoreStatus& status) {
    std::erase_if(transfers_, [&](TransferRequest& transfer) {
      if (status.leader == transfer.target) {
        Finish(transfer.done, absl::OkStatus());
        return true;
      }
      // Until the next leader is known, it may be the target.
      if (status.transfer_target == transfer.target || status.leader == kNobody) return false;
      Finish(transfer.done, absl::UnavailableError("leadership was not handed over"));
      return true;
    });
  }

  void ExpireTransfers(absl::Time now) {
    std::erase_if(transfers_, [&](TransferRequest& transfer) {
      if (transfer.deadline > now) return false;
      Finish(transfer.done, absl::DeadlineExceededError("the transfer target was not heard of as leader in time"));
      return true;
    });
  }

  void ExpireProposals(absl::Time now) {
    std::erase_if(proposals_, [now](const PendingProposal& proposal) { return proposal.deadline <= now; });
    pending_proposals_.store(proposals_.size(), std::memory_order_relaxed);
  }

  // Tells who wants to know when role, term or leader are not what they were.
  void NoteLeadership(const CoreStatus& status) {
    if (status.role == role_ && status.term == seen_term_ && status.leader == seen_leader_) return;
    const bool led = role_ == Role::kLeader;
    const bool leads = status.role == Role::kLeader;
    const MemberId before = std::exchange(seen_leader_, status.leader);
    const bool leader_changed = before != status.leader || status.term != seen_term_;
    role_ = status.role;
    seen_term_ = status.term;
    if (leads && !led) {
      KEEL_LOG_INFO("became leader at term", {{"member", Hex(status.id)}, {"term", status.term}});
    }
    if (leader_changed && status.leader != kNobody) {
      KEEL_LOG_INFO("elected leader",
                    {{"member", Hex(status.id)}, {"leader", Hex(status.leader)}, {"term", status.term}});
    } else if (before != kNobody && status.leader == kNobody) {
      KEEL_LOG_INFO("lost leader", {{"member", Hex(status.id)}, {"leader", Hex(before)}, {"term", status.term}});
    }
    // Readers of the atomics must not be behind what the state machine is told.
    term_.store(status.term.value(), std::memory_order_release);
    leader_.store(status.leader.value(), std::memory_order_release);
    state_machine_.OnLeadership(status.role, status.term, status.leader);
    if (leader_changed && status.leader != kNobody) reads_.OnLeaderChange();
  }

  void MaybeTruncate() {
    const CoreStatus status = core_.status();
    truncation_checked_ = status.applied;
    if (truncating_) return;
    const std::optional<Index> through =
        truncation_.Choose(status, core_.followers(), core_.ReplicatedEverywhere(), state_machine_.DurableApplied(),
                           [this](Index index) { return store_.BytesAfter(index); });
    if (!through) return;
    truncating_ = true;
    log_writer_.Truncate(*through);
  }

  void Publish(CoreStatus core, bool ticked) {
    term_.store(core.term.value(), std::memory_order_release);
    leader_.store(core.leader.value(), std::memory_order_release);
    commit_.store(core.commit.value(), std::memory_order_release);
    // Followers are for a person's eyes: as of the last tick is new enough.
    const bool refresh = ticked || core.role != Role::kLeader;
    std::vector<FollowerStatus> followers;
    if (refresh) followers = core_.followers();
    std::lock_guard<std::mutex> lock(status_mu_);
    status_.core = std::move(core);
    if (refresh) status_.followers = std::move(followers);
    status_.pending_proposals = proposals_.size();
    status_.refused_messages = refused_messages_.load(std::memory_order_relaxed);
  }

  const NodeOptions options_;
  const StableStore& store_;
  Transport& transport_;
  StateMachine& state_machine_;
  const Clock& clock_;

  // Thread-safe.
  Failure failure_;
  Pace pace_;  // Set by turns.
  Mailbox mailbox_;
  AppliedWaiters waiters_;
  LogWriter log_writer_;
  ApplyLoop apply_loop_;
  LogReader log_reader_;
  std::atomic<uint64_t> term_ = 0;
  std::atomic<uint64_t> leader_ = 0;
  std::atomic<uint64_t> commit_ = 0;
  std::atomic<size_t> pending_proposals_ = 0;
  std::atomic<size_t> pending_requests_ = 0;  // Membership changes and transfers without an answer.
  std::atomic<uint64_t> refused_messages_ = 0;
  mutable std::mutex status_mu_;
  NodeStatus status_;  // Guarded by status_mu_.

  // The turn's: guarded by turn_mu_.
  std::mutex turn_mu_;
  int quiet_turns_ = kQuietTurns;
  bool started_ = false;
  bool ended_ = false;
  Inbox inbox_;  // Empty between turns; kept for its memory.
  Core core_;
  TruncationPolicy truncation_;
  ReadBatcher reads_;
  std::deque<PendingProposal> proposals_;   // Waiting for a leader or for room; bounded by pending_proposals_.
  std::vector<TransferRequest> transfers_;  // Under way; bounded by pending_requests_.
  size_t outstanding_appends_ = 0;          // Jobs given to the log writer that are not behind it yet.
  bool truncating_ = false;
  Index truncation_checked_;
  Role role_ = Role::kFollower;
  Term seen_term_;
  MemberId seen_leader_ = kNobody;

  std::mutex stop_mu_;
  std::thread raft_thread_;
};

}  // namespace

Node::~Node() = default;

absl::StatusOr<std::unique_ptr<Node>> Node::Start(const NodeOptions& options, InitialState initial, StableStore* store,
                                                  Transport* transport, StateMachine* state_machine, const Clock* clock,
                                                  std::function<void(absl::Status)> on_fatal) {
  if (const absl::Status status = options.core.Validate(); !status.ok()) return status;
  if (options.tick <= absl::ZeroDuration()) return absl::InvalidArgumentError("tick: must be positive");
  if (options.mailbox_max == 0 || options.mailbox_bytes_max == 0) {
    return absl::InvalidArgumentError("mailbox_max, mailbox_bytes_max: must be positive");
  }
  if (options.apply_batch_entries_max == 0) {
    return absl::InvalidArgumentError("apply_batch_entries_max: must be positive");
  }
  return std::make_unique<NodeImpl>(options, std::move(initial), store, transport, state_machine, clock,
                                    std::move(on_fatal));
}

}  // namespace keel::raft
