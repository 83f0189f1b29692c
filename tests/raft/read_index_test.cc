// Linearizable reads (Thesis §6.4).

#include "tests/raft/rig.h"

namespace keel::raft {
namespace {

// A leader of three whose no-op is committed.
void LeadAndCommit(Rig& rig) {
  rig.Lead();
  rig.Ack(2, 1);
  rig.Ack(3, 1);
  ASSERT_EQ(rig.core.status().commit, Index(1));
  rig.Clear();
}

uint64_t RoundSent(const Rig& rig, uint64_t to) {
  const auto beats = rig.Sent<Heartbeat>(to);
  return beats.empty() ? 0 : beats.back().read_round;
}

TEST(RaftReadIndexTest, ReadNeedsARoundThatStartedAfterIt) {
  Rig rig(3);
  LeadAndCommit(rig);
  rig.core.ReadIndex(ReadId(7));
  rig.Drain();
  EXPECT_TRUE(rig.reads.empty());
  const uint64_t round = RoundSent(rig, 2);
  ASSERT_GT(round, 0u);
  ASSERT_TRUE(rig.Receive(2, 1, HeartbeatResponse{.read_round = round - 1}).ok());
  EXPECT_TRUE(rig.reads.empty());
  ASSERT_TRUE(rig.Receive(2, 1, HeartbeatResponse{.read_round = round}).ok());
  ASSERT_EQ(rig.reads.size(), 1u);
  EXPECT_EQ(rig.reads[0].id, ReadId(7));
  EXPECT_TRUE(rig.reads[0].status.ok());
  EXPECT_EQ(rig.reads[0].index, Index(1));
}

TEST(RaftReadIndexTest, AppendResponsesConfirmAsWell) {
  Rig rig(3);
  LeadAndCommit(rig);
  rig.core.ReadIndex(ReadId(7));
  rig.Drain();
  rig.Ack(3, 1, RoundSent(rig, 3));
  EXPECT_EQ(rig.reads.size(), 1u);
}

TEST(RaftReadIndexTest, ReadsThatArriveTogetherShareARoundAndLaterOnesTakeTheNext) {
  Rig rig(3);
  LeadAndCommit(rig);
  rig.core.ReadIndex(ReadId(1));
  rig.core.ReadIndex(ReadId(2));
  rig.Drain();
  EXPECT_EQ(rig.Sent<Heartbeat>(2).size(), 1u);
  const uint64_t round = RoundSent(rig, 2);
  rig.core.ReadIndex(ReadId(3));
  rig.Drain();
  EXPECT_EQ(rig.Sent<Heartbeat>(2).size(), 1u);
  ASSERT_TRUE(rig.Receive(2, 1, HeartbeatResponse{.read_round = round}).ok());
  ASSERT_EQ(rig.reads.size(), 2u);  // The third came after the round had started.
  ASSERT_GT(RoundSent(rig, 2), round);
  ASSERT_TRUE(rig.Receive(2, 1, HeartbeatResponse{.read_round = RoundSent(rig, 2)}).ok());
  EXPECT_EQ(rig.reads.size(), 3u);
}

// Bug: a new leader does not know yet what its predecessors committed.
TEST(RaftReadIndexTest, ReadIsHeldUntilTheFirstCommitOfTheTerm) {
  Rig rig(3);
  rig.Lead();
  rig.core.ReadIndex(ReadId(7));
  rig.Tick();
  const uint64_t early = RoundSent(rig, 2);
  ASSERT_TRUE(rig.Receive(2, 1, HeartbeatResponse{.read_round = early}).ok());
  EXPECT_TRUE(rig.reads.empty());
  rig.Ack(2, 1);
  ASSERT_GT(RoundSent(rig, 2), early);
  ASSERT_TRUE(rig.Receive(2, 1, HeartbeatResponse{.read_round = RoundSent(rig, 2)}).ok());
  ASSERT_EQ(rig.reads.size(), 1u);
  EXPECT_EQ(rig.reads[0].index, Index(1));
}

TEST(RaftReadIndexTest, SingleMemberNeedsNobody) {
  Rig rig(1);
  rig.Lead();
  rig.core.ReadIndex(ReadId(7));
  rig.Drain();
  ASSERT_EQ(rig.reads.size(), 1u);
  EXPECT_TRUE(rig.reads[0].status.ok());
}

TEST(RaftReadIndexTest, LeaderThatStepsDownFailsItsReads) {
  Rig rig(3);
  LeadAndCommit(rig);
  rig.core.ReadIndex(ReadId(1));
  rig.Drain();
  rig.core.ReadIndex(ReadId(2));
  ASSERT_TRUE(rig.Receive(2, 9, HeartbeatResponse{}).ok());
  ASSERT_EQ(rig.reads.size(), 2u);
  for (const ReadResult& read : rig.reads) EXPECT_EQ(read.status.code(), absl::StatusCode::kUnavailable);
}

TEST(RaftReadIndexTest, RoundIsRepeatedWithTheNextHeartbeat) {
  Rig rig(3);
  LeadAndCommit(rig);
  rig.core.ReadIndex(ReadId(1));
  rig.Drain();
  const uint64_t round = RoundSent(rig, 2);
  rig.Clear();
  rig.Tick();
  EXPECT_EQ(RoundSent(rig, 2), round);
}

TEST(RaftReadIndexTest, LeaderAnswersAFollowersRead) {
  Rig rig(3);
  LeadAndCommit(rig);
  ASSERT_TRUE(rig.Receive(3, 1, ReadIndexRequest{.id = ReadId(99)}).ok());
  ASSERT_TRUE(rig.Receive(2, 1, HeartbeatResponse{.read_round = RoundSent(rig, 2)}).ok());
  ASSERT_EQ(rig.Sent<ReadIndexResponse>(3).size(), 1u);
  EXPECT_EQ(rig.Sent<ReadIndexResponse>(3)[0].id, ReadId(99));
  EXPECT_EQ(rig.Sent<ReadIndexResponse>(3)[0].index, Index(1));
}

// --- Follower.

TEST(RaftReadIndexTest, WithoutALeaderAReadFailsAtOnce) {
  Rig rig(3);
  rig.core.ReadIndex(ReadId(7));
  rig.Drain();
  ASSERT_EQ(rig.reads.size(), 1u);
  EXPECT_EQ(rig.reads[0].status.code(), absl::StatusCode::kUnavailable);
}

TEST(RaftReadIndexTest, FollowerAsksItsLeaderAndAnswersOnce) {
  Rig rig(3);
  ASSERT_TRUE(rig.Receive(2, 1, Heartbeat{}).ok());
  rig.Sync();
  rig.core.ReadIndex(ReadId(7));
  rig.Drain();
  ASSERT_EQ(rig.Sent<ReadIndexRequest>(2).size(), 1u);
  const ReadIndexResponse answer{.id = rig.Sent<ReadIndexRequest>(2)[0].id, .index = Index(30)};
  ASSERT_TRUE(rig.Receive(3, 1, answer).ok());  // Not from whom it was asked.
  EXPECT_TRUE(rig.reads.empty());
  ASSERT_TRUE(rig.Receive(2, 1, answer).ok());
  ASSERT_TRUE(rig.Receive(2, 1, answer).ok());
  ASSERT_EQ(rig.reads.size(), 1u);
  EXPECT_EQ(rig.reads[0].id, ReadId(7));
  EXPECT_EQ(rig.reads[0].index, Index(30));
}

TEST(RaftReadIndexTest, ForwardedReadFailsAfterAnElectionTimeoutWhateverTheLeaderDoes) {
  Rig rig(3);
  ASSERT_TRUE(rig.Receive(2, 1, Heartbeat{}).ok());
  rig.Sync();
  rig.core.ReadIndex(ReadId(7));
  for (int i = 0; i < kElectionTicks; ++i) {
    EXPECT_TRUE(rig.reads.empty());
    rig.Tick();
    ASSERT_TRUE(rig.Receive(2, 1, Heartbeat{}).ok());
  }
  ASSERT_EQ(rig.reads.size(), 1u);
  EXPECT_EQ(rig.reads[0].status.code(), absl::StatusCode::kUnavailable);
}

// Bug: an answer of the old leader, or to the former self of this member, serves a new read.
TEST(RaftReadIndexTest, LeaderChangeFailsForwardedReadsAndDropsLateAnswers) {
  Rig rig(3);
  ASSERT_TRUE(rig.Receive(2, 1, Heartbeat{}).ok());
  rig.Sync();
  rig.core.ReadIndex(ReadId(7));
  rig.Drain();
  const ReadId number = rig.Sent<ReadIndexRequest>(2)[0].id;
  ASSERT_TRUE(rig.Receive(3, 2, Heartbeat{}).ok());
  ASSERT_EQ(rig.reads.size(), 1u);
  EXPECT_FALSE(rig.reads[0].status.ok());
  ASSERT_TRUE(rig.Receive(2, 1, ReadIndexResponse{.id = number, .index = Index(5)}).ok());
  EXPECT_EQ(rig.reads.size(), 1u);
}

TEST(RaftReadIndexTest, NumbersOnTheWireDifferBetweenStarts) {
  std::vector<ReadId> numbers;
  for (uint64_t seed : {1, 2}) {
    CoreOptions options = RigOptions();
    options.seed = seed;
    Rig rig(options, RigState(3));
    ASSERT_TRUE(rig.Receive(2, 1, Heartbeat{}).ok());
    rig.Sync();
    rig.core.ReadIndex(ReadId(1));
    rig.Drain();
    numbers.push_back(rig.Sent<ReadIndexRequest>(2).at(0).id);
  }
  EXPECT_NE(numbers[0], numbers[1]);
}

}  // namespace
}  // namespace keel::raft
