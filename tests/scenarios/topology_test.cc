// E27: partial partitions. Wherever some member reaches a majority in both directions there is a leader within bounded
// time, and it stays; all 64 directed graphs of three members, and the classic shapes of five. (Thesis §9.6, §4.2.3,
// §6.2: pre-vote, stickiness and check-quorum lock each other up if they are not one unit.)

#include <gtest/gtest.h>

#include <functional>

#include "tests/scenarios/group.h"

namespace keel::raft::scenario {
namespace {

constexpr int kElectionTicks = 10;

using LinkIsUp = std::function<bool(uint64_t, uint64_t)>;

// A group of `n` that has had a leader, now with these links only.
void InTopology(Group* group, uint64_t n, const LinkIsUp& is_up) {
  Group::NewMember member;
  for (uint64_t id = 1; id <= n; ++id) member.membership.voters.emplace_back(id);
  member.core.election_ticks = kElectionTicks;
  for (uint64_t id = 1; id <= n; ++id) {
    member.id = MemberId(id);
    ASSERT_TRUE(group->Add(member).ok());
  }
  group->Run(4 * kElectionTicks);
  ASSERT_NE(group->leader(), kNobody);
  for (uint64_t a = 1; a <= n; ++a) {
    for (uint64_t b = 1; b <= n; ++b) group->SetLink(MemberId(a), MemberId(b), a == b || is_up(a, b));
  }
}

void ExpectLeaderWherePossible(uint64_t n, const LinkIsUp& is_up) {
  Group group;
  ASSERT_NO_FATAL_FAILURE(InTopology(&group, n, is_up));
  bool possible = false;
  for (uint64_t a = 1; a <= n; ++a) {
    uint64_t reached = 1;
    for (uint64_t b = 1; b <= n; ++b) reached += a != b && is_up(a, b) && is_up(b, a);
    possible |= 2 * reached > n;
  }
  group.Run(12 * kElectionTicks);
  ASSERT_EQ(group.oracle().violation(), "");
  ASSERT_GT(group.oracle().comparisons(), 0u);
  if (!possible) {
    EXPECT_EQ(group.leader(), kNobody) << "a leader that reaches no majority";
    return;
  }
  const MemberId leader = group.leader();
  ASSERT_NE(leader, kNobody);
  const Term term = group.core(leader).status().term;
  const Index before = group.core(leader).status().commit;
  group.Input(leader, [](Core& core) { ASSERT_TRUE(core.Propose({Payload("x")}).ok()); });
  group.Run(10 * kElectionTicks);
  EXPECT_EQ(group.oracle().violation(), "");
  EXPECT_EQ(group.leader(), leader);
  EXPECT_EQ(group.core(leader).status().term, term) << "the leader was disturbed";
  EXPECT_GT(group.core(leader).status().commit, before);
}

TEST(TopologyTest, ThreeMembersLeadInEveryDirectedGraphThatAllowsIt) {
  for (unsigned graph = 0; graph < 64; ++graph) {
    SCOPED_TRACE(graph);
    ExpectLeaderWherePossible(3, [graph](uint64_t a, uint64_t b) {
      const uint64_t bit = (a - 1) * 2 + (b > a ? b - 2 : b - 1);
      return ((graph >> bit) & 1) != 0;
    });
  }
}

TEST(TopologyTest, TheMiddleOfAChainOfFiveLeads) {
  // Each reaches its neighbours only; with itself that is three for those in the middle.
  ExpectLeaderWherePossible(5, [](uint64_t a, uint64_t b) { return a + 1 == b || b + 1 == a; });
}

TEST(TopologyTest, ARingOfFiveFindsALeader) {
  ExpectLeaderWherePossible(5, [](uint64_t a, uint64_t b) { return (a % 5) + 1 == b || (b % 5) + 1 == a; });
}

TEST(TopologyTest, TheCentreOfAStarLeads) {
  for (uint64_t centre = 1; centre <= 5; ++centre) {
    SCOPED_TRACE(centre);
    ExpectLeaderWherePossible(5, [centre](uint64_t a, uint64_t b) { return a == centre || b == centre; });
  }
}

TEST(TopologyTest, ABridgeBetweenTwoPairsLeads) {
  for (uint64_t bridge = 1; bridge <= 5; ++bridge) {
    SCOPED_TRACE(bridge);
    ExpectLeaderWherePossible(
        5, [bridge](uint64_t a, uint64_t b) { return a == bridge || b == bridge || (a < bridge) == (b < bridge); });
  }
}

TEST(TopologyTest, AnOldLeaderThatSeesOnlyTheBridgeGivesWay) {
  // Cloudflare's incident of 2020: 1 sees only 2, which sees everybody.
  ExpectLeaderWherePossible(3, [](uint64_t a, uint64_t b) { return a + b != 4; });
}

}  // namespace
}  // namespace keel::raft::scenario
