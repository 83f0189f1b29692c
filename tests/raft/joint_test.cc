// Joint consensus (Thesis §4.3): changes of more than one voter in one atomic step.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "raft/core.h"
#include "tests/raft/rig.h"

namespace keel::raft {
namespace {

// Members 1, 2, 3; member 1 leads, its no-op committed and applied.
const MembershipChange kReplace3By4{.add_voters = {MemberId(4)}, .remove = {MemberId(3)}};

Membership Joint() { return {.voters = Ids({1, 2, 4}), .outgoing_voters = Ids({1, 2, 3})}; }

TEST(RaftJointTest, DecisionsNeedBothMajorities) {
  Rig rig(3);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.Change({.add_voters = Ids({4, 5}), .remove = Ids({2, 3})}).ok());
  rig.Sync();
  EXPECT_TRUE(rig.core.status().membership.is_joint());
  // The new voters alone: 1, 4, 5.
  rig.Ack(4, 2);
  rig.Ack(5, 2);
  EXPECT_EQ(rig.core.status().commit, Index(1));
  rig.Ack(2, 2);
  EXPECT_EQ(rig.core.status().commit, Index(2));
}

TEST(RaftJointTest, OldMajorityAloneDecidesNothing) {
  Rig rig(3);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.Change({.add_voters = Ids({4, 5}), .remove = Ids({2, 3})}).ok());
  rig.Sync();
  rig.Ack(2, 2);
  rig.Ack(3, 2);
  EXPECT_EQ(rig.core.status().commit, Index(1));
  rig.Ack(4, 2);
  EXPECT_EQ(rig.core.status().commit, Index(2));
}

TEST(RaftJointTest, LeaderLeavesItWhenItIsAppliedAndRepeatsTheContext) {
  Rig rig(3);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.Change(kReplace3By4, "who").ok());
  rig.Sync();
  rig.Ack(2, 2);
  EXPECT_EQ(rig.core.status().commit, Index(2));
  EXPECT_EQ(rig.core.status().membership, Joint()) << "committed, but not applied";
  EXPECT_EQ(rig.Change({.add_voters = Ids({5})}).message(), kChangeInFlight);
  rig.Apply();
  EXPECT_EQ(rig.core.status().membership, Voters({1, 2, 4}));
  EXPECT_EQ(rig.core.status().membership_index, Index(3));
  EXPECT_EQ(rig.Change({.add_voters = Ids({5})}).message(), kChangeInFlight) << "the leave entry is not applied";
  rig.Sync();
  rig.Ack(2, 3);
  const absl::StatusOr<MembershipEntry> left = DecodeMembershipEntry(rig.applies.back().entries.back().payload.view());
  ASSERT_TRUE(left.ok());
  EXPECT_EQ(*left, (MembershipEntry{.membership = Voters({1, 2, 4}), .context = "who"}));
  rig.Apply();
  EXPECT_TRUE(rig.Change({.add_voters = Ids({5})}).ok());
}

// Bug 36: the member that appended the joint configuration is gone; whoever leads next must end it.
TEST(RaftJointTest, NextLeaderLeavesItToo) {
  InitialState initial = RigState(3, {1, 1});
  initial.memberships = {{.index = Index(2), .membership = Joint(), .context = Payload("who")}};
  Rig rig(RigOptions(), initial);
  rig.core.Campaign();
  rig.Drain();
  // Each group's majority has to agree.
  ASSERT_TRUE(rig.Receive(4, 2, VoteResponse{.granted = true, .pre_vote = true}).ok());
  EXPECT_EQ(rig.core.status().role, Role::kPreCandidate);
  ASSERT_TRUE(rig.Receive(3, 2, VoteResponse{.granted = true, .pre_vote = true}).ok());
  rig.Sync();
  ASSERT_TRUE(rig.Receive(2, 2, VoteResponse{.granted = true}).ok());
  rig.Sync();
  ASSERT_EQ(rig.core.status().role, Role::kLeader);
  // Its no-op is entry 3.
  rig.Ack(2, 2);
  rig.Apply();
  EXPECT_EQ(rig.core.status().membership, Joint()) << "nothing of its own term is committed yet (bug 31)";
  rig.Ack(2, 3);
  rig.Apply();
  EXPECT_EQ(rig.core.status().membership, Voters({1, 2, 4}));
  rig.Sync();
  const AppendWork& work = rig.appends.back();
  ASSERT_EQ(work.entries.size(), 1u);
  EXPECT_EQ(DecodeMembershipEntry(work.entries[0].payload.view())->context, "who");
}

// The same when the state machine had applied the joint configuration before the restart.
TEST(RaftJointTest, AppliedJointConfigurationIsLeftAfterARestart) {
  InitialState initial = RigState(3, {1, 1});
  initial.applied = Index(2);
  initial.membership = Joint();
  initial.memberships = {{.index = Index(2), .membership = Joint(), .context = Payload("who")}};
  Rig rig(RigOptions(), initial);
  rig.Lead();
  rig.Ack(2, 3);
  rig.Apply();
  EXPECT_EQ(rig.core.status().membership, Voters({1, 2, 4}));
  rig.Sync();
  EXPECT_EQ(DecodeMembershipEntry(rig.appends.back().entries[0].payload.view())->context, "who");
}

TEST(RaftJointTest, OneGroupsRefusalLosesTheElection) {
  InitialState initial = RigState(3, {1, 1});
  initial.memberships = {{.index = Index(2), .membership = Joint()}};
  Rig rig(RigOptions(), initial);
  rig.core.Campaign();
  rig.Drain();
  ASSERT_TRUE(rig.Receive(3, 1, VoteResponse{.granted = false, .pre_vote = true}).ok());
  EXPECT_EQ(rig.core.status().role, Role::kPreCandidate);
  ASSERT_TRUE(rig.Receive(2, 1, VoteResponse{.granted = false, .pre_vote = true}).ok());
  EXPECT_EQ(rig.core.status().role, Role::kFollower);
}

// Bug 37, in joint form: not at the entry that enters, not at the append of the one that leaves.
TEST(RaftJointTest, LeaderThatIsReplacedStepsDownWhenTheFinalMembershipIsCommitted) {
  Rig rig(3);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.Change({.add_voters = Ids({4}), .remove = Ids({1})}).ok());
  rig.Sync();
  rig.Ack(2, 2);
  EXPECT_EQ(rig.core.status().commit, Index(1)) << "of the new voters only member 2";
  rig.Ack(3, 2);
  EXPECT_EQ(rig.core.status().commit, Index(2));
  EXPECT_EQ(rig.core.status().role, Role::kLeader);
  rig.Apply();
  EXPECT_EQ(rig.core.status().membership, Voters({2, 3, 4}));
  EXPECT_EQ(rig.core.status().role, Role::kLeader);
  rig.Sync();
  rig.Ack(2, 3);
  EXPECT_EQ(rig.core.status().role, Role::kLeader) << "itself does not count";
  rig.Ack(4, 3);
  EXPECT_EQ(rig.core.status().role, Role::kFollower);
  EXPECT_EQ(rig.core.status().commit, Index(3));
}

TEST(RaftJointTest, DemotedVoterKeepsItsVoteUntilTheEnd) {
  Rig rig(3);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.Change({.add_voters = Ids({4}), .add_learners = Ids({3})}).ok());
  rig.Sync();
  const Membership joint{
      .voters = Ids({1, 2, 4}), .outgoing_voters = Ids({1, 2, 3}), .learners = {}, .learners_next = Ids({3})};
  EXPECT_EQ(rig.core.status().membership, joint);
  // 1 and 4 of the new, 1 and 3 of the old.
  rig.Ack(4, 2);
  EXPECT_EQ(rig.core.status().commit, Index(1));
  rig.Ack(3, 2);
  EXPECT_EQ(rig.core.status().commit, Index(2));
  rig.Apply();
  EXPECT_EQ(rig.core.status().membership, (Membership{.voters = Ids({1, 2, 4}), .learners = Ids({3})}));
}

TEST(RaftJointTest, CheckQuorumLooksAtBothGroups) {
  Rig rig(3);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.Change({.add_voters = Ids({4, 5}), .remove = Ids({2, 3})}).ok());
  rig.Sync();
  const uint64_t term = rig.core.status().term.value();
  for (int tick = 0; tick < 3 * kElectionTicks; ++tick) {
    // The new majority is there, the old one is not.
    ASSERT_TRUE(rig.Receive(4, term, HeartbeatResponse{}).ok());
    ASSERT_TRUE(rig.Receive(5, term, HeartbeatResponse{}).ok());
    rig.Tick();
    if (rig.core.status().role != Role::kLeader) break;
  }
  EXPECT_NE(rig.core.status().role, Role::kLeader);
}

TEST(RaftJointTest, ReadsAreConfirmedByBothGroups) {
  Rig rig(3);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.Change({.add_voters = Ids({4, 5}), .remove = Ids({2, 3})}).ok());
  rig.Sync();
  rig.core.ReadIndex(ReadId(7));
  rig.Drain();
  const uint64_t term = rig.core.status().term.value();
  const uint64_t round = rig.Sent<Heartbeat>(4).back().read_round;
  ASSERT_TRUE(rig.Receive(4, term, HeartbeatResponse{.read_round = round}).ok());
  ASSERT_TRUE(rig.Receive(5, term, HeartbeatResponse{.read_round = round}).ok());
  EXPECT_TRUE(rig.reads.empty());
  ASSERT_TRUE(rig.Receive(2, term, HeartbeatResponse{.read_round = round}).ok());
  ASSERT_EQ(rig.reads.size(), 1u);
  EXPECT_TRUE(rig.reads[0].status.ok());
}

}  // namespace
}  // namespace keel::raft
