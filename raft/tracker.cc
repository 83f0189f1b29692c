#include "raft/tracker.h"

#include <algorithm>
#include <vector>

#include "raft/quorum.h"

namespace keel::raft {
namespace {

// For how many election timeouts somebody who has left is still sent to.
constexpr uint64_t kLeaveTimeouts = 2;

}  // namespace

ProgressTracker::ProgressTracker(const CoreOptions& options, const MembershipHistory& memberships, Index next,
                                 uint64_t now)
    : options_(&options), memberships_(&memberships) {
  Update(next, now);
}

void ProgressTracker::Update(Index next, uint64_t now) {
  const Membership& membership = memberships_->current();
  for (auto& [id, progress] : followers_) {
    if (membership.Contains(id)) {
      progress.leaves_at = 0;
    } else if (progress.leaves_at == 0) {
      progress.leaves_at = now + kLeaveTimeouts * static_cast<uint64_t>(options_->election_ticks);
    }
  }
  for (const std::vector<MemberId>* group : {&membership.voters, &membership.outgoing_voters, &membership.learners}) {
    for (MemberId id : *group) {
      if (id == options_->id) continue;
      const auto [follower, is_new] = followers_.try_emplace(id, *options_, next);
      if (is_new) follower->second.heard_at = now;
    }
  }
}

void ProgressTracker::Rebind(const CoreOptions& options, const MembershipHistory& memberships) {
  options_ = &options;
  memberships_ = &memberships;
  for (auto& [id, progress] : followers_) progress.Rebind(options);
}

void ProgressTracker::DropLeavers(uint64_t now) {
  std::erase_if(followers_, [&](const auto& follower) {
    return follower.second.leaves_at != 0 && follower.second.leaves_at <= now;
  });
}

bool ProgressTracker::HasOtherVoter() const {
  const Membership& membership = memberships_->current();
  return std::any_of(followers_.begin(), followers_.end(),
                     [&](const auto& follower) { return membership.IsVoter(follower.first); });
}

Progress* ProgressTracker::Find(MemberId id) {
  const auto it = followers_.find(id);
  return it == followers_.end() ? nullptr : &it->second;
}

Index ProgressTracker::QuorumMatch(Index stable) const {
  return Index(QuorumValue(memberships_->current(), [&](MemberId id) {
    return id == options_->id ? stable.value() : followers_.at(id).match().value();
  }));
}

uint64_t ProgressTracker::QuorumRound(uint64_t own_round) const {
  return QuorumValue(memberships_->current(),
                     [&](MemberId id) { return id == options_->id ? own_round : followers_.at(id).round_echoed; });
}

uint64_t ProgressTracker::QuorumHeardAt(uint64_t now) const {
  return QuorumValue(memberships_->current(),
                     [&](MemberId id) { return id == options_->id ? now : followers_.at(id).heard_at; });
}

}  // namespace keel::raft
