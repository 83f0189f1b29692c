#include "raft/tracker.h"

#include <vector>

#include "raft/quorum.h"

namespace keel::raft {

ProgressTracker::ProgressTracker(const CoreOptions& options, const Membership& membership, Index next, uint64_t now)
    : options_(options), membership_(membership) {
  for (const std::vector<MemberId>* group : {&membership.voters, &membership.outgoing_voters, &membership.learners}) {
    for (MemberId id : *group) {
      if (id == options.id) continue;
      followers_.try_emplace(id, options, next).first->second.heard_at = now;
    }
  }
}

Progress* ProgressTracker::Find(MemberId id) {
  const auto it = followers_.find(id);
  return it == followers_.end() ? nullptr : &it->second;
}

Index ProgressTracker::QuorumMatch(Index stable) const {
  return Index(QuorumValue(membership_, [&](MemberId id) {
    return id == options_.id ? stable.value() : followers_.at(id).match().value();
  }));
}

uint64_t ProgressTracker::QuorumRound(uint64_t own_round) const {
  return QuorumValue(membership_,
                     [&](MemberId id) { return id == options_.id ? own_round : followers_.at(id).round_echoed; });
}

uint64_t ProgressTracker::QuorumHeardAt(uint64_t now) const {
  return QuorumValue(membership_, [&](MemberId id) { return id == options_.id ? now : followers_.at(id).heard_at; });
}

}  // namespace keel::raft
