// Handing leadership over (Thesis §3.10).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "raft/core.h"
#include "tests/raft/rig.h"

namespace keel::raft {
namespace {

// Members 1, 2, 3; member 1 leads, its no-op committed and applied everywhere.
TEST(RaftTransferTest, TargetThatHasEverythingIsToldAtOnce) {
  Rig rig(3);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.core.TransferLeadership(MemberId(2)).ok());
  rig.Drain();
  EXPECT_EQ(rig.Sent<TimeoutNow>(2).size(), 1u);
  EXPECT_EQ(rig.core.status().transfer_target, MemberId(2));
  // Its election ends the matter; nobody refuses it out of loyalty, the leader least.
  ASSERT_TRUE(rig.Receive(2, 2, VoteRequest{.last = {Term(1), Index(1)}, .transfer = true}).ok());
  rig.Sync();
  ASSERT_EQ(rig.Sent<VoteResponse>(2).size(), 1u);
  EXPECT_TRUE(rig.Sent<VoteResponse>(2)[0].granted);
  EXPECT_EQ(rig.core.status().role, Role::kFollower);
}

TEST(RaftTransferTest, TargetThatLagsIsBroughtUpFirst) {
  Rig rig(3);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.Propose("x").ok());
  rig.Sync();
  ASSERT_TRUE(rig.core.TransferLeadership(MemberId(2)).ok());
  rig.Drain();
  EXPECT_TRUE(rig.Sent<TimeoutNow>(2).empty());
  rig.Ack(2, 2);
  EXPECT_EQ(rig.Sent<TimeoutNow>(2).size(), 1u);
}

// Bug 39.
TEST(RaftTransferTest, EndsWithinAnElectionTimeoutAndProposalsGoOn) {
  Rig rig(3);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.Propose("x").ok());
  ASSERT_TRUE(rig.core.TransferLeadership(MemberId(2)).ok());
  rig.Sync();
  const uint64_t term = rig.core.status().term.value();
  for (int tick = 0; tick < kElectionTicks; ++tick) {
    EXPECT_TRUE(absl::IsUnavailable(rig.Propose("y"))) << tick;
    EXPECT_TRUE(absl::IsUnavailable(rig.Change({.add_voters = Ids({4})}))) << tick;
    // The target never catches up; the other one keeps the leader in office.
    ASSERT_TRUE(rig.Receive(3, term, HeartbeatResponse{}).ok());
    rig.Tick();
  }
  EXPECT_EQ(rig.core.status().transfer_target, kNobody);
  EXPECT_EQ(rig.core.status().role, Role::kLeader);
  EXPECT_TRUE(rig.Propose("y").ok());
  EXPECT_TRUE(rig.Sent<TimeoutNow>(2).empty());
}

TEST(RaftTransferTest, LostTimeoutNowIsRepeated) {
  Rig rig(3);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.core.TransferLeadership(MemberId(2)).ok());
  rig.Drain();
  rig.Clear();
  rig.Tick();
  EXPECT_EQ(rig.Sent<TimeoutNow>(2).size(), 1u);
}

TEST(RaftTransferTest, WhatIsRefused) {
  Rig rig(3);
  EXPECT_EQ(rig.core.TransferLeadership(MemberId(2)).message(), kNotLeader);
  rig.LeadAndCommit();
  EXPECT_TRUE(absl::IsNotFound(rig.core.TransferLeadership(MemberId(7))));
  EXPECT_TRUE(rig.core.TransferLeadership(MemberId(1)).ok());
  EXPECT_EQ(rig.core.status().transfer_target, kNobody) << "it leads already";
  ASSERT_TRUE(rig.core.TransferLeadership(MemberId(2)).ok());
  EXPECT_TRUE(rig.core.TransferLeadership(MemberId(2)).ok()) << "the same again joins it";
  EXPECT_TRUE(absl::IsFailedPrecondition(rig.core.TransferLeadership(MemberId(3))));
}

TEST(RaftTransferTest, TargetStandsAtOnceWithoutAPreVote) {
  Rig rig(3);
  ASSERT_TRUE(rig.Receive(2, 4, Heartbeat{}).ok());
  rig.Sync();
  rig.Clear();
  ASSERT_TRUE(rig.Receive(2, 4, TimeoutNow{}).ok());
  EXPECT_EQ(rig.core.status().role, Role::kCandidate);
  EXPECT_EQ(rig.core.status().term, Term(5));
  rig.Sync();
  ASSERT_EQ(rig.Sent<VoteRequest>(3).size(), 1u);
  EXPECT_FALSE(rig.Sent<VoteRequest>(3)[0].pre_vote);
  EXPECT_TRUE(rig.Sent<VoteRequest>(3)[0].transfer);
  ASSERT_EQ(rig.Sent<VoteRequest>(2).size(), 1u);
}

TEST(RaftTransferTest, OnlyTheLeaderOfTheTermCanOrderIt) {
  Rig rig(3);
  ASSERT_TRUE(rig.Receive(2, 4, Heartbeat{}).ok());
  rig.Sync();
  ASSERT_TRUE(rig.Receive(3, 4, TimeoutNow{}).ok());
  EXPECT_EQ(rig.core.status().role, Role::kFollower);
  ASSERT_TRUE(rig.Receive(2, 3, TimeoutNow{}).ok());
  EXPECT_EQ(rig.core.status().role, Role::kFollower);
  EXPECT_EQ(rig.core.status().term, Term(4));
}

TEST(RaftTransferTest, VoterLoyalToItsLeaderYieldsToATransfer) {
  Rig rig(3);
  ASSERT_TRUE(rig.Receive(2, 4, Heartbeat{}).ok());
  rig.Sync();
  rig.Clear();
  ASSERT_TRUE(rig.Receive(3, 5, VoteRequest{.last = {Term(4), Index(1)}}).ok());
  rig.Sync();
  EXPECT_TRUE(rig.Sent<VoteResponse>(3).empty()) << "sticky";
  ASSERT_TRUE(rig.Receive(3, 5, VoteRequest{.last = {Term(4), Index(1)}, .transfer = true}).ok());
  rig.Sync();
  ASSERT_EQ(rig.Sent<VoteResponse>(3).size(), 1u);
  EXPECT_TRUE(rig.Sent<VoteResponse>(3)[0].granted);
}

// Bug 25: the old leader's reads rest on answers to rounds begun after them, never on a lease.
TEST(RaftTransferTest, ReadsDuringATransferAreStillProvenByAQuorum) {
  Rig rig(3);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.core.TransferLeadership(MemberId(2)).ok());
  rig.core.ReadIndex(ReadId(7));
  rig.Drain();
  EXPECT_TRUE(rig.reads.empty());
  // The target has won meanwhile: the read must not be answered by this member any more.
  ASSERT_TRUE(rig.Receive(2, 2, AppendRequest{.prev = {Term(1), Index(1)}, .entries = Entries(2, {2})}).ok());
  ASSERT_EQ(rig.reads.size(), 1u);
  EXPECT_TRUE(absl::IsUnavailable(rig.reads[0].status));
}

TEST(RaftTransferTest, ForwardedProposalsWaitAndAreNotLostWhenItFails) {
  Rig rig(3);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.core.TransferLeadership(MemberId(2)).ok());
  const uint64_t term = rig.core.status().term.value();
  ASSERT_TRUE(rig.Receive(3, term, ForwardProposal{.payloads = {Payload("a"), Payload("b")}}).ok());
  EXPECT_EQ(rig.core.status().last.index, Index(1));
  for (int tick = 0; tick < kElectionTicks; ++tick) {
    ASSERT_TRUE(rig.Receive(3, term, HeartbeatResponse{}).ok());
    rig.Tick();
  }
  EXPECT_EQ(rig.core.status().last.index, Index(3));
}

TEST(RaftTransferTest, ForwardedProposalsFollowTheNewLeader) {
  Rig rig(3);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.core.TransferLeadership(MemberId(2)).ok());
  ASSERT_TRUE(rig.Receive(3, 1, ForwardProposal{.payloads = {Payload("a"), Payload("b")}}).ok());
  ASSERT_TRUE(rig.Receive(2, 2, VoteRequest{.last = {Term(1), Index(1)}, .transfer = true}).ok());
  rig.Sync();
  EXPECT_TRUE(rig.Sent<ForwardProposal>(2).empty());
  ASSERT_TRUE(rig.Receive(2, 2, AppendRequest{.prev = {Term(1), Index(1)}, .entries = Entries(2, {2})}).ok());
  rig.Sync();
  ASSERT_EQ(rig.Sent<ForwardProposal>(2).size(), 1u);
  EXPECT_EQ(rig.Sent<ForwardProposal>(2)[0].payloads.size(), 2u);
  EXPECT_EQ(rig.core.status().last.index, Index(2));
}

}  // namespace
}  // namespace keel::raft
