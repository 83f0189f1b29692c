#include "raft/quorum.h"

#include <algorithm>
#include <functional>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "raft/mutant.h"

namespace keel::raft {
namespace {

uint64_t MajorityValue(const std::vector<MemberId>& voters, absl::FunctionRef<uint64_t(MemberId)> value) {
  if (voters.empty()) return 0;
  absl::InlinedVector<uint64_t, 8> values;
  for (MemberId id : voters) values.push_back(value(id));
  // Descending, the element at n/2 is reached by n/2 + 1 members.
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end(), std::greater<>());
  return *middle;
}

VoteOutcome TallyMajority(const std::vector<MemberId>& voters, absl::FunctionRef<std::optional<bool>(MemberId)> vote) {
  if (voters.empty()) return VoteOutcome::kPending;
  size_t granted = 0, refused = 0;
  for (MemberId id : voters) {
    const std::optional<bool> answer = vote(id);
    if (!answer.has_value()) continue;
    ++(*answer ? granted : refused);
  }
  const size_t majority = voters.size() / 2 + 1;
  if (granted >= majority) return VoteOutcome::kWon;
  if (refused > voters.size() - majority) return VoteOutcome::kLost;
  return VoteOutcome::kPending;
}

}  // namespace

uint64_t QuorumValue(const Membership& membership, absl::FunctionRef<uint64_t(MemberId)> value) {
  const uint64_t incoming = MajorityValue(membership.voters, value);
  if (!membership.is_joint() || KEEL_MUTANT(kJointCountsNewOnly)) return incoming;
  return std::min(incoming, MajorityValue(membership.outgoing_voters, value));
}

VoteOutcome TallyVotes(const Membership& membership, absl::FunctionRef<std::optional<bool>(MemberId)> vote) {
  const VoteOutcome incoming = TallyMajority(membership.voters, vote);
  if (!membership.is_joint() || KEEL_MUTANT(kJointCountsNewOnly)) return incoming;
  const VoteOutcome outgoing = TallyMajority(membership.outgoing_voters, vote);
  if (incoming == VoteOutcome::kLost || outgoing == VoteOutcome::kLost) return VoteOutcome::kLost;
  if (incoming == VoteOutcome::kWon && outgoing == VoteOutcome::kWon) return VoteOutcome::kWon;
  return VoteOutcome::kPending;
}

}  // namespace keel::raft
