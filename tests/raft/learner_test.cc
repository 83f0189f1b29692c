// Learners listen and learn; they never count (Thesis §4.2.1).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "raft/core.h"
#include "tests/raft/rig.h"

namespace keel::raft {
namespace {

InitialState WithLearner(std::initializer_list<uint64_t> voters, uint64_t learner) {
  InitialState initial;
  initial.membership = {.voters = Ids(voters), .learners = Ids({learner})};
  return initial;
}

TEST(RaftLearnerTest, ItsAcknowledgementCommitsNothing) {
  Rig rig(RigOptions(), WithLearner({1, 2, 3}, 4));
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.Propose("x").ok());
  rig.Sync();
  rig.Ack(4, 2);
  EXPECT_EQ(rig.core.status().commit, Index(1));
  rig.Ack(2, 2);
  EXPECT_EQ(rig.core.status().commit, Index(2));
}

TEST(RaftLearnerTest, IsSentEntriesAndHeartbeats) {
  Rig rig(RigOptions(), WithLearner({1, 2, 3}, 4));
  rig.LeadAndCommit();
  rig.Ack(4, 1);
  rig.Clear();
  ASSERT_TRUE(rig.Propose("x").ok());
  ASSERT_EQ(rig.Sent<AppendRequest>(4).size(), 1u);
  rig.Tick();
  EXPECT_FALSE(rig.Sent<Heartbeat>(4).empty());
}

// Bugs 27, 38.
TEST(RaftLearnerTest, DoesNotKeepALeaderInOffice) {
  Rig rig(RigOptions(), WithLearner({1, 2, 3}, 4));
  rig.LeadAndCommit();
  const uint64_t term = rig.core.status().term.value();
  for (int tick = 0; tick < 2 * kElectionTicks; ++tick) {
    rig.Tick();
    if (rig.core.status().role != Role::kLeader) return;
    ASSERT_TRUE(rig.Receive(4, term, HeartbeatResponse{}).ok());
  }
  FAIL() << "a learner's answers kept the leader in office";
}

TEST(RaftLearnerTest, ItsEchoConfirmsNoRead) {
  Rig rig(RigOptions(), WithLearner({1, 2, 3}, 4));
  rig.LeadAndCommit();
  rig.core.ReadIndex(ReadId(7));
  rig.Drain();
  const uint64_t term = rig.core.status().term.value();
  const uint64_t round = rig.Sent<Heartbeat>(4).back().read_round;
  ASSERT_TRUE(rig.Receive(4, term, HeartbeatResponse{.read_round = round}).ok());
  EXPECT_TRUE(rig.reads.empty());
  ASSERT_TRUE(rig.Receive(2, term, HeartbeatResponse{.read_round = round}).ok());
  EXPECT_EQ(rig.reads.size(), 1u);
}

TEST(RaftLearnerTest, NeverCampaigns) {
  Rig rig(RigOptions(), WithLearner({2, 3}, 1));
  rig.Tick(20 * kElectionTicks);
  rig.core.Campaign();
  ASSERT_TRUE(rig.Receive(2, 1, Heartbeat{}).ok());
  ASSERT_TRUE(rig.Receive(2, 1, TimeoutNow{}).ok());
  rig.core.OnPeerDied(MemberId(2));
  rig.Sync();
  rig.Tick(20 * kElectionTicks);
  EXPECT_EQ(rig.core.status().role, Role::kFollower);
  EXPECT_EQ(rig.core.status().term, Term(1));
  EXPECT_TRUE(rig.Sent<VoteRequest>(2).empty());
  EXPECT_TRUE(rig.Sent<VoteRequest>(3).empty());
}

TEST(RaftLearnerTest, IsNotAskedForItsVote) {
  Rig rig(RigOptions(), WithLearner({1, 2, 3}, 4));
  rig.core.Campaign();
  rig.Drain();
  EXPECT_EQ(rig.Sent<VoteRequest>(2).size(), 1u);
  EXPECT_TRUE(rig.Sent<VoteRequest>(4).empty());
  ASSERT_TRUE(rig.Receive(4, 1, VoteResponse{.granted = true, .pre_vote = true}).ok());
  EXPECT_EQ(rig.core.status().role, Role::kPreCandidate);
}

// It may have been promoted without having heard of it; the candidate knows whether its vote counts (Thesis §4.2.1).
TEST(RaftLearnerTest, VotesWhenAsked) {
  Rig rig(RigOptions(), WithLearner({2, 3}, 1));
  ASSERT_TRUE(rig.Receive(2, 4, VoteRequest{.last = {Term(3), Index(7)}}).ok());
  rig.Sync();
  ASSERT_EQ(rig.Sent<VoteResponse>(2).size(), 1u);
  EXPECT_TRUE(rig.Sent<VoteResponse>(2)[0].granted);
}

TEST(RaftLearnerTest, PromotedItCounts) {
  Rig rig(RigOptions(), WithLearner({1, 2, 3}, 4));
  rig.LeadAndCommit();
  rig.Ack(4, 1);
  ASSERT_TRUE(rig.Change({.add_voters = Ids({4})}).ok());
  rig.Sync();
  rig.Ack(2, 2);
  EXPECT_EQ(rig.core.status().commit, Index(1)) << "two of four";
  rig.Ack(4, 2);
  EXPECT_EQ(rig.core.status().commit, Index(2));
  EXPECT_EQ(rig.core.status().membership, Voters({1, 2, 3, 4}));
}

TEST(RaftLearnerTest, PromotionKeepsWhatTheLeaderKnowsOfIt) {
  Rig rig(RigOptions(), WithLearner({1, 2, 3}, 4));
  rig.LeadAndCommit();
  rig.Ack(4, 1);
  ASSERT_TRUE(rig.Change({.add_voters = Ids({4})}).ok());
  const std::vector<FollowerStatus> followers = rig.core.followers();
  const auto it = std::find_if(followers.begin(), followers.end(), [](const auto& f) { return f.id == MemberId(4); });
  ASSERT_NE(it, followers.end());
  EXPECT_EQ(it->match, Index(1));
  EXPECT_EQ(it->state, FollowerStatus::State::kReplicate);
}

TEST(RaftLearnerTest, CannotBeHandedLeadership) {
  Rig rig(RigOptions(), WithLearner({1, 2, 3}, 4));
  rig.LeadAndCommit();
  EXPECT_TRUE(absl::IsNotFound(rig.core.TransferLeadership(MemberId(4))));
  EXPECT_TRUE(absl::IsNotFound(rig.core.TransferLeadership(MemberId(9))));
  EXPECT_EQ(rig.core.status().transfer_target, kNobody);
}

// A leader whose disk stalls yields to others; a learner is nobody to yield to.
TEST(RaftLearnerTest, LeaderWithOnlyLearnersKeepsLeadingThroughAStall) {
  Rig rig(RigOptions(), WithLearner({1}, 2));
  rig.Lead();
  ASSERT_TRUE(rig.Propose("x").ok());
  rig.Tick(5 * kElectionTicks);
  EXPECT_EQ(rig.core.status().role, Role::kLeader);
  rig.Sync();
  EXPECT_EQ(rig.core.status().commit, Index(2));
}

}  // namespace
}  // namespace keel::raft
