#include "raft/node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/node/cluster.h"

namespace keel::raft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

ClusterOptions Fast(int members = 3) {
  ClusterOptions options;
  options.members = members;
  options.node.tick = absl::Milliseconds(10);
  return options;
}

// Waits for the answer of a read.
absl::StatusOr<Index> Read(Node& node, absl::Time deadline) {
  std::promise<absl::StatusOr<Index>> promise;
  node.ReadIndex(deadline, [&promise](absl::Status status, Index index) {
    promise.set_value(status.ok() ? absl::StatusOr<Index>(index) : absl::StatusOr<Index>(status));
  });
  return promise.get_future().get();
}

TEST(NodeTest, ASingleMemberLeadsItselfAndApplies) {
  Cluster cluster(Fast(1));
  cluster.StartAll();
  EXPECT_TRUE(cluster.ProposeAndWait(1, "a"));
  EXPECT_TRUE(cluster.ProposeAndWait(1, "b"));
  EXPECT_THAT(cluster.machine(1).state().commands, ElementsAre("a", "b"));
  EXPECT_EQ(cluster.node(1).leader(), MemberId(1));
  EXPECT_TRUE(Read(cluster.node(1), Soon()).ok());
}

TEST(NodeTest, ThreeMembersElectALeaderAndReplicate) {
  Cluster cluster(Fast());
  cluster.StartAll();
  const int leader = cluster.WaitForLeader();
  std::vector<std::string> expected;
  for (int i = 0; i < 200; ++i) {
    expected.push_back(absl::StrCat("command ", i));
    ASSERT_TRUE(cluster.node(leader).Propose(Payload(expected.back()), Soon()).ok());
  }
  ASSERT_TRUE(cluster.WaitUntilAllHave(expected.back()));
  for (int id : {1, 2, 3}) EXPECT_EQ(cluster.machine(id).state().commands, expected);
  const NodeStatus status = cluster.node(leader).status();
  EXPECT_EQ(status.core.role, Role::kLeader);
  EXPECT_EQ(status.core.leader, MemberId(static_cast<uint64_t>(leader)));
  EXPECT_GE(cluster.node(leader).commit(), Index(201));
  ASSERT_TRUE(Read(cluster.node(leader), Soon()).ok());
  EXPECT_EQ(cluster.node(leader).applied(), cluster.machine(leader).state().applied.index);
}

// Whoever has its answer may ask at once how far the member is.
TEST(NodeTest, WhatIsAppliedIsKnownToBeCommitted) {
  Cluster cluster(Fast());
  cluster.StartAll();
  const int leader = cluster.WaitForLeader();
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(cluster.ProposeAndWait(leader, absl::StrCat(i)));
    const Index applied = cluster.machine(leader).state().applied.index;
    ASSERT_GE(cluster.node(leader).commit(), applied);
    ASSERT_GE(cluster.node(leader).status().core.commit, applied);
  }
}

TEST(NodeTest, AProposalAtAFollowerReachesTheLeader) {
  Cluster cluster(Fast());
  cluster.StartAll();
  const int follower = cluster.WaitForLeader() % 3 + 1;
  EXPECT_TRUE(cluster.ProposeAndWait(follower, "from a follower"));
  EXPECT_TRUE(cluster.WaitUntilAllHave("from a follower"));
}

TEST(NodeTest, AProposalMadeBeforeTheElectionIsNotLost) {
  Cluster cluster(Fast());
  cluster.Start(1);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(cluster.node(1).Propose(Payload(absl::StrCat("early ", i)), Soon()).ok());
  cluster.Start(2);
  // Forwarded to a leader that is just losing its place they may be lost, as ever; alone in the race they are not.
  ASSERT_TRUE(cluster.WaitUntilAllHave("early 4"));
  EXPECT_THAT(cluster.machine(1).state().commands, ElementsAre("early 0", "early 1", "early 2", "early 3", "early 4"));
}

// A leader that has just come back is heard by its heartbeats before this member's own connection to it stands.
TEST(NodeTest, AProposalWaitsUntilTheLeaderIsReached) {
  Cluster cluster(Fast());
  cluster.StartAll();
  const int leader = cluster.WaitForLeader();
  const int follower = leader % 3 + 1;
  cluster.CutOneWay(follower, leader);
  ASSERT_TRUE(cluster.node(follower).Propose(Payload("patient"), Soon()).ok());
  // By the third member's entry the follower has had its turns.
  ASSERT_TRUE(cluster.ProposeAndWait(leader, "meanwhile"));
  ASSERT_TRUE(cluster.WaitUntil([&] { return cluster.node(follower).status().pending_proposals == 1; }));
  EXPECT_FALSE(cluster.machine(leader).Has("patient"));
  cluster.Heal();
  EXPECT_TRUE(cluster.WaitUntilAllHave("patient"));
}

TEST(NodeTest, AProposalIsDroppedUnproposedAtItsDeadline) {
  Cluster cluster(Fast());
  cluster.Start(1);
  ASSERT_TRUE(cluster.node(1).Propose(Payload("too late"), Clock::Real().Now() + absl::Milliseconds(50)).ok());
  ASSERT_TRUE(cluster.node(1).Propose(Payload("patient"), Soon()).ok());
  // The read's deadline is the later one, and both are looked at with the same ticks.
  EXPECT_EQ(Read(cluster.node(1), Clock::Real().Now() + absl::Milliseconds(200)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  cluster.Start(2);
  cluster.Start(3);
  ASSERT_TRUE(cluster.WaitUntilAllHave("patient"));
  EXPECT_FALSE(cluster.machine(1).Has("too late"));
}

TEST(NodeTest, TooManyProposalsAreRefused) {
  ClusterOptions options = Fast();
  options.node.mailbox_max = 8;
  Cluster cluster(options);
  cluster.Start(1);  // Without a leader they pile up.
  int accepted = 0;
  absl::Status status;
  while ((status = cluster.node(1).Propose(Payload("x"), Soon())).ok()) {
    ASSERT_LE(++accepted, 17);  // A mailbox full, and as many that wait for a leader.
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GE(accepted, 8);
}

// What was applied anywhere before a read began is there when it ends, on whatever member.
TEST(NodeTest, ReadsAreLinearizableOnEveryMember) {
  Cluster cluster(Fast());
  cluster.StartAll();
  const int leader = cluster.WaitForLeader();
  for (int i = 0; i < 60; ++i) {
    const std::string command = absl::StrCat("c", i);
    ASSERT_TRUE(cluster.ProposeAndWait(leader, command));
    const int reader = i % 3 + 1;
    const auto index = Read(cluster.node(reader), Soon());
    ASSERT_TRUE(index.ok()) << index.status();
    EXPECT_TRUE(cluster.machine(reader).Has(command)) << command << " at member " << reader;
    EXPECT_GE(cluster.node(reader).applied(), *index);
  }
}

TEST(NodeTest, ReadsWithoutAQuorumEndAtTheirDeadline) {
  Cluster cluster(Fast());
  cluster.StartAll();
  const int leader = cluster.WaitForLeader();
  for (int id : {1, 2, 3}) {
    if (id != leader) cluster.Stop(id);
  }
  EXPECT_EQ(Read(cluster.node(leader), Clock::Real().Now() + absl::Milliseconds(300)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST(NodeTest, AReadSurvivesAChangeOfLeader) {
  Cluster cluster(Fast());
  cluster.StartAll();
  const int leader = cluster.WaitForLeader();
  ASSERT_TRUE(cluster.ProposeAndWait(leader, "before"));
  const int reader = leader % 3 + 1;
  cluster.Cut(leader, reader);
  cluster.Cut(leader, reader % 3 + 1 == leader ? leader % 3 + 2 : reader % 3 + 1);
  std::promise<absl::Status> promise;
  cluster.node(reader).ReadIndex(Soon(), [&](absl::Status status, Index) { promise.set_value(status); });
  cluster.Stop(leader);
  EXPECT_TRUE(promise.get_future().get().ok());
  EXPECT_TRUE(cluster.machine(reader).Has("before"));
}

TEST(NodeTest, WaitAppliedEndsWithTheEntryTheDeadlineOrTheNode) {
  Cluster cluster(Fast(1));
  cluster.StartAll();
  ASSERT_TRUE(cluster.ProposeAndWait(1, "a"));
  const Index applied = cluster.machine(1).state().applied.index;
  std::promise<absl::Status> past, next, expired, stopped;
  const auto into = [](std::promise<absl::Status>& promise) {
    return [&promise](absl::Status status, Index) { promise.set_value(status); };
  };
  cluster.node(1).WaitApplied(applied, Soon(), into(past));
  EXPECT_TRUE(past.get_future().get().ok());
  cluster.node(1).WaitApplied(applied + 1, Soon(), into(next));
  ASSERT_TRUE(cluster.ProposeAndWait(1, "b"));
  EXPECT_TRUE(next.get_future().get().ok());
  cluster.node(1).WaitApplied(applied + 100, Clock::Real().Now() + absl::Milliseconds(30), into(expired));
  EXPECT_EQ(expired.get_future().get().code(), absl::StatusCode::kDeadlineExceeded);
  cluster.node(1).WaitApplied(applied + 100, Soon(), into(stopped));
  cluster.Stop(1);
  EXPECT_EQ(stopped.get_future().get().code(), absl::StatusCode::kUnavailable);
}

TEST(NodeTest, StopAnswersWhatWaitsAndRefusesWhatComes) {
  Cluster cluster(Fast());
  cluster.Start(1);
  Node& node = cluster.node(1);
  std::promise<absl::Status> waiting, late;
  node.ReadIndex(Soon(), [&](absl::Status status, Index) { waiting.set_value(status); });
  node.Stop();
  EXPECT_EQ(waiting.get_future().get().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(node.Propose(Payload("x"), Soon()).code(), absl::StatusCode::kUnavailable);
  node.ReadIndex(Soon(), [&](absl::Status status, Index) { late.set_value(status); });
  EXPECT_EQ(late.get_future().get().code(), absl::StatusCode::kUnavailable);
  bool decided = false;
  node.OfferSnapshot(MemberId(2), Term(1), {}, [&](bool install) {
    decided = true;
    EXPECT_FALSE(install);
  });
  EXPECT_TRUE(decided);
  node.Stop();
}

TEST(NodeTest, EverythingIsThereAfterAllMembersRestart) {
  Cluster cluster(Fast());
  cluster.StartAll();
  std::vector<std::string> expected;
  for (int round = 0; round < 3; ++round) {
    const int leader = cluster.WaitForLeader();
    for (int i = 0; i < 50; ++i) {
      expected.push_back(absl::StrCat("r", round, "c", i));
      ASSERT_TRUE(cluster.node(leader).Propose(Payload(expected.back()), Soon()).ok());
    }
    ASSERT_TRUE(cluster.WaitUntilAllHave(expected.back()));
    if (round == 1) cluster.machine(1).Flush();  // One member replays less than the others.
    for (int id : {1, 2, 3}) cluster.Stop(id);
    cluster.StartAll();
  }
  ASSERT_TRUE(cluster.ProposeAndWait(cluster.WaitForLeader(), "last"));
  ASSERT_TRUE(cluster.WaitUntilAllHave("last"));
  expected.push_back("last");
  for (int id : {1, 2, 3}) EXPECT_EQ(cluster.machine(id).state().commands, expected);
}

// Whoever proposes retries what it has not seen applied; nothing acknowledged is lost, and members never differ.
TEST(NodeTest, LeadersComeAndGoWhileProposalsContinue) {
  Cluster cluster(Fast());
  cluster.StartAll();
  std::vector<std::string> acknowledged;
  for (int round = 0; round < 6; ++round) {
    const int leader = cluster.WaitForLeader();
    for (int i = 0; i < 30; ++i) {
      const std::string command = absl::StrCat("r", round, "c", i);
      ASSERT_TRUE(cluster.ProposeAndWait(leader, command));
      acknowledged.push_back(command);
    }
    // Some more that nobody waits for; they may or may not survive.
    for (int i = 0; i < 30; ++i) {
      ASSERT_TRUE(cluster.node(leader).Propose(Payload(absl::StrCat("r", round, "x", i)), Soon()).ok());
    }
    cluster.Stop(leader);
    ASSERT_TRUE(cluster.ProposeAndWait(cluster.WaitForLeader(), absl::StrCat("without ", leader, " in ", round)));
    cluster.Start(leader);
  }
  ASSERT_TRUE(cluster.ProposeAndWait(cluster.WaitForLeader(), "end"));
  ASSERT_TRUE(cluster.WaitUntilAllHave("end"));
  const std::vector<std::string> reference = cluster.machine(1).state().commands;
  for (int id : {2, 3}) {
    std::vector<std::string> commands = cluster.machine(id).state().commands;
    commands.resize(std::min(commands.size(), reference.size()));
    EXPECT_TRUE(std::equal(commands.begin(), commands.end(), reference.begin()));
  }
  size_t at = 0;
  for (const std::string& command : acknowledged) {
    while (at < reference.size() && reference[at] != command) ++at;
    ASSERT_LT(at, reference.size()) << command << " was acknowledged and is gone";
  }
}

TEST(NodeTest, EntriesThatLeftMemoryAreReadFromTheLog) {
  ClusterOptions options = Fast();
  options.node.core.cached_log_bytes_max = 4 << 10;
  Cluster cluster(options);
  cluster.StartAll();
  const int leader = cluster.WaitForLeader();
  const int behind = leader % 3 + 1;
  cluster.Stop(behind);
  std::vector<std::string> expected;
  for (int i = 0; i < 300; ++i) {
    expected.push_back(absl::StrCat("c", i, " ", std::string(500, 'x')));
    ASSERT_TRUE(cluster.node(leader).Propose(Payload(expected.back()), Soon()).ok());
  }
  ASSERT_TRUE(cluster.WaitUntilAllHave(expected.back()));
  cluster.Start(behind);
  ASSERT_TRUE(cluster.WaitUntilAllHave(expected.back()));
  EXPECT_EQ(cluster.machine(behind).state().commands, expected);
  EXPECT_EQ(cluster.machine(behind).installs(), 0);
  int reads = 0;
  for (int id : {1, 2, 3}) reads += cluster.store(id).reads();
  EXPECT_GT(reads, 0);
}

TEST(NodeTest, AFollowerBehindTheTruncatedLogGetsASnapshot) {
  ClusterOptions options = Fast();
  options.node.log_entries_kept = 20;
  options.segment_bytes = 16 << 10;
  Cluster cluster(options);
  cluster.StartAll();
  const int leader = cluster.WaitForLeader();
  ASSERT_TRUE(cluster.ProposeAndWait(leader, "first"));
  ASSERT_TRUE(cluster.WaitUntilAllHave("first"));
  const int behind = leader % 3 + 1;
  cluster.Stop(behind);
  int n = 0;
  const auto propose = [&] {
    const int now = cluster.WaitForLeader();
    return cluster.ProposeAndWait(now, absl::StrCat("c", n++, " ", std::string(1000, 'x')));
  };
  // Until the log of both others has let go of what the third would need.
  const auto truncated = [&](int id) { return cluster.store(id).log().first_index() > Index(50); };
  while (![&] {
    for (int id : cluster.running()) {
      if (!truncated(id)) return false;
    }
    return true;
  }()) {
    ASSERT_TRUE(propose());
    for (int id : cluster.running()) cluster.machine(id).Flush();
    ASSERT_LT(n, 5000);
  }
  cluster.Start(behind);
  ASSERT_TRUE(cluster.ProposeAndWait(cluster.WaitForLeader(), "after"));
  ASSERT_TRUE(cluster.WaitUntilAllHave("after"));
  EXPECT_GE(cluster.machine(behind).installs(), 1);
  // The log is cut after the state machine has switched.
  EXPECT_TRUE(cluster.WaitUntil([&] { return cluster.store(behind).log().first_index() > Index(50); }));
  EXPECT_EQ(cluster.machine(behind).state().commands, cluster.machine(leader).state().commands);

  // What it has installed and appended since is on its disk.
  cluster.Stop(behind);
  cluster.Start(behind);
  ASSERT_TRUE(cluster.ProposeAndWait(cluster.WaitForLeader(), "again"));
  ASSERT_TRUE(cluster.WaitUntilAllHave("again"));
  EXPECT_EQ(cluster.machine(behind).state().commands, cluster.machine(leader).state().commands);
}

TEST(NodeTest, AFailedDiskIsFatalAndNothingIsAcknowledged) {
  Cluster cluster(Fast(1));
  cluster.StartAll();
  ASSERT_TRUE(cluster.ProposeAndWait(1, "good"));
  cluster.store(1).Fail();
  ASSERT_TRUE(cluster.node(1).Propose(Payload("lost"), Soon()).ok());
  ASSERT_TRUE(cluster.WaitUntil([&] { return !cluster.fatal(1).empty(); }));
  EXPECT_THAT(cluster.fatal(1)[0].ToString(), HasSubstr("cannot write the Raft log: No space left on device"));
  EXPECT_EQ(cluster.node(1).Propose(Payload("later"), Soon()).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Read(cluster.node(1), Clock::Real().Now() + absl::Milliseconds(50)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  cluster.Stop(1);
  EXPECT_THAT(cluster.machine(1).state().commands, ElementsAre("good"));
  EXPECT_THAT(cluster.fatal(1), SizeIs(1));
}

// The leader never counts a follower whose write failed, and the follower falls silent.
TEST(NodeTest, AFollowerWhoseDiskFailsFallsSilent) {
  Cluster cluster(Fast());
  cluster.StartAll();
  const int leader = cluster.WaitForLeader();
  ASSERT_TRUE(cluster.ProposeAndWait(leader, "good"));
  ASSERT_TRUE(cluster.WaitUntilAllHave("good"));
  const int broken = leader % 3 + 1;
  const int other = 6 - leader - broken;
  cluster.Stop(other);  // So that every commit needs the broken one.
  cluster.store(broken).Hold();
  ASSERT_TRUE(cluster.node(leader).Propose(Payload("needs two"), Soon()).ok());
  cluster.store(broken).Fail();
  ASSERT_TRUE(cluster.WaitUntil([&] { return !cluster.fatal(broken).empty(); }));
  // Its raft thread has nothing more to say once it has seen the failure.
  std::promise<void> seen;
  cluster.node(broken).ReadIndex(Clock::Real().Now() + absl::Milliseconds(30),
                                 [&](absl::Status, Index) { seen.set_value(); });
  seen.get_future().get();
  const uint64_t sent = cluster.sent(broken);
  EXPECT_EQ(Read(cluster.node(leader), Clock::Real().Now() + absl::Milliseconds(300)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(cluster.sent(broken), sent);
  EXPECT_FALSE(cluster.machine(leader).Has("needs two"));
  EXPECT_THAT(cluster.fatal(broken), SizeIs(1));
}

TEST(NodeTest, AStateMachineThatFailsIsFatal) {
  Cluster cluster(Fast(1));
  cluster.StartAll();
  ASSERT_TRUE(cluster.ProposeAndWait(1, "good"));
  const Index applied = cluster.machine(1).state().applied.index;
  cluster.machine(1).FailNextApply();
  std::atomic<bool> answered_ok = false;
  cluster.node(1).WaitApplied(applied + 1, Soon(), [&](absl::Status status, Index) { answered_ok = status.ok(); });
  ASSERT_TRUE(cluster.node(1).Propose(Payload("bad"), Soon()).ok());
  ASSERT_TRUE(cluster.WaitUntil([&] { return !cluster.fatal(1).empty(); }));
  EXPECT_THAT(cluster.fatal(1)[0].ToString(), HasSubstr("the toy is broken"));
  EXPECT_EQ(cluster.node(1).applied(), applied);
  cluster.Stop(1);
  EXPECT_FALSE(answered_ok);
}

// While the disk is busy with one write, what arrives gathers into the next.
TEST(NodeTest, AppendsThatQueueShareOneSync) {
  Cluster cluster(Fast(1));
  cluster.StartAll();
  ASSERT_TRUE(cluster.ProposeAndWait(1, "first"));
  cluster.store(1).Hold();
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(cluster.node(1).Propose(Payload(absl::StrCat("c", i)), Soon()).ok());
  cluster.store(1).Release();
  ASSERT_TRUE(cluster.WaitUntilAllHave("c499"));
  EXPECT_GT(cluster.machine(1).largest_group(), 10u);
}

// A leader may send before its own sync (Thesis §10.2.1): with its disk stuck the others still commit.
TEST(NodeTest, FollowersCommitWhileTheLeadersDiskIsBusy) {
  Cluster cluster(Fast());
  cluster.StartAll();
  const int leader = cluster.WaitForLeader();
  ASSERT_TRUE(cluster.ProposeAndWait(leader, "before"));
  cluster.store(leader).Hold();
  ASSERT_TRUE(cluster.node(leader).Propose(Payload("during"), Soon()).ok());
  for (int id : {1, 2, 3}) {
    if (id != leader) {
      EXPECT_TRUE(cluster.WaitUntil([&] { return cluster.machine(id).Has("during"); }));
    }
  }
  EXPECT_FALSE(cluster.machine(leader).Has("during"));
  cluster.store(leader).Release();
  EXPECT_TRUE(cluster.WaitUntilAllHave("during"));
}

TEST(NodeTest, ManyThreadsMayProposeAndRead) {
  Cluster cluster(Fast());
  cluster.StartAll();
  const int leader = cluster.WaitForLeader();
  std::atomic<int> reads_done = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 250; ++i) {
        ASSERT_TRUE(cluster.node(leader).Propose(Payload(absl::StrCat("t", t, "i", i)), Soon()).ok());
        cluster.node(t % 3 + 1).ReadIndex(Soon(), [&](absl::Status status, Index) {
          EXPECT_TRUE(status.ok()) << status;
          ++reads_done;
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int t = 0; t < 4; ++t) ASSERT_TRUE(cluster.WaitUntilAllHave(absl::StrCat("t", t, "i249")));
  ASSERT_TRUE(Read(cluster.node(1), Soon()).ok());
  cluster.Stop(2);
  cluster.Stop(3);
  cluster.Stop(1);
  EXPECT_EQ(reads_done, 1000);
  EXPECT_EQ(cluster.machine(leader).state().commands.size(), 1000u);
}

}  // namespace
}  // namespace keel::raft
