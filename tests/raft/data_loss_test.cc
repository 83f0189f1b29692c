// A member whose log is behind what it once acknowledged: a directory restored or wiped under the same id.

#include <gtest/gtest.h>

#include "raft/core.h"
#include "tests/raft/rig.h"

namespace keel::raft {
namespace {

// In the leader's own term, a heartbeat commits only what this member acknowledged in it.
void LoseData(Rig* rig) { EXPECT_TRUE(absl::IsDataLoss(rig->Receive(2, 4, Heartbeat{.commit = {Term(4), Index(7)}}))); }

TEST(RaftDataLossTest, CommitBeyondTheLogShowsIt) {
  Rig rig(RigOptions(), RigState(3, {3, 3, 4}));
  ASSERT_TRUE(rig.Receive(2, 4, Heartbeat{.commit = {Term(4), Index(3)}}).ok());
  EXPECT_FALSE(rig.core.status().data_loss);
  EXPECT_TRUE(absl::IsDataLoss(rig.Receive(2, 4, Heartbeat{.commit = {Term(4), Index(4)}})));
  EXPECT_TRUE(rig.core.status().data_loss);
  EXPECT_EQ(rig.core.status().commit, Index(3));
}

TEST(RaftDataLossTest, SuchAMemberSaysNothingMore) {
  Rig rig(RigOptions(), RigState(3, {3, 3, 4}));
  LoseData(&rig);
  rig.Sync();
  rig.Clear();
  EXPECT_TRUE(absl::IsDataLoss(rig.Receive(2, 4, Heartbeat{})));
  EXPECT_TRUE(absl::IsDataLoss(rig.Receive(3, 9, VoteRequest{.last = {Term(8), Index(90)}})));
  EXPECT_TRUE(absl::IsDataLoss(rig.Receive(3, 9, VoteRequest{.last = {Term(8), Index(90)}, .pre_vote = true})));
  EXPECT_TRUE(
      absl::IsDataLoss(rig.Receive(2, 4, AppendRequest{.prev = {Term(4), Index(3)}, .entries = Entries(4, {4})})));
  EXPECT_FALSE(rig.core.OfferSnapshot(MemberId(2), Term(4),
                                      {.last = {Term(4), Index(50)}, .membership = RigState(3).membership}));
  EXPECT_TRUE(absl::IsUnavailable(rig.Propose("x")));
  rig.core.ReadIndex(ReadId(1));
  rig.core.Campaign();
  rig.Tick(10 * kElectionTicks);
  rig.Sync();
  EXPECT_TRUE(rig.sent.empty());
  EXPECT_TRUE(rig.appends.empty());
  ASSERT_EQ(rig.reads.size(), 1u);
  EXPECT_FALSE(rig.reads[0].status.ok());
}

// What waited for the disk must not leave either.
TEST(RaftDataLossTest, NoAcknowledgementIsLeftBehind) {
  Rig rig(RigOptions(), RigState(3, {3, 3, 4}));
  ASSERT_TRUE(rig.core
                  .Step({.from = MemberId(2),
                         .to = MemberId(1),
                         .term = Term(4),
                         .body = AppendRequest{.prev = {Term(4), Index(3)}, .entries = Entries(4, {4})}})
                  .ok());
  LoseData(&rig);
  rig.Sync();
  EXPECT_TRUE(rig.Sent<AppendResponse>(2).empty());
}

TEST(RaftDataLossTest, LeaderOfALaterTermCountsToo) {
  Rig rig(RigOptions(), RigState(3, {3, 3, 4}));
  // It has seen us in term 6, of which our disk knows nothing.
  EXPECT_TRUE(absl::IsDataLoss(rig.Receive(2, 6, Heartbeat{.commit = {Term(6), Index(7)}})));
}

TEST(RaftDataLossTest, OldTermsProveNothing) {
  Rig rig(RigOptions(), RigState(3, {3, 3, 4}));
  EXPECT_TRUE(rig.Receive(2, 3, Heartbeat{.commit = {Term(3), Index(7)}}).ok());
  EXPECT_FALSE(rig.core.status().data_loss);
}

// An append's commit is the leader's, whatever this member has.
TEST(RaftDataLossTest, CommitOfAnAppendProvesNothing) {
  Rig rig(RigOptions(), RigState(3, {3, 3, 4}));
  EXPECT_TRUE(rig.Receive(2, 4, AppendRequest{.prev = {Term(4), Index(3)}, .commit = Index(70)}).ok());
  EXPECT_TRUE(rig.Receive(2, 4, AppendRequest{.prev = {Term(4), Index(60)}, .commit = Index(70)}).ok());
  EXPECT_FALSE(rig.core.status().data_loss);
}

// The lost write had replaced an entry of an earlier leader, which is back: the log is as long as the leader believes,
// and still another one.
TEST(RaftDataLossTest, WhatALostWriteHadReplacedShowsIt) {
  Rig rig(RigOptions(), RigState(3, {1, 5}));
  EXPECT_TRUE(absl::IsDataLoss(rig.Receive(2, 6, Heartbeat{.commit = {Term(6), Index(2)}})));
  EXPECT_TRUE(rig.core.status().data_loss);
  EXPECT_EQ(rig.core.status().commit, Index(0));
}

// The commit names its entry, which vouches for those before it, whatever terms they are of.
TEST(RaftDataLossTest, AMemberThatComesBackCommitsByHeartbeatsAtOnce) {
  Rig rig(RigOptions(), RigState(3, {1, 5, 5}));
  ASSERT_TRUE(rig.Receive(2, 6, Heartbeat{.commit = {Term(5), Index(2)}}).ok());
  EXPECT_EQ(rig.core.status().commit, Index(2));
}

TEST(RaftDataLossTest, ACommitThatCannotBeProvesNothing) {
  Rig rig(RigOptions(), RigState(3, {3, 3, 4}));
  EXPECT_EQ(rig.Receive(2, 4, Heartbeat{.commit = {Term(0), Index(7)}}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(rig.Receive(2, 4, Heartbeat{.commit = {Term(4), Index(0)}}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(rig.Receive(2, 4, Heartbeat{.commit = {Term(5), Index(7)}}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(rig.core.status().data_loss);
}

// While a snapshot is being installed the log is about to be another.
TEST(RaftDataLossTest, NothingIsConcludedDuringAnInstall) {
  Rig rig(RigOptions(), RigState(3, {3, 3, 4}));
  const SnapshotMeta meta{.last = {Term(4), Index(50)}, .membership = RigState(3).membership};
  ASSERT_TRUE(rig.core.OfferSnapshot(MemberId(2), Term(4), meta));
  EXPECT_TRUE(rig.Receive(2, 4, Heartbeat{.commit = {Term(4), Index(50)}}).ok());
  rig.Sync();
  rig.core.OnSnapshotInstalled(meta);
  EXPECT_TRUE(rig.Receive(2, 4, Heartbeat{.commit = {Term(4), Index(50)}}).ok());
}

// The leader's side: a heartbeat never claims more than the follower's own word, so that no healthy member is accused.
TEST(RaftDataLossTest, HeartbeatCommitsNoMoreThanWasAcknowledged) {
  Rig rig(3);
  rig.Lead();
  ASSERT_TRUE(rig.Propose("x").ok());
  rig.Sync();
  rig.Ack(2, 2);
  EXPECT_EQ(rig.core.status().commit, Index(2));
  rig.Tick();
  ASSERT_FALSE(rig.Sent<Heartbeat>(3).empty());
  for (const Heartbeat& heartbeat : rig.Sent<Heartbeat>(3)) EXPECT_EQ(heartbeat.commit, EntryId());
  EXPECT_EQ(rig.Sent<Heartbeat>(2).back().commit, (EntryId{Term(1), Index(2)}));
}

}  // namespace
}  // namespace keel::raft
