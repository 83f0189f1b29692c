#include "raft/core.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "raft/core_impl.h"
#include "raft/mutant.h"

namespace keel::raft {
namespace {

uint64_t StreamSeed(const CoreOptions& options) { return options.seed ^ (options.id.value() * 0x9e3779b97f4a7c15); }

// For how many election timeouts after the start elections are hurried while no leader is heard of, and by how much.
constexpr uint64_t kHurryTimeouts = 4;
constexpr uint64_t kHurryFactor = 3;

// What a member goes on saying once it knows (Core::Step).
constexpr char kDataLossText[] =
    "this member's log is older than what it acknowledged (its data directory was restored or replaced); remove the "
    "member and add it again with an empty directory";

}  // namespace

// --- The shell around Impl.

Core::Core(const CoreOptions& options, InitialState initial)
    : impl_(std::make_unique<Impl>(options, std::move(initial))) {}
Core::~Core() = default;

void Core::Tick() { impl_->Tick(); }
absl::Status Core::Step(Message message) { return impl_->Step(std::move(message)); }
absl::Status Core::Propose(std::vector<Payload> payloads) { return impl_->Propose(std::move(payloads)); }
absl::Status Core::ProposeMembership(const MembershipChange& change, const Payload& context) {
  return impl_->ProposeMembership(change, context);
}
absl::Status Core::TransferLeadership(MemberId target) { return impl_->TransferLeadership(target); }
void Core::ReadIndex(ReadId id) { impl_->ReadIndex(id); }
void Core::Campaign() { impl_->Campaign(); }
void Core::OnAppended(const AppendTicket& ticket) { impl_->OnAppended(ticket); }
void Core::OnApplied(Index index) { impl_->OnApplied(index); }
void Core::OnFetched(MemberId follower, std::vector<Entry> entries) { impl_->OnFetched(follower, std::move(entries)); }
void Core::OnSnapshotSent(MemberId follower, const absl::Status& status, EntryId last) {
  impl_->OnSnapshotSent(follower, status, last);
}
void Core::OnUnreachable(MemberId peer) { impl_->OnUnreachable(peer); }
void Core::OnPeerDied(MemberId peer) { impl_->OnPeerDied(peer); }
bool Core::OfferSnapshot(MemberId from, Term term, const SnapshotMeta& meta) {
  return impl_->OfferSnapshot(from, term, meta);
}
void Core::OnSnapshotInstalled(const SnapshotMeta& meta) { impl_->OnSnapshotInstalled(meta); }
void Core::OnLogTruncated(Index through) { impl_->OnLogTruncated(through); }
bool Core::HasReady() const { return impl_->HasReady(); }
Ready Core::TakeReady() { return impl_->TakeReady(); }
CoreStatus Core::status() const { return impl_->status(); }
std::vector<FollowerStatus> Core::followers() const { return impl_->followers(); }
Index Core::ReplicatedEverywhere() const { return impl_->ReplicatedEverywhere(); }

// --- What every role shares.

Core::Impl::Impl(const CoreOptions& options, InitialState initial)
    : options_(options),
      random_(StreamSeed(options)),
      memberships_(initial.applied, initial.membership, initial.memberships),
      log_(initial, options.cached_log_bytes_max),
      term_(initial.hard_state.term),
      vote_(initial.hard_state.vote),
      written_(initial.hard_state),
      durable_term_(initial.hard_state.term),
      forwarded_(KEEL_MUTANT(kReadNumbersRepeat) ? 1 : random_.Next()) {
  KEEL_CHECK_OK(options_.Validate());
  KEEL_CHECK_GE(term_, log_.last().term) << "the hard state is older than the log";
  KEEL_CHECK_LE(memberships_.index(), log_.last().index) << "a membership that the log does not hold";
  hurry_until_ = kHurryTimeouts * election_ticks();
  ResetElectionTimerInHurry();
}

Role Core::Impl::role() const {
  if (std::holds_alternative<LeaderRole>(role_)) return Role::kLeader;
  if (const CandidateRole* election = std::get_if<CandidateRole>(&role_)) {
    return election->kind() == Election::Kind::kPreVote ? Role::kPreCandidate : Role::kCandidate;
  }
  return Role::kFollower;
}

MemberId Core::Impl::leader() const {
  if (leader_role() != nullptr) return options_.id;
  const FollowerRole* follower = std::get_if<FollowerRole>(&role_);
  return follower == nullptr ? kNobody : follower->leader;
}

void Core::Impl::Tick() {
  ++ticks_;
  if (ticks_ >= election_ticks()) {
    for (ReadId id : forwarded_.TakeOlder(ticks_ - election_ticks())) FailRead(id, "the leader did not answer");
  }
  if (held_.until <= ticks_) held_ = {};
  if (LeaderRole* leader = leader_role()) {
    TickLeader(*leader);
  } else if (ticks_ >= election_at_) {
    Campaign();
  }
}

void Core::Impl::Campaign() {
  if (leader_role() != nullptr) return;
  ResetElectionTimer();
  // A member that cannot write could win no election and lead nobody; it would only raise the term.
  if (!MayCampaign() || is_installing() || DiskIsStalled()) return;
  StartElection(KEEL_MUTANT(kNoPreVote) ? Election::Kind::kVote : Election::Kind::kPreVote, Reason::kTimeout);
}

bool Core::Impl::IsSticky() const {
  if (KEEL_MUTANT(kNoStickiness)) return false;
  if (leader_role() != nullptr) return true;  // CheckQuorum says so.
  const FollowerRole* follower = std::get_if<FollowerRole>(&role_);
  return follower != nullptr && follower->leader != kNobody && ticks_ - follower->heard_at < election_ticks();
}

absl::Status Core::Impl::Step(Message message) {
  KEEL_RETURN_IF_ERROR(Validate(message));
  if (!data_loss_ && ShowsDataLoss(message)) {
    // Whatever it says now may contradict what it said before it forgot: it says nothing more.
    BecomeFollower(term_, kNobody);
    messages_.clear();
    messages_after_append_.clear();
    data_loss_ = true;
  }
  if (data_loss_) return absl::DataLossError(kDataLossText);
  if (message.term < term_ &&
      !(KEEL_MUTANT(kOldTermVoteCounts) && std::holds_alternative<VoteResponse>(message.body))) {
    RefuseOldTerm(message);
    return absl::OkStatus();
  }
  if (message.term > term_) {
    const auto* request = std::get_if<VoteRequest>(&message.body);
    const auto* response = std::get_if<VoteResponse>(&message.body);
    const bool asks_pre_vote = request != nullptr && request->pre_vote;
    const bool grants_pre_vote = response != nullptr && response->pre_vote && response->granted;
    // The group has a leader; whoever asks only cannot hear it, and must not depose it (Thesis §4.2.3).
    if (request != nullptr && !request->transfer && IsSticky()) {
      ReassureCandidate(message.from);
      if (auto* const follower = std::get_if<FollowerRole>(&role_); follower != nullptr && asks_pre_vote) {
        follower->ignored_at = ticks_;
        follower->ignored_pre_vote = std::move(message);
      }
      return absl::OkStatus();
    }
    // A pre-vote changes nothing (Thesis §9.6); anything else of a later term ends this one (Raft §5.1).
    if (!asks_pre_vote && !grants_pre_vote) {
      BecomeFollower(message.term, IsFromLeader(message) ? message.from : kNobody);
    }
  }
  return Dispatch(std::move(message));
}

void Core::Impl::RefuseOldTerm(const Message& message) {
  // Without these answers a member that is behind in terms could never take part again: a leader of an old term that
  // is partitioned no more, or a candidate that everybody is ahead of. They are also what lets a member that got ahead
  // while cut off return under a leader whose followers ignore its votes.
  if (const auto* request = std::get_if<VoteRequest>(&message.body)) {
    Send(message.from, VoteResponse{.granted = false, .pre_vote = request->pre_vote});
  } else if (std::holds_alternative<AppendRequest>(message.body) || std::holds_alternative<Heartbeat>(message.body)) {
    // The term is the message. By now its receiver may lead that one, with another log: nothing is said of entries.
    Send(message.from, HeartbeatResponse{});
  }
}

absl::Status Core::Impl::Dispatch(Message message) {
  const MemberId from = message.from;
  if (const auto* request = std::get_if<VoteRequest>(&message.body)) {
    HandleVoteRequest(message, *request);
  } else if (const auto* vote = std::get_if<VoteResponse>(&message.body)) {
    HandleVoteResponse(message, *vote);
  } else if (auto* append = std::get_if<AppendRequest>(&message.body)) {
    HandleAppend(from, std::move(*append));
  } else if (const auto* heartbeat = std::get_if<Heartbeat>(&message.body)) {
    HandleHeartbeat(from, *heartbeat);
  } else if (const auto* read = std::get_if<ReadIndexResponse>(&message.body)) {
    HandleReadIndexResponse(from, *read);
  } else if (std::holds_alternative<TimeoutNow>(message.body)) {
    HandleTimeoutNow(from);
  } else if (LeaderRole* leader = leader_role()) {
    if (const auto* appended = std::get_if<AppendResponse>(&message.body)) {
      return HandleAppendResponse(*leader, from, *appended);
    }
    if (const auto* beat = std::get_if<HeartbeatResponse>(&message.body)) {
      HandleHeartbeatResponse(*leader, from, *beat);
    } else if (const auto* ask = std::get_if<ReadIndexRequest>(&message.body)) {
      // No answer when too many wait: the asker's patience is limited, and it asks again.
      leader->reads.Add({.from = from, .id = ask->id});
      leader->flush = true;
    } else if (auto* proposal = std::get_if<ForwardProposal>(&message.body)) {
      HandleForwardProposal(*leader, std::move(proposal->payloads));
    } else if (const auto* installed = std::get_if<SnapshotInstalled>(&message.body)) {
      return HandleSnapshotInstalled(*leader, from, *installed);
    }
  }
  // The rest is for a leader that this member is no more: late, not wrong.
  return absl::OkStatus();
}

absl::Status Core::Impl::Propose(std::vector<Payload> payloads) {
  if (data_loss_) return absl::UnavailableError(kDataLossText);
  if (LeaderRole* leader = leader_role()) return ProposeAsLeader(*leader, std::move(payloads));
  return ForwardToLeader(std::move(payloads));
}

void Core::Impl::ReadIndex(ReadId id) {
  if (LeaderRole* leading = leader_role()) {
    if (!leading->reads.Add({.from = kNobody, .id = id})) return FailRead(id, "too many reads are waiting");
    leading->flush = true;
  } else if (leader() == kNobody) {
    FailRead(id, "no leader");
  } else {
    Send(leader(), ReadIndexRequest{.id = forwarded_.Add(id, ticks_)});
  }
}

void Core::Impl::OnAppended(const AppendTicket& ticket) {
  KEEL_CHECK_LE(ticket.term, written_.term);
  disk_moved_at_ = ticks_;
  durable_term_ = std::max(durable_term_, ticket.term);
  log_.OnStable(ticket);
  if (LeaderRole* leader = leader_role()) MaybeCommit(*leader);
}

void Core::Impl::OnApplied(Index index) {
  log_.OnApplied(index);
  memberships_.OnApplied(log_.applied());
  if (LeaderRole* leader = leader_role()) MaybeLeaveJoint(*leader);
}

void Core::Impl::Send(MemberId to, MessageBody body, SendWhen when) {
  Message message{.from = options_.id, .to = to, .term = term_, .body = std::move(body)};
  if (when == SendWhen::kTermDurable && durable_term_ == term_) {
    messages_.push_back(std::move(message));
  } else if (!is_installing()) {
    messages_after_append_.push_back(std::move(message));
  }
  // Nothing is appended during an install. What would wait for that is dropped, as a network might.
}

void Core::Impl::SendPreVote(MemberId to, Term term, MessageBody body) {
  messages_.push_back({.from = options_.id, .to = to, .term = term, .body = std::move(body)});
}

void Core::Impl::ResetElectionTimer() { election_at_ = ticks_ + election_ticks() + random_.Below(election_ticks()); }

void Core::Impl::ResetElectionTimerInHurry() {
  if (ticks_ >= hurry_until_) return ResetElectionTimer();
  // Still random, so that not all ask in the same tick.
  election_at_ = ticks_ + 1 + random_.Below(std::max<uint64_t>(1, election_ticks() / kHurryFactor));
}

void Core::Impl::BecomeFollower(Term term, MemberId leader) {
  KEEL_CHECK_GE(term, term_);
  if (LeaderRole* role = leader_role()) FailLeaderReads(*role);
  // Whoever was asked answers in another term now, or is asked no more.
  if (term > term_ || leader != this->leader()) FailForwardedReads("the leader changed");
  if (term > term_) {
    term_ = term;
    vote_ = kNobody;  // Only then: one vote per term (Raft §5.2).
  }
  if (KEEL_MUTANT(kSameTermStepDownClearsVote)) vote_ = kNobody;
  role_ = FollowerRole{.leader = leader, .heard_at = ticks_, .ignored_pre_vote = std::nullopt};
  ResetElectionTimer();
}

void Core::Impl::AnswerRead(ReadId id, Index index) {
  reads_.push_back({.id = id, .status = absl::OkStatus(), .index = index});
}

void Core::Impl::FailRead(ReadId id, const char* why) {
  reads_.push_back({.id = id, .status = absl::UnavailableError(why), .index = Index(0)});
}

void Core::Impl::FailForwardedReads(const char* why) {
  for (ReadId id : forwarded_.TakeAll()) FailRead(id, why);
}

// --- Outputs.

bool Core::Impl::HasReady() const {
  if (!messages_.empty() || !reads_.empty() || !fetches_.empty() || !snapshots_.empty()) return true;
  if (is_installing()) return !install_->handed;
  if (!messages_after_append_.empty() || HardStateChanged()) return true;
  if (log_.has_unwritten() || log_.has_applicable()) return true;
  const LeaderRole* leader = leader_role();
  return leader != nullptr && leader->flush;
}

std::optional<AppendWork> Core::Impl::TakeAppend() {
  if (!HardStateChanged() && !log_.has_unwritten()) return std::nullopt;
  const bool was_busy = DiskIsBusy();
  AppendWork work;
  // A commit index is never worth a sync of its own; it travels with what is. Only what is durable already, so that
  // even a torn write of this batch leaves it within the log.
  const HardState now{.term = term_, .vote = vote_, .commit = std::min(log_.commit(), log_.stable())};
  if (now != written_) {
    work.hard_state = now;
    written_ = now;
  }
  work.entries = log_.TakeUnwritten();
  work.ticket = log_.Ticket(term_);
  if (!was_busy) disk_moved_at_ = ticks_;
  return work;
}

Ready Core::Impl::TakeReady() {
  Ready ready;
  if (LeaderRole* leader = leader_role(); leader != nullptr && leader->flush) {
    Flush(*leader);
    if (IsVotedOut(*leader)) ResignVotedOut(*leader);
  }
  ready.messages = std::exchange(messages_, {});
  if (!is_installing()) {
    ready.append = TakeAppend();
    ready.messages_after_append = std::exchange(messages_after_append_, {});
    ready.apply = log_.TakeApplicable();
  } else if (!install_->handed) {
    ready.install = install_->meta;
    install_->handed = true;
  }
  ready.fetches = std::exchange(fetches_, {});
  ready.snapshots = std::exchange(snapshots_, {});
  ready.reads = std::exchange(reads_, {});
  const LeaderRole* leader = leader_role();
  invariants_.Check(term_, vote_, log_, leader == nullptr ? nullptr : &leader->tracker);
  return ready;
}

// --- Facts.

CoreStatus Core::Impl::status() const {
  const LeaderRole* leading = leader_role();
  return {.id = options_.id,
          .role = role(),
          .term = term_,
          .leader = leader(),
          .commit = log_.commit(),
          .applied = log_.applied(),
          .last = log_.last(),
          .first = log_.first(),
          .membership = membership(),
          .membership_index = memberships_.index(),
          .transfer_target = leading != nullptr && leading->transfer ? leading->transfer->target : kNobody,
          .data_loss = data_loss_};
}

std::vector<FollowerStatus> Core::Impl::followers() const {
  std::vector<FollowerStatus> all;
  const LeaderRole* leader = leader_role();
  if (leader == nullptr) return all;
  for (const auto& [id, progress] : leader->tracker.followers()) {
    if (progress.leaves_at != 0) continue;
    all.push_back({.id = id,
                   .match = progress.match(),
                   .next = progress.next(),
                   .recently_active = ticks_ - progress.heard_at < election_ticks(),
                   .state = progress.state()});
  }
  return all;
}

Index Core::Impl::ReplicatedEverywhere() const {
  const LeaderRole* leader = leader_role();
  if (leader == nullptr) return log_.applied();
  Index least = log_.last().index;
  for (const auto& [id, progress] : leader->tracker.followers()) {
    if (progress.leaves_at != 0) continue;
    if (ticks_ - progress.heard_at < election_ticks()) least = std::min(least, progress.match());
  }
  return least;
}

}  // namespace keel::raft
