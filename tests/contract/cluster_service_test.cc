// Cluster and Maintenance as several members answer them.

#include "absl/strings/str_cat.h"
#include "tests/contract/cluster_fixture.h"

namespace keel::contract {
namespace {

using etcdserverpb::MemberListResponse;
using etcdserverpb::StatusResponse;
using ::testing::StartsWith;

TEST_F(ClusterContract, B089_TheMembersAreListedWithoutAQuorumToWhomThatIsEnough) {
  const int alone = AnyFollower();
  PauseOthers(alone);
  EXPECT_EQ(at(alone).Ok<MemberListResponse>("members").members_size(), kMembers);
  if (is_etcd()) return;  // The field is newer than 3.4.
  EXPECT_THAT(at(alone).Error("members linearizable: true", absl::Seconds(1)), StartsWith("4 "));
}

TEST_F(ClusterContract, B090_OnlyTheLeaderHandsTheLeadershipOver) {
  const int leader = Leader();
  const int follower = (leader + 1) % kMembers;
  EXPECT_EQ(at(follower).Error(absl::StrCat("move_leader targetID: ", IdOf(follower))), "9 etcdserver: not leader");
  MoveLeader(follower);
  EXPECT_EQ(Leader(), follower);
}

TEST_F(ClusterContract, B092_EveryMemberNamesTheLeader) {
  const uint64_t leader = IdOf(Leader());
  for (int i = 0; i < kMembers; ++i) {
    const auto status = at(i).Ok<StatusResponse>("status");
    EXPECT_EQ(status.leader(), leader);
    EXPECT_EQ(status.raftterm(), status.header().raft_term());
    EXPECT_GT(status.raftappliedindex(), 0u);
    EXPECT_GT(status.dbsize(), 0);
    EXPECT_EQ(status.errors_size(), 0);
  }
}

TEST_F(ClusterContract, B093_OneFullMemberStopsPutsThroughAllOfThem) {
  const std::string refusal = "8 etcdserver: mvcc: database space exceeded";
  const int full = AnyFollower();
  const uint64_t id = IdOf(full);
  members().processes().Kill(full);
  members().processes().SetFlags(full, {"--quota-backend-bytes=100000"});
  members().Heal();
  const std::string put = absl::StrCat("put key: '", Key(), "' value: '", std::string(10000, 'x'), "'");
  for (int i = 0; i < 20; ++i)
    at((full + 1) % kMembers)
        .Call(absl::StrCat("put key: '", Key(absl::StrCat(i)), "' value: '", std::string(10000, 'x'), "'"));
  for (int i = 0; i < kMembers; ++i) {
    Await([&] { return at(i).Error(put) == refusal; }, "a full member stops nobody");
    EXPECT_EQ(at(i).Error("grant TTL: 100"), refusal);
  }
  // With room again, and the alarm taken back.
  members().processes().Kill(full);
  members().processes().SetFlags(full, {});
  members().Heal();
  at(full).Call(absl::StrCat("alarm action: DEACTIVATE alarm: NOSPACE memberID: ", id));
  at(full).Put(Key());
  at(full).Call(absl::StrCat("delete key: '", Key(), "' range_end: '", Key("z"), "'"));
}

}  // namespace
}  // namespace keel::contract
