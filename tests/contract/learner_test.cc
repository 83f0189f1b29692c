// A fourth member that learns and has no vote, and members that are added and removed.

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/contract/cluster_fixture.h"

namespace keel::contract {
namespace {

using etcdserverpb::Member;
using etcdserverpb::MemberAddResponse;
using etcdserverpb::MemberListResponse;
using etcdserverpb::StatusResponse;
using ::testing::AnyOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;

class LearnerContract : public ClusterContract {
 protected:
  void SetUp() override {
    ClusterContract::SetUp();
    if (HasFatalFailure() || number_ >= 0) return;
    const auto number = members().processes().Reserve();
    ASSERT_TRUE(number.ok()) << number.status();
    differential::Answer added;
    Await(
        [&] {
          added = at(Leader()).Call(
              absl::StrCat("member_add isLearner: true peerURLs: '", members().processes().peer_url(*number), "'"));
          // It wants to have been connected to the others for five seconds.
          return added.status.ok() || !absl::StrContains(added.status.error_message(), "unhealthy cluster");
        },
        "the members do not get healthy");
    ASSERT_EQ(Shown(added.status), "ok");
    const auto& response = static_cast<const MemberAddResponse&>(*added.messages[0]);
    id_ = response.member().id();
    std::vector<std::string> initial;
    for (const Member& member : response.members()) {
      const std::string name = member.id() == id_ ? members().processes().name(*number) : member.name();
      initial.push_back(absl::StrCat(name, "=", member.peerurls(0)));
    }
    members().Join(*number, absl::StrJoin(initial, ","));
    number_ = *number;
    members().AwaitHealthy(number_);
  }
  Endpoint& learner() { return at(number_); }
  std::string Url() { return members().processes().peer_url(number_); }

  static int number_;  // -1: there is none.
  static uint64_t id_;
};

int LearnerContract::number_ = -1;
uint64_t LearnerContract::id_ = 0;

TEST_F(LearnerContract, B031_ALearnerAnswersSerializableReadsStatusAndSnapshotsOnly) {
  at(0).Put(Key(), "v");
  const std::string refusal =
      absl::StrCat(is_etcd() ? 14 : 9, " etcdserver: rpc not supported for learner");  // The code is newer than 3.5.
  for (const char* line : {"range key: 'a'",
                           "put key: 'a'",
                           "delete key: 'a'",
                           "txn",
                           "compact revision: 1",
                           "grant TTL: 100",
                           "revoke ID: 1",
                           "timetolive ID: 1",
                           "leases",
                           "members",
                           "member_add peerURLs: 'http://127.0.0.1:1'",
                           "member_remove ID: 1",
                           "member_update ID: 1 peerURLs: 'http://127.0.0.1:1'",
                           "member_promote ID: 1",
                           "alarm",
                           "defragment",
                           "hash",
                           "hashkv",
                           "move_leader targetID: 1",
                           "lock name: 'l'",
                           "unlock key: 'l'",
                           "campaign name: 'e'",
                           "leader name: 'e'",
                           "observe name: 'e'"}) {
    EXPECT_EQ(learner().Error(line), refusal) << line;
  }
  for (const char* line : {"watch create_request { key: 'a' }", "keepalive ID: 1"}) {
    const auto stream = learner().Open(line);
    ASSERT_TRUE(stream->AwaitEnd(kPatience)) << line;
    EXPECT_EQ(Shown(stream->status()), refusal) << line;
  }
  EXPECT_TRUE(learner().Ok<StatusResponse>("status").islearner());
  const std::string read = absl::StrCat("serializable: true key: '", Key(), "'");
  Await([&] { return learner().Keys(read) == Key() + " | | 1"; }, "it does not learn");
  if (is_etcd()) return;  // The rest is newer than 3.4.
  EXPECT_EQ(Shown(learner().Call("snapshot").status), "ok");
}

TEST_F(LearnerContract, B031_AClientThatMeetsALearnerMovesOnToAVoter) {
  const auto client = NewClient({number_, 0}, {.balance = Balance::kRoundRobin});
  for (int i = 0; i < 6; ++i) {
    const auto put = client->kv().Put(Key(), absl::StrCat(i));
    ASSERT_TRUE(put.ok()) << put.status();
    const auto got = client->kv().Get(Key());
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->kvs.at(0).value, absl::StrCat(i));
  }
}

TEST_F(LearnerContract, B085_OneLearnerAtATimeAndAVoteOnlyForWhoHasCaughtUp) {
  EXPECT_EQ(at(Leader()).Error("member_add isLearner: true peerURLs: 'http://127.0.0.1:1'"),
            "9 etcdserver: too many learner members in cluster");
  members().Pause(number_);
  // Until what it has is surely less than nine tenths.
  const uint64_t before = at(0).Ok<StatusResponse>("status").raftindex();
  while (at(0).Ok<StatusResponse>("status").raftindex() * 8 < before * 10 && !HasFailure()) at(0).Put(Key());
  for (int i = 0; i < kMembers; ++i) {
    EXPECT_EQ(at(i).Error(absl::StrCat("member_promote ID: ", id_)),
              "9 etcdserver: can only promote a learner member which is in sync with leader");
    EXPECT_EQ(at(i).Error(absl::StrCat("member_promote ID: ", IdOf(i))),
              "9 etcdserver: can only promote a learner member");
    EXPECT_EQ(at(i).Error("member_promote ID: 77"), "5 etcdserver: member not found");
  }
}

TEST_F(LearnerContract, B087_ANewAddressDoesNotPromoteALearner) {
  KEEL_SKIP_ON_OLD_ETCD("3.5.31: before, it does");
  at(0).Ok<etcdserverpb::MemberUpdateResponse>(
      absl::StrCat("member_update ID: ", id_, " peerURLs: '", Url(), "' peerURLs: 'http://127.0.0.1:1'"));
  const auto list = at(0).Ok<MemberListResponse>("members");
  for (const Member& member : list.members()) {
    EXPECT_EQ(member.islearner(), member.id() == id_);
    EXPECT_EQ(member.peerurls_size(), member.id() == id_ ? 2 : 1);
  }
  EXPECT_TRUE(learner().Ok<StatusResponse>("status").islearner());
  at(0).Ok<etcdserverpb::MemberUpdateResponse>(absl::StrCat("member_update ID: ", id_, " peerURLs: '", Url(), "'"));
}

TEST_F(LearnerContract, B090_ALearnerCannotBeMadeTheLeader) {
  EXPECT_EQ(at(Leader()).Error(absl::StrCat("move_leader targetID: ", id_)), "9 etcdserver: bad leader transferee");
}

TEST_F(LearnerContract, B089_AMemberThatReplaysItsLogDoesNotShowTheRemovedOnes) {
  KEEL_SKIP_ON_OLD_ETCD("3.5");
  const int replaying = AnyFollower();
  // It comes back with a log in which the learner is a member.
  members().processes().Kill(replaying);
  Await(
      [&] {
        const std::string error = at(Leader()).Error(absl::StrCat("member_remove ID: ", id_));
        return absl::StartsWith(error, "ok") || absl::StrContains(error, "not found");
      },
      "the learner cannot be removed");
  members().Leave(number_);
  number_ = -1;
  ASSERT_TRUE(members().processes().Start(replaying).ok());
  differential::Answer answer;
  Await(
      [&] {
        answer = at(replaying).Call("members linearizable: true", absl::Seconds(5));
        return answer.status.ok();
      },
      "the member does not come back");
  ASSERT_TRUE(answer.status.ok());
  EXPECT_EQ(static_cast<const MemberListResponse&>(*answer.messages[0]).members_size(), kMembers);
}

class UnhealthyContract : public ClusterContract {};

TEST_F(UnhealthyContract, B086_AClusterOneOfWhoseMembersIsDeadIsNotMadeWeaker) {
  const int dead = AnyFollower();
  const uint64_t dead_id = IdOf(dead);
  const uint64_t live_id = IdOf(AnyFollower() == dead ? (dead + 1) % kMembers : AnyFollower());
  members().processes().Kill(dead);
  const int leader = Leader(dead);
  const auto unsafe = AnyOf("14 etcdserver: unhealthy cluster",
                            EndsWith(" etcdserver: re-configuration failed due to not enough started members"));
  for (int i = 0; i < kMembers; ++i) {
    if (i == dead) continue;
    EXPECT_THAT(at(i).Error("member_add peerURLs: 'http://127.0.0.1:1'"), unsafe);
    EXPECT_THAT(at(i).Error(absl::StrCat("member_remove ID: ", IdOf((leader == i) ? i : leader))), unsafe);
    EXPECT_THAT(at(i).Error(absl::StrCat("member_remove ID: ", live_id)), unsafe);
    EXPECT_EQ(at(i).Ok<MemberListResponse>("members").members_size(), kMembers);
  }
  // The dead one itself may go: that makes the cluster stronger.
  EXPECT_THAT(at(leader).Error(absl::StrCat("member_remove ID: ", dead_id)), testing::StartsWith("ok"));
  at(leader).Put(Key());
  EXPECT_EQ(at(leader).Ok<MemberListResponse>("members").members_size(), kMembers - 1);
}

}  // namespace
}  // namespace keel::contract
