// Handing leadership over (Thesis §3.10): no new proposals; the target is brought up to date; it stands for election at
// once, which nobody refuses out of loyalty; should it fail within an election timeout, this leader goes on.

#include <algorithm>
#include <utility>

#include "raft/core_impl.h"
#include "raft/mutant.h"

namespace keel::raft {

absl::Status Core::Impl::TransferLeadership(MemberId target) {
  LeaderRole* leader = leader_role();
  if (leader == nullptr) return absl::FailedPreconditionError(kNotLeader);
  if (target == options_.id) return absl::OkStatus();
  if (!std::binary_search(membership().voters.begin(), membership().voters.end(), target)) {
    return absl::NotFoundError("the transfer target is no voting member");
  }
  if (leader->transfer) {
    if (leader->transfer->target == target) return absl::OkStatus();
    return absl::FailedPreconditionError("leadership is being handed over to another member");
  }
  leader->transfer = Transfer{.target = target, .started_at = ticks_};
  leader->flush = true;
  return absl::OkStatus();
}

// To step down costs the group an election; to hand over, a round trip. Nobody is asked whose disk may be no better:
// where all stall, as machines that share their storage do, the leadership would only go round.
void Core::Impl::HandOverForSlowDisk(LeaderRole& leader) {
  MemberId heir = kNobody;
  Index most = log_.stable();
  for (const auto& [id, progress] : leader.tracker.followers()) {
    if (progress.match() <= most || !membership().IsVoter(id) || ticks_ - progress.heard_at >= election_ticks())
      continue;
    most = progress.match();
    heir = id;
  }
  if (heir != kNobody) TransferLeadership(heir).IgnoreError();
}

void Core::Impl::SendTimeoutNow(LeaderRole& leader) {
  if (!leader.transfer || leader.transfer->asked) return;
  const Progress* progress = leader.tracker.Find(leader.transfer->target);
  if (progress == nullptr || progress->match() < log_.last().index) return;
  leader.transfer->asked = true;
  Send(leader.transfer->target, TimeoutNow{});
}

void Core::Impl::TickTransfer(LeaderRole& leader) {
  if (!leader.transfer) return;
  leader.transfer->asked = false;  // It may have been lost.
  if (KEEL_MUTANT(kTransferNeverEnds)) return;
  if (ticks_ - leader.transfer->started_at < election_ticks()) return;
  leader.transfer.reset();
  ReleaseHeld();
}

void Core::Impl::HandleTimeoutNow(MemberId from) {
  // From an earlier request, or when this member could not lead.
  if (from != leader() || leader_role() != nullptr || !MayCampaign() || is_installing() || DiskIsStalled()) return;
  // No pre-vote: the leader itself gives its place up.
  StartElection(Election::Kind::kVote, Reason::kTransfer);
}

void Core::Impl::HandleForwardProposal(LeaderRole& leader, std::vector<Payload> payloads) {
  if (!leader.transfer) {
    // Refused for want of room: lost on the way, as ever with forwarded proposals.
    ProposeAsLeader(leader, std::move(payloads)).IgnoreError();
    return;
  }
  for (Payload& payload : payloads) {
    const size_t bytes = payload.size() + Entry::kOverheadBytes;
    if (held_.bytes + bytes > options_.uncommitted_bytes_max) return;
    held_.bytes += bytes;
    held_.payloads.push_back(std::move(payload));
  }
  held_.until = leader.transfer->started_at + 2 * election_ticks();
}

void Core::Impl::ReleaseHeld() {
  const Held held = std::exchange(held_, {});
  if (!held.payloads.empty()) Propose(held.payloads).IgnoreError();
}

}  // namespace keel::raft
