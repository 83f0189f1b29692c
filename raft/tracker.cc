#include "raft/tracker.h"

#include <algorithm>
#include <vector>

#include "raft/quorum.h"

namespace keel::raft {

ProgressTracker::ProgressTracker(const CoreOptions& options, const MembershipHistory& memberships, Index next,
                                 uint64_t now)
    : options_(&options), memberships_(&memberships) {
  Update(next, now);
}

void ProgressTracker::Update(Index next, uint64_t now) {
  const Membership& membership = memberships_->current();
  std::erase_if(followers_, [&](const auto& follower) { return !membership.Contains(follower.first); });
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
