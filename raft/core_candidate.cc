// Elections, in two steps (Raft §5.2): a pre-vote, which asks without changing anything anywhere (Thesis §9.6), and
// only when a quorum would agree, the vote.

#include <algorithm>

#include "base/check.h"
#include "raft/core_impl.h"
#include "raft/mutant.h"

namespace keel::raft {

void Core::Impl::StartElection(Election::Kind kind, Reason reason) {
  KEEL_CHECK(leader_role() == nullptr);
  const bool is_pre_vote = kind == Election::Kind::kPreVote;
  if (leader() != kNobody) FailForwardedReads("the leader is lost");
  if (!is_pre_vote) {
    ++term_;
    vote_ = KEEL_MUTANT(kCandidateForgetsOwnVote) ? kNobody
                                                  : options_.id;  // Durable before anybody is asked (Raft fig. 2).
  }
  Election& election = role_.emplace<CandidateRole>(kind);
  election.Record(options_.id, true);
  // A pre-vote can be repeated at any time. A vote waits for disks; given up too early, it would never come to an end.
  if (is_pre_vote) {
    ResetElectionTimerInHurry();
  } else {
    ResetElectionTimer();
  }

  const VoteRequest request{
      .last = log_.last(), .pre_vote = is_pre_vote, .transfer = reason == Reason::kTransfer && !is_pre_vote};
  const auto ask = [&](MemberId id) {
    if (is_pre_vote) {
      SendPreVote(id, term_ + 1, request);
    } else {
      Send(id, request, SendWhen::kAppendDurable);  // After our own vote is on disk.
    }
  };
  // In joint consensus both groups are asked (Thesis §4.3); learners never.
  for (MemberId id : membership().voters) {
    if (id != options_.id) ask(id);
  }
  for (MemberId id : membership().outgoing_voters) {
    if (id != options_.id && !std::binary_search(membership().voters.begin(), membership().voters.end(), id)) ask(id);
  }
  ConcludeElection();  // A single voter has won already.
}

// The response's term is ours, or, for a granted pre-vote, the one it was asked for.
void Core::Impl::HandleVoteResponse(const Message& message, const VoteResponse& response) {
  CandidateRole* election = std::get_if<CandidateRole>(&role_);
  if (election == nullptr) return;
  const bool is_pre_vote = election->kind() == Election::Kind::kPreVote;
  if (response.pre_vote != is_pre_vote) return;
  const bool in_future_term = is_pre_vote && response.granted;
  if (message.term != (in_future_term ? term_ + 1 : term_) && !KEEL_MUTANT(kOldTermVoteCounts)) return;
  election->Record(message.from, response.granted);
  ConcludeElection();
}

void Core::Impl::ConcludeElection() {
  const CandidateRole& election = std::get<CandidateRole>(role_);
  switch (election.Outcome(membership())) {
    case VoteOutcome::kPending:
      return;
    case VoteOutcome::kLost:
      // Waits for the winner, or for the next timeout.
      BecomeFollower(term_, kNobody);
      ResetElectionTimerInHurry();
      return;
    case VoteOutcome::kWon:
      if (election.kind() == Election::Kind::kPreVote) {
        StartElection(Election::Kind::kVote, Reason::kTimeout);
      } else {
        BecomeLeader();
      }
      return;
  }
}

}  // namespace keel::raft
