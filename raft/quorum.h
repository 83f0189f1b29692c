#pragma once

// Majority arithmetic over a membership. In joint consensus every answer needs a majority of both groups of voters
// (Thesis §4.3). Learners never count. Pure functions.

#include <cstdint>
#include <optional>

#include "absl/functional/function_ref.h"
#include "raft/types.h"

namespace keel::raft {

// The greatest v such that a quorum of voters has a value of at least v: the commit index from match indexes (Raft
// §5.3, §5.4), the confirmed round from echoed rounds. 0 when nobody votes.
uint64_t QuorumValue(const Membership& membership, absl::FunctionRef<uint64_t(MemberId)> value);

enum class VoteOutcome { kPending, kWon, kLost };

// Where an election stands; `vote` gives what a voter answered, nullopt when it has not. kLost: no set of further
// answers can win it. kPending when nobody votes.
VoteOutcome TallyVotes(const Membership& membership, absl::FunctionRef<std::optional<bool>(MemberId)> vote);

}  // namespace keel::raft
