#include "raft/quorum.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "base/random.h"

namespace keel::raft {
namespace {

std::vector<MemberId> Ids(std::initializer_list<uint64_t> ids) {
  std::vector<MemberId> out;
  for (uint64_t id : ids) out.push_back(MemberId(id));
  return out;
}

uint64_t Value(const Membership& membership, const std::map<uint64_t, uint64_t>& values) {
  return QuorumValue(membership, [&](MemberId id) { return values.at(id.value()); });
}

VoteOutcome Tally(const Membership& membership, const std::map<uint64_t, bool>& votes) {
  return TallyVotes(membership, [&](MemberId id) -> std::optional<bool> {
    const auto it = votes.find(id.value());
    if (it == votes.end()) return std::nullopt;
    return it->second;
  });
}

TEST(RaftQuorumTest, ValueIsReachedByAMajority) {
  EXPECT_EQ(Value({.voters = {}}, {}), 0u);
  EXPECT_EQ(Value({.voters = Ids({1})}, {{1, 7}}), 7u);
  EXPECT_EQ(Value({.voters = Ids({1, 2})}, {{1, 7}, {2, 5}}), 5u);
  EXPECT_EQ(Value({.voters = Ids({1, 2, 3})}, {{1, 7}, {2, 5}, {3, 6}}), 6u);
  EXPECT_EQ(Value({.voters = Ids({1, 2, 3, 4})}, {{1, 9}, {2, 8}, {3, 2}, {4, 1}}), 2u);
  EXPECT_EQ(Value({.voters = Ids({1, 2, 3, 4, 5})}, {{1, 9}, {2, 8}, {3, 3}, {4, 1}, {5, 0}}), 3u);
}

TEST(RaftQuorumTest, JointConsensusNeedsBothMajorities) {
  const Membership joint{.voters = Ids({1, 2, 3}), .outgoing_voters = Ids({3, 4, 5}), .learners = {}};
  EXPECT_EQ(Value(joint, {{1, 9}, {2, 9}, {3, 9}, {4, 1}, {5, 2}}), 2u);
  EXPECT_EQ(Tally(joint, {{1, true}, {2, true}, {3, true}}), VoteOutcome::kPending);
  EXPECT_EQ(Tally(joint, {{1, true}, {2, true}, {3, true}, {5, true}}), VoteOutcome::kWon);
  EXPECT_EQ(Tally(joint, {{1, true}, {2, true}, {4, false}, {5, false}}), VoteOutcome::kLost);
}

// Bug class: learners counted in the quorum.
TEST(RaftQuorumTest, LearnersNeverCount) {
  const Membership membership{.voters = Ids({1, 2, 3}), .outgoing_voters = {}, .learners = Ids({4, 5})};
  EXPECT_EQ(Value(membership, {{1, 5}, {2, 0}, {3, 0}, {4, 9}, {5, 9}}), 0u);
  EXPECT_EQ(Tally(membership, {{1, true}, {4, true}, {5, true}}), VoteOutcome::kPending);
}

TEST(RaftQuorumTest, ElectionIsLostOnceItCannotBeWon) {
  const Membership four{.voters = Ids({1, 2, 3, 4})};
  EXPECT_EQ(Tally(four, {{1, true}, {2, false}}), VoteOutcome::kPending);
  EXPECT_EQ(Tally(four, {{1, true}, {2, false}, {3, false}}), VoteOutcome::kLost);
  EXPECT_EQ(Tally(four, {{1, true}, {2, true}, {3, true}}), VoteOutcome::kWon);
}

// Against the definition, spelled out: the greatest value that more than half of each group reaches.
TEST(RaftQuorumTest, AgreesWithTheDefinitionOnRandomGroups) {
  Random random(20240501);
  for (int round = 0; round < 2000; ++round) {
    SCOPED_TRACE(round);
    Membership membership;
    std::map<uint64_t, uint64_t> values;
    for (uint64_t id = 1; id <= 7; ++id) {
      values[id] = random.Below(6);
      if (random.Chance(0.6)) membership.voters.push_back(MemberId(id));
      if (random.Chance(0.3)) membership.outgoing_voters.push_back(MemberId(id));
    }
    if (membership.voters.empty()) continue;
    uint64_t expected = 0;
    for (uint64_t v = 1; v < 6; ++v) {
      const auto reached = [&](const std::vector<MemberId>& group) {
        size_t n = 0;
        for (MemberId id : group) n += values[id.value()] >= v;
        return group.empty() || 2 * n > group.size();
      };
      if (reached(membership.voters) && reached(membership.outgoing_voters)) expected = v;
    }
    EXPECT_EQ(Value(membership, values), expected);
  }
}

}  // namespace
}  // namespace keel::raft
