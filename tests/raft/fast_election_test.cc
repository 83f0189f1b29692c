// Elections that need not wait for a timeout: at a start, and when the leader's process has died. Both are pre-votes
// (Thesis §9.6): where they are wrong, nothing happens.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "raft/core.h"
#include "tests/raft/rig.h"

namespace keel::raft {
namespace {

CoreOptions OptionsOf(uint64_t id) {
  CoreOptions options = RigOptions();
  options.id = MemberId(id);
  return options;
}

VoteRequest PreVote(uint64_t last_term, uint64_t last_index) {
  return {.last = {Term(last_term), Index(last_index)}, .pre_vote = true, .transfer = false};
}

// Member 1 of three, following `leader` in term 4, its log as RigState says.
void Follow(Rig* rig, uint64_t leader) {
  ASSERT_TRUE(rig->Receive(leader, 4, Heartbeat{.quiet = true}).ok());
  rig->Sync();
  rig->Clear();
}

TEST(RaftFastElectionTest, FirstElectionDoesNotWaitForATimeout) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    CoreOptions options = RigOptions();
    options.seed = seed;
    Rig rig(options, RigState(3));
    rig.Tick(3);
    EXPECT_FALSE(rig.Sent<VoteRequest>(2).empty()) << "seed " << seed;
  }
}

// Its peers may start later; asking again costs nothing.
TEST(RaftFastElectionTest, FirstPreVoteIsRepeatedSoonButNotForEver) {
  Rig rig(3);
  rig.Tick(kElectionTicks);
  EXPECT_GE(rig.Sent<VoteRequest>(2).size(), 3u);
  EXPECT_EQ(rig.core.status().term, Term(0));
  rig.Tick(3 * kElectionTicks);
  rig.Clear();
  rig.Tick(6 * kElectionTicks);
  EXPECT_LE(rig.Sent<VoteRequest>(2).size(), 6u) << "one per election timeout";
}

TEST(RaftFastElectionTest, OnceALeaderIsHeardOfTimeoutsAreWhole) {
  Rig rig(3);
  Follow(&rig, 2);
  rig.Tick(kElectionTicks - 1);
  EXPECT_TRUE(rig.sent.empty());
}

// The vote itself waits for disks: it is not given up after a tick or two.
TEST(RaftFastElectionTest, CandidateAtAStartHasTheWholeTimeout) {
  Rig rig(3);
  rig.core.Campaign();
  rig.Drain();
  ASSERT_TRUE(rig.Receive(2, 1, VoteResponse{.granted = true, .pre_vote = true}).ok());
  rig.Tick(kElectionTicks - 1);
  EXPECT_EQ(rig.core.status().role, Role::kCandidate);
  EXPECT_EQ(rig.core.status().term, Term(1));
}

TEST(RaftFastElectionTest, DeathOfTheLeaderIsAnsweredByAPreVoteAtOnce) {
  Rig rig(3);
  Follow(&rig, 2);
  rig.core.OnPeerDied(MemberId(2));
  rig.Drain();
  ASSERT_EQ(rig.Sent<VoteRequest>(3).size(), 1u);
  EXPECT_TRUE(rig.Sent<VoteRequest>(3)[0].pre_vote);
  EXPECT_EQ(rig.core.status().term, Term(4));
  EXPECT_EQ(rig.core.status().leader, kNobody);
  ASSERT_TRUE(rig.Receive(3, 5, VoteResponse{.granted = true, .pre_vote = true}).ok());
  rig.Sync();
  ASSERT_TRUE(rig.Receive(3, 5, VoteResponse{.granted = true}).ok());
  EXPECT_EQ(rig.core.status().role, Role::kLeader);
}

// Else both would ask and vote for themselves.
TEST(RaftFastElectionTest, SurvivorsAskOneAfterTheOther) {
  Rig rig(OptionsOf(3), RigState(3));
  ASSERT_TRUE(rig.Receive(1, 4, Heartbeat{.quiet = true}).ok());
  rig.Sync();
  rig.Clear();
  rig.core.OnPeerDied(MemberId(1));
  rig.Drain();
  EXPECT_TRUE(rig.sent.empty()) << "member 2 comes first";
  rig.Tick(2);
  EXPECT_EQ(rig.Sent<VoteRequest>(2).size(), 1u) << "but it may be unable to";
}

TEST(RaftFastElectionTest, VoterThatLostTheLeaderTooAgrees) {
  Rig rig(3);
  Follow(&rig, 3);
  ASSERT_TRUE(rig.Receive(2, 5, PreVote(4, 1)).ok());
  EXPECT_TRUE(rig.sent.empty()) << "it still hears the leader";
  rig.Tick();
  rig.core.OnPeerDied(MemberId(3));
  rig.Drain();
  rig.Clear();
  ASSERT_TRUE(rig.Receive(2, 5, PreVote(4, 1)).ok());
  ASSERT_EQ(rig.Sent<VoteResponse>(2).size(), 1u);
  EXPECT_TRUE(rig.Sent<VoteResponse>(2)[0].granted);
}

// The news reaches the survivors within a millisecond of each other, in any order.
TEST(RaftFastElectionTest, RequestThatCameJustBeforeTheNewsIsAnsweredWithIt) {
  Rig rig(OptionsOf(3), RigState(3));
  ASSERT_TRUE(rig.Receive(1, 4, Heartbeat{.quiet = true}).ok());
  rig.Sync();
  rig.Clear();
  ASSERT_TRUE(rig.Receive(2, 5, PreVote(4, 1)).ok());
  EXPECT_TRUE(rig.sent.empty());
  rig.core.OnPeerDied(MemberId(1));
  rig.Drain();
  ASSERT_EQ(rig.Sent<VoteResponse>(2).size(), 1u);
  EXPECT_TRUE(rig.Sent<VoteResponse>(2)[0].granted);
  EXPECT_EQ(rig.core.status().term, Term(4));
}

TEST(RaftFastElectionTest, AnOldRequestIsNotAnsweredWithTheNews) {
  Rig rig(OptionsOf(3), RigState(3));
  ASSERT_TRUE(rig.Receive(1, 4, Heartbeat{.quiet = true}).ok());
  rig.Sync();
  rig.Clear();
  ASSERT_TRUE(rig.Receive(2, 5, PreVote(4, 1)).ok());
  rig.Tick(3);
  rig.core.OnPeerDied(MemberId(1));
  rig.Drain();
  EXPECT_TRUE(rig.Sent<VoteResponse>(2).empty());
}

// The first in line lacks entries of the second, which does not wait for its turn then.
TEST(RaftFastElectionTest, SurvivorWithTheLongerLogTakesOver) {
  InitialState initial = RigState(3, {4, 4});
  Rig rig(OptionsOf(3), initial);
  ASSERT_TRUE(rig.Receive(1, 4, Heartbeat{.quiet = true}).ok());
  rig.Sync();
  rig.core.OnPeerDied(MemberId(1));
  rig.Drain();
  rig.Clear();
  ASSERT_TRUE(rig.Receive(2, 5, PreVote(4, 1)).ok());
  ASSERT_EQ(rig.Sent<VoteResponse>(2).size(), 1u);
  EXPECT_FALSE(rig.Sent<VoteResponse>(2)[0].granted);
  ASSERT_EQ(rig.Sent<VoteRequest>(2).size(), 1u);
  EXPECT_TRUE(rig.Sent<VoteRequest>(2)[0].pre_vote);
}

TEST(RaftFastElectionTest, WrongNewsIsForgottenWithTheNextHeartbeat) {
  Rig rig(3);
  Follow(&rig, 2);
  rig.core.OnPeerDied(MemberId(2));
  rig.Drain();
  ASSERT_TRUE(rig.Receive(2, 4, Heartbeat{.quiet = true}).ok());
  EXPECT_EQ(rig.core.status().leader, MemberId(2));
  EXPECT_EQ(rig.core.status().role, Role::kFollower);
  // A late grant starts nothing.
  ASSERT_TRUE(rig.Receive(3, 5, VoteResponse{.granted = true, .pre_vote = true}).ok());
  EXPECT_EQ(rig.core.status().term, Term(4));
  rig.Clear();
  rig.Tick(kElectionTicks - 1);
  EXPECT_TRUE(rig.sent.empty());
  EXPECT_TRUE(rig.appends.empty());
}

TEST(RaftFastElectionTest, LeaderThatIsAliveSaysSoAtOnce) {
  Rig rig(3);
  rig.Lead();
  rig.Ack(2, 1);
  rig.Clear();
  ASSERT_TRUE(rig.Receive(2, 2, PreVote(1, 1)).ok());
  EXPECT_EQ(rig.core.status().role, Role::kLeader);
  EXPECT_EQ(rig.core.status().term, Term(1));
  EXPECT_EQ(rig.Sent<Heartbeat>(2).size(), 1u);
  EXPECT_TRUE(rig.Sent<VoteResponse>(2).empty());
}

TEST(RaftFastElectionTest, DeathOfAnotherFollowerChangesNothing) {
  Rig rig(3);
  Follow(&rig, 2);
  rig.core.OnPeerDied(MemberId(3));
  rig.core.OnPeerDied(MemberId(9));
  rig.Drain();
  EXPECT_TRUE(rig.sent.empty());
  EXPECT_EQ(rig.core.status().leader, MemberId(2));
}

// Proposals and reads that would go to the dead wait for whoever is next.
TEST(RaftFastElectionTest, NothingIsForwardedToTheDead) {
  Rig rig(OptionsOf(3), RigState(3));
  ASSERT_TRUE(rig.Receive(1, 4, Heartbeat{.quiet = true}).ok());
  rig.Sync();
  rig.core.ReadIndex(ReadId(5));
  rig.Drain();
  rig.Clear();
  rig.core.OnPeerDied(MemberId(1));
  rig.Drain();
  ASSERT_EQ(rig.reads.size(), 1u);
  EXPECT_TRUE(absl::IsUnavailable(rig.reads[0].status));
  EXPECT_TRUE(absl::IsUnavailable(rig.Propose("x")));
  EXPECT_TRUE(rig.Sent<ForwardProposal>(1).empty());
}

// Three members over a network without loss: the leader's process ends, the two others notice in either order. The next
// leader is there without a single tick, or (the one that can win is last in line) within two.
TEST(RaftFastElectionTest, GroupHasALeaderFarBelowTheTimeout) {
  for (uint64_t dead = 1; dead <= 3; ++dead) {
    for (const bool first_notices_first : {true, false}) {
      SCOPED_TRACE(dead);
      std::map<uint64_t, std::unique_ptr<Rig>> group;
      for (uint64_t id = 1; id <= 3; ++id) group[id] = std::make_unique<Rig>(OptionsOf(id), RigState(3));
      // Delivers until nothing is under way.
      const auto settle = [&] {
        for (bool moved = true; moved;) {
          moved = false;
          for (auto& [id, rig] : group) {
            rig->Sync();
            for (Message& message : std::exchange(rig->sent, {})) {
              moved = true;
              const auto to = group.find(message.to.value());
              if (to == group.end()) continue;
              ASSERT_TRUE(to->second->core.Step(std::move(message)).ok());
            }
          }
        }
      };
      group[dead]->core.Campaign();
      settle();
      ASSERT_EQ(group[dead]->core.status().role, Role::kLeader);
      group.erase(dead);
      std::vector<uint64_t> survivors;
      for (const auto& [id, rig] : group) survivors.push_back(id);
      if (!first_notices_first) std::swap(survivors[0], survivors[1]);
      for (uint64_t id : survivors) {
        group[id]->core.OnPeerDied(MemberId(dead));
        settle();
      }
      int leaders = 0;
      for (const auto& [id, rig] : group) leaders += rig->core.status().role == Role::kLeader ? 1 : 0;
      EXPECT_EQ(leaders, 1);
    }
  }
}

}  // namespace
}  // namespace keel::raft
