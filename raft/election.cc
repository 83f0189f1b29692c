#include "raft/election.h"

#include <optional>

namespace keel::raft {

VoteOutcome Election::Outcome(const Membership& membership) const {
  return TallyVotes(membership, [&](MemberId id) -> std::optional<bool> {
    const auto it = votes_.find(id);
    if (it == votes_.end()) return std::nullopt;
    return it->second;
  });
}

}  // namespace keel::raft
