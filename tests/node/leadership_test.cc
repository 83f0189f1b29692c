// Who leads and who is a member, through the threads of real nodes.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>

#include "absl/strings/str_cat.h"
#include "tests/node/cluster.h"

namespace keel::raft {
namespace {

ClusterOptions Fast(int members = 3) {
  ClusterOptions options;
  options.members = members;
  options.node.tick = absl::Milliseconds(10);
  return options;
}

absl::Status Transfer(Node& node, int target, absl::Time deadline = Soon()) {
  std::promise<absl::Status> promise;
  node.TransferLeadership(MemberId(static_cast<uint64_t>(target)), deadline,
                          [&promise](absl::Status status) { promise.set_value(std::move(status)); });
  return promise.get_future().get();
}

absl::Status Change(Node& node, const MembershipChange& change) {
  std::promise<absl::Status> promise;
  node.ProposeMembership(change, Payload("who"), Soon(),
                         [&promise](absl::Status status) { promise.set_value(std::move(status)); });
  return promise.get_future().get();
}

// A change that a leader takes as soon as it can: another may be in flight, or its term too young.
void ChangeSoon(Cluster& cluster, int leader, const MembershipChange& change) {
  absl::Status status;
  ASSERT_TRUE(cluster.WaitUntil([&] {
    status = Change(cluster.node(leader), change);
    return !absl::IsFailedPrecondition(status);
  }));
  ASSERT_TRUE(status.ok()) << status;
}

TEST(NodeLeadershipTest, TransferEndsWithTheTargetInOffice) {
  Cluster cluster(Fast());
  cluster.StartAll();
  for (int i = 0; i < 5; ++i) {
    const int leader = cluster.WaitForLeader();
    const int target = leader % 3 + 1;
    const absl::Status status = Transfer(cluster.node(leader), target);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(cluster.node(leader).leader(), MemberId(static_cast<uint64_t>(target)));
    const std::string command = absl::StrCat("c", i);
    ASSERT_TRUE(cluster.ProposeAndWait(leader, command));
    ASSERT_TRUE(cluster.WaitUntilAllHave(command));
  }
}

TEST(NodeLeadershipTest, TransferThatCannotBeIsRefused) {
  Cluster cluster(Fast());
  cluster.StartAll();
  const int leader = cluster.WaitForLeader();
  EXPECT_TRUE(absl::IsNotFound(Transfer(cluster.node(leader), 9)));
  EXPECT_TRUE(absl::IsFailedPrecondition(Transfer(cluster.node(leader % 3 + 1), leader)));
  EXPECT_TRUE(absl::IsDeadlineExceeded(Transfer(cluster.node(leader), leader % 3 + 1, absl::InfinitePast())));
  EXPECT_TRUE(Transfer(cluster.node(leader), leader).ok());
}

TEST(NodeLeadershipTest, TransferToADeadMemberFailsAndProposalsGoOn) {
  Cluster cluster(Fast());
  cluster.StartAll();
  const int leader = cluster.WaitForLeader();
  ASSERT_TRUE(cluster.ProposeAndWait(leader, "before"));
  cluster.Stop(leader % 3 + 1);
  ASSERT_TRUE(cluster.ProposeAndWait(leader, "gap"));
  EXPECT_TRUE(absl::IsUnavailable(Transfer(cluster.node(leader), leader % 3 + 1)));
  EXPECT_TRUE(cluster.ProposeAndWait(cluster.WaitForLeader(), "after"));
}

TEST(NodeLeadershipTest, RequestsAreAnsweredWhenTheNodeStops) {
  Cluster cluster(Fast());
  cluster.Start(1);
  std::promise<absl::Status> promise;
  cluster.node(1).ProposeMembership({.remove = {MemberId(3)}}, Payload(), Soon(),
                                    [&promise](absl::Status status) { promise.set_value(std::move(status)); });
  EXPECT_EQ(promise.get_future().get().message(), kNotLeader);
  cluster.node(1).Stop();
  EXPECT_TRUE(absl::IsUnavailable(Transfer(cluster.node(1), 2)));
  EXPECT_TRUE(absl::IsUnavailable(Change(cluster.node(1), {.remove = {MemberId(3)}})));
}

// A timeout would be 3 to 6 seconds here.
TEST(NodeLeadershipTest, DeathOfTheLeaderIsOvercomeFarBelowTheTimeout) {
  ClusterOptions options = Fast();
  options.node.tick = absl::Milliseconds(300);
  Cluster cluster(options);
  cluster.StartAll();
  const int leader = cluster.WaitForLeader();
  ASSERT_TRUE(cluster.ProposeAndWait(leader, "before"));
  ASSERT_TRUE(cluster.WaitUntilAllHave("before"));
  cluster.Stop(leader);
  const auto died = std::chrono::steady_clock::now();
  for (int id : cluster.running()) cluster.node(id).ReportPeerDied(MemberId(static_cast<uint64_t>(leader)));
  ASSERT_TRUE(cluster.ProposeAndWait(cluster.running()[0], "after"));
  const auto took = std::chrono::steady_clock::now() - died;
  EXPECT_LT(took, std::chrono::milliseconds(2700)) << "no faster than a timeout";
  std::printf("a write %lld us after the leader died\n",
              static_cast<long long>(std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
}

TEST(NodeLeadershipTest, WrongNewsOfADeathDisturbsNobody) {
  Cluster cluster(Fast());
  cluster.StartAll();
  const int leader = cluster.WaitForLeader();
  ASSERT_TRUE(cluster.ProposeAndWait(leader, "before"));
  const Term term = cluster.node(leader).term();
  for (int i = 0; i < 50; ++i) {
    cluster.node(leader % 3 + 1).ReportPeerDied(MemberId(static_cast<uint64_t>(leader)));
    ASSERT_TRUE(cluster.ProposeAndWait(leader, absl::StrCat("c", i)));
  }
  EXPECT_EQ(cluster.WaitForLeader(), leader);
  EXPECT_EQ(cluster.node(leader).term(), term);
}

// What the log says of the membership is found again after a restart, whatever of it the state machine has kept.
TEST(NodeLeadershipTest, MembershipSurvivesARestart) {
  Cluster cluster(Fast());
  cluster.StartAll();
  ChangeSoon(cluster, cluster.WaitForLeader(), {.add_learners = {MemberId(7)}});
  const Membership expected{.voters = {MemberId(1), MemberId(2), MemberId(3)}, .learners = {MemberId(7)}};
  ASSERT_TRUE(cluster.ProposeAndWait(cluster.WaitForLeader(), "x"));
  ASSERT_TRUE(cluster.WaitUntilAllHave("x"));
  for (int id : {1, 2, 3}) {
    EXPECT_EQ(cluster.machine(id).state().membership, expected);
    if (id == 2) cluster.machine(id).Flush();
    cluster.Stop(id);
    cluster.Start(id);
    EXPECT_EQ(cluster.node(id).status().core.membership, expected) << id;
  }
  EXPECT_TRUE(cluster.ProposeAndWait(cluster.WaitForLeader(), "y"));
}

// One step: a member with an empty directory takes the place of another (Thesis §4.3).
TEST(NodeLeadershipTest, AMemberIsReplacedByANewOne) {
  ClusterOptions options = Fast();
  Cluster cluster(options);
  cluster.StartAll();
  const int leader = cluster.WaitForLeader();
  ASSERT_TRUE(cluster.ProposeAndWait(leader, "old"));
  ASSERT_TRUE(cluster.WaitUntilAllHave("old"));
  const int leaves = leader % 3 + 1;
  cluster.Stop(leaves);
  cluster.StartEmpty(4);
  ChangeSoon(cluster, leader, {.add_voters = {MemberId(4)}, .remove = {MemberId(static_cast<uint64_t>(leaves))}});
  ASSERT_TRUE(cluster.WaitUntil([&] {
    const Membership membership = cluster.node(4).status().core.membership;
    return !membership.is_joint() && membership.IsVoter(MemberId(4)) &&
           !membership.Contains(MemberId(static_cast<uint64_t>(leaves)));
  }));
  ASSERT_TRUE(cluster.ProposeAndWait(4, "new"));
  ASSERT_TRUE(cluster.WaitUntilAllHave("new"));
  EXPECT_EQ(cluster.machine(4).state().commands, cluster.machine(leader).state().commands);
}

TEST(NodeLeadershipTest, ALeaderThatRemovesItselfIsFollowedAtOnce) {
  Cluster cluster(Fast());
  cluster.StartAll();
  const int leader = cluster.WaitForLeader();
  ASSERT_TRUE(cluster.ProposeAndWait(leader, "x"));
  ASSERT_TRUE(Change(cluster.node(leader), {.remove = {MemberId(static_cast<uint64_t>(leader))}}).ok());
  const int other = leader % 3 + 1;
  ASSERT_TRUE(cluster.WaitUntil([&] {
    const MemberId next = cluster.node(other).leader();
    return next != kNobody && next != MemberId(static_cast<uint64_t>(leader));
  }));
  EXPECT_TRUE(cluster.ProposeAndWait(other, "y"));
  EXPECT_NE(cluster.node(leader).status().core.role, Role::kLeader);
}

}  // namespace
}  // namespace keel::raft
