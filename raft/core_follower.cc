// What a member does for those who lead or want to: votes, appends, heartbeats, snapshots (Raft §5.2, §5.3, §7).

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/core_impl.h"
#include "raft/mutant.h"

namespace keel::raft {

void Core::Impl::HeardFromLeader(MemberId leader) {
  KEEL_CHECK(leader_role() == nullptr);
  // A candidate recognises the winner of its term (Raft §5.2).
  if (this->leader() != leader) {
    BecomeFollower(term_, leader);
    ReleaseHeld();
  }
  std::get<FollowerRole>(role_).heard_at = ticks_;
  hurry_until_ = 0;
  ResetElectionTimer();
}

// Any role; the request's term is at least ours, equal to it for a real vote.
void Core::Impl::HandleVoteRequest(const Message& message, const VoteRequest& request) {
  // What this log will be is not decided yet, and a promise could not be written down.
  if (is_installing()) return;
  const bool is_up_to_date = log_.IsUpToDate(request.last);
  if (request.pre_vote) {
    // "Would you vote for me?" changes nothing here, not even the timer (Thesis §9.6). In our own term the answer is
    // no, and teaches the candidate that it is behind.
    const bool granted = message.term > term_ && is_up_to_date;
    if (KEEL_MUTANT(kPreVoteChangesState) && granted) BecomeFollower(message.term, kNobody);
    SendPreVote(message.from, granted ? message.term : term_, VoteResponse{.granted = granted, .pre_vote = true});
    // It lacks entries that this member has, so it will hardly win; all are in a hurry, so this one need not wait.
    if (!is_up_to_date && ticks_ < hurry_until_ && role() == Role::kFollower && leader() == kNobody) Campaign();
    return;
  }
  // First come, first served, once per term (Raft §5.2).
  const bool is_free = vote_ == message.from || (vote_ == kNobody && leader() == kNobody);
  if (!is_free || !is_up_to_date) {
    Send(message.from, VoteResponse{.granted = false});
    return;
  }
  if (vote_ == kNobody) {
    // A pre-candidate of this term gives up its own plans.
    BecomeFollower(term_, kNobody);
    vote_ = message.from;
  }
  ResetElectionTimer();
  if (KEEL_MUTANT(kVoteBeforeSync)) return SendPreVote(message.from, term_, VoteResponse{.granted = true});
  Send(message.from, VoteResponse{.granted = true}, SendWhen::kAppendDurable);
}

void Core::Impl::HandleAppend(MemberId from, AppendRequest request) {
  HeardFromLeader(from);
  if (is_installing()) return;
  const Index commit = log_.commit();
  if (request.prev.index > commit && !log_.Has(request.prev)) {
    const Index agree_at = std::max(commit, log_.FloorByTerm(request.prev.index, request.prev.term));
    Send(from, AppendResponse{.rejected = true,
                              .index = request.prev.index,
                              .hint = {*log_.TermAt(agree_at), agree_at},
                              .read_round = request.read_round});
    return;
  }
  // What is committed matches (validated). After that, entries we have are kept, whatever follows them: the request may
  // be old. Only a contradiction cuts (Raft §5.3).
  for (Entry& entry : request.entries) {
    if (entry.id.index <= commit || (log_.Has(entry.id) && !KEEL_MUTANT(kTruncateAlways))) continue;
    if (entry.id.index <= log_.last().index) {
      log_.CutAfter(entry.id.index - 1);
      if (!KEEL_MUTANT(kCutKeepsMembership)) memberships_.CutAfter(entry.id.index - 1);
    }
    if (entry.type == EntryType::kMembership) {
      // In force from here on, committed or not (Thesis §4.1).
      MembershipEntry decoded = *DecodeMembershipEntry(entry.payload.view());  // Validated.
      memberships_.Append({.index = entry.id.index,
                           .membership = std::move(decoded.membership),
                           .context = Payload(std::move(decoded.context))});
    }
    log_.Append(std::move(entry));
  }
  // The request vouches for no more than this; our log may go on with entries of a deposed leader.
  const Index verified = std::max(commit, request.prev.index + request.entries.size());
  log_.CommitTo(
      std::max(commit, std::min(request.commit, KEEL_MUTANT(kCommitToLastIndex) ? log_.last().index : verified)));
  SendAppendResponse(from, {.rejected = false,
                            .index = KEEL_MUTANT(kAckWholeLog) ? log_.last().index : verified,
                            .hint = {},
                            .read_round = request.read_round});
}

void Core::Impl::SendAppendResponse(MemberId to, const AppendResponse& response) {
  if (response.index <= log_.stable() || KEEL_MUTANT(kAckBeforeSync)) {
    Send(to, response);
    return;
  }
  // Acknowledgements are cumulative: of those that wait for the same sync, one will do.
  if (!messages_after_append_.empty()) {
    Message& previous = messages_after_append_.back();
    auto* waiting = std::get_if<AppendResponse>(&previous.body);
    if (waiting != nullptr && previous.to == to && previous.term == term_ && !waiting->rejected) {
      waiting->index = std::max(waiting->index, response.index);
      waiting->read_round = std::max(waiting->read_round, response.read_round);
      return;
    }
  }
  Send(to, response, SendWhen::kAppendDurable);
}

void Core::Impl::HandleHeartbeat(MemberId from, const Heartbeat& heartbeat) {
  HeardFromLeader(from);
  // The entry is the leader's, and so are all before it (Log Matching, Raft §5.3). One that is not here is in a
  // snapshot.
  if (!is_installing()) {
    const Index commit = heartbeat.commit.index;
    log_.CommitTo(KEEL_MUTANT(kCommitGoesBack) ? commit : std::max(log_.commit(), commit));
  }
  if (!heartbeat.quiet) Send(from, HeartbeatResponse{.read_round = heartbeat.read_round});
}

void Core::Impl::HandleReadIndexResponse(MemberId from, const ReadIndexResponse& response) {
  if (from != leader()) return;
  if (const std::optional<ReadId> id = forwarded_.Take(response.id)) AnswerRead(*id, response.index);
}

void Core::Impl::OnPeerDied(MemberId peer) {
  OnUnreachable(peer);
  auto* const follower = std::get_if<FollowerRole>(&role_);
  if (follower == nullptr || follower->leader == kNobody || follower->leader != peer) return;
  std::optional<Message> early;
  if (ticks_ - follower->ignored_at <= 1) early = std::move(follower->ignored_pre_vote);
  // Nobody waits for its answers any more, and stickiness to it ends. A leader that is alive after all brings this
  // member back with its next heartbeat, and those that still hear it grant no pre-vote.
  BecomeFollower(term_, kNobody);
  hurry_until_ = ticks_ + election_ticks();
  // All its followers learn of it at about the same time. The first of them asks at once; the others follow a tick
  // apart, in case it cannot win. One whose log is ahead need not wait for that (HandleVoteRequest).
  uint64_t rank = 0;
  for (MemberId id : membership().voters) rank += id < options_.id && id != peer ? 1 : 0;
  election_at_ = ticks_ + 1 + rank;
  if (early) {
    // Another has had the news a moment before, and has asked already.
    HandleVoteRequest(*early, std::get<VoteRequest>(early->body));
  } else if (rank == 0) {
    Campaign();
  }
}

absl::Status Core::Impl::ForwardToLeader(std::vector<Payload> payloads) {
  if (leader() == kNobody) return absl::UnavailableError("no leader is known");
  ForwardProposal proposal;
  size_t bytes = 0;
  for (Payload& payload : payloads) {
    if (!proposal.payloads.empty() && bytes + payload.size() > options_.append_bytes_max) {
      Send(leader(), std::exchange(proposal, {}));
      bytes = 0;
    }
    bytes += payload.size() + Entry::kOverheadBytes;
    proposal.payloads.push_back(std::move(payload));
  }
  if (!proposal.payloads.empty()) Send(leader(), std::move(proposal));
  return absl::OkStatus();
}

bool Core::Impl::OfferSnapshot(MemberId from, Term term, const SnapshotMeta& meta) {
  if (data_loss_ || from == options_.id || from == kNobody || !CheckMembership(meta.membership).ok()) return false;
  if (meta.last.index > Index(kIndexMax) || term > Term(kTermMax)) return false;
  if (meta.last.term == Term(0) || meta.last.term > term || term < term_) return false;
  if (term == term_ && leader() != kNobody && leader() != from) return false;
  if (term > term_) BecomeFollower(term, from);
  HeardFromLeader(from);
  if (is_installing() || (meta.last.index <= log_.commit() && !KEEL_MUTANT(kStaleSnapshotInstalls))) return false;
  if (log_.Has(meta.last) && !KEEL_MUTANT(kStaleSnapshotInstalls)) {
    // Our log goes at least as far and agrees; it also knows what comes after (Raft §7).
    log_.CommitTo(meta.last.index);
    return false;
  }
  install_ = Install{.meta = meta};
  // They would have acknowledged entries that will never be written.
  messages_after_append_.clear();
  return true;
}

void Core::Impl::OnSnapshotInstalled(const SnapshotMeta& meta) {
  KEEL_CHECK(is_installing() && install_->handed && install_->meta == meta);
  install_.reset();
  log_.Reset(meta.last);
  memberships_.Reset(meta.last.index, KEEL_MUTANT(kSnapshotKeepsMembership) ? membership() : meta.membership);
  if (leader() != kNobody) Send(leader(), SnapshotInstalled{.last = meta.last}, SendWhen::kAppendDurable);
}

}  // namespace keel::raft
