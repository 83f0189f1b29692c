// Changing the membership (Raft §6; Thesis §4): what a leader appends, and when it goes.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "raft/core_impl.h"
#include "raft/mutant.h"

namespace keel::raft {

bool Core::Impl::MayCampaign() const {
  if (data_loss_ || term_ >= Term(kTermMax)) return false;
  if (membership().IsVoter(options_.id)) return true;
  if (KEEL_MUTANT(kLearnerCampaigns) && membership().IsLearner(options_.id)) return true;
  // The entry that took the vote away may be on this member only, and a majority of the old configuration behind it:
  // then nobody else can win (Thesis §4.2.2).
  const Membership* previous = memberships_.previous();
  return previous != nullptr && previous->IsVoter(options_.id) && log_.commit() < memberships_.index();
}

absl::Status Core::Impl::ProposeMembership(const MembershipChange& change, const Payload& context) {
  LeaderRole* leader = leader_role();
  if (leader == nullptr) return absl::FailedPreconditionError(kNotLeader);
  if (leader->transfer) return absl::UnavailableError("leadership is being handed over");
  // Of two leaders that each change one member of what their logs say, the majorities may not overlap, unless the
  // second has committed an entry of its own term first (Ongaro, raft-dev, July 2015).
  if (log_.commit() < leader->term_start && !KEEL_MUTANT(kChangeBeforeTermCommit))
    return absl::FailedPreconditionError(kTermNotReady);
  // One at a time (Thesis §4.1); the joint one counts until it is left.
  if ((memberships_.index() > log_.applied() && !KEEL_MUTANT(kSecondChangeInFlight)) || membership().is_joint()) {
    return absl::FailedPreconditionError(kChangeInFlight);
  }
  KEEL_ASSIGN_OR_RETURN(const Membership next, ChangedMembership(membership(), change));
  const size_t bytes = context.size() + Entry::kOverheadBytes;
  if (leader->uncommitted_bytes > 0 && leader->uncommitted_bytes + bytes > options_.uncommitted_bytes_max) {
    return absl::ResourceExhaustedError("too many proposals wait to be committed");
  }
  AppendMembership(*leader, next, context.view());
  return absl::OkStatus();
}

void Core::Impl::AppendMembership(LeaderRole& leader, const Membership& membership, std::string_view context) {
  AppendOwn(leader, EntryType::kMembership, EncodeMembershipEntry(membership, context));
  memberships_.Append({.index = log_.last().index, .membership = membership, .context = Payload(std::string(context))});
  // In force from now on (Thesis §4.1), and with it who is sent to and who counts.
  leader.tracker.Update(log_.last().index, ticks_);
  // Fewer may be needed, and those that would have answered the round under way may be gone.
  MaybeCommit(leader);
  ConfirmReads(leader);
}

void Core::Impl::MaybeLeaveJoint(LeaderRole& leader) {
  if (!membership().is_joint() || leader.transfer || KEEL_MUTANT(kJointNeverLeft)) return;
  // Once it is committed by both majorities, the new voters alone can decide (Thesis §4.3). The rules of every other
  // change hold, too; a later leader that finds a joint configuration leaves it as soon as they do.
  if (log_.applied() < memberships_.index() || log_.commit() < leader.term_start) return;
  const Payload context = memberships_.context();
  AppendMembership(leader, LeftJoint(membership()), context.view());
}

bool Core::Impl::IsVotedOut(const LeaderRole& leader) const {
  if (KEEL_MUTANT(kRemovedLeaderStays)) return false;
  if (KEEL_MUTANT(kLeaderResignsAtAppend) && !membership().IsVoter(options_.id)) return true;
  return !membership().is_joint() && !membership().IsVoter(options_.id) && log_.commit() >= memberships_.index() &&
         log_.commit() >= leader.term_start;
}

// It has led the group until the configuration without it was committed, not counting itself (Thesis §4.2.2). The
// commit has just been sent to all; the one that is furthest takes over at once, so that nobody waits for a timeout.
void Core::Impl::ResignVotedOut(LeaderRole& leader) {
  MemberId heir = kNobody;
  Index furthest;
  for (const auto& [id, progress] : leader.tracker.followers()) {
    if (!membership().IsVoter(id) || (heir != kNobody && progress.match() <= furthest)) continue;
    heir = id;
    furthest = progress.match();
  }
  if (heir != kNobody) Send(heir, TimeoutNow{});
  BecomeFollower(term_, kNobody);
}

}  // namespace keel::raft
