#include "tests/api/member_fixture.h"

namespace keel::server {
namespace {

using etcdserverpb::LeaseKeepAliveRequest;
using etcdserverpb::LeaseKeepAliveResponse;
using grpc::StatusCode;

etcdserverpb::LeaseTimeToLiveResponse TimeToLive(TestMember* member, int64_t id, bool keys) {
  Context context;
  etcdserverpb::LeaseTimeToLiveRequest request;
  request.set_id(id);
  request.set_keys(keys);
  etcdserverpb::LeaseTimeToLiveResponse response;
  EXPECT_THAT(member->lease().LeaseTimeToLive(&context, request, &response), Succeeds());
  return response;
}

LeaseKeepAliveRequest KeepAliveOf(int64_t id) {
  LeaseKeepAliveRequest request;
  request.set_id(id);
  return request;
}

TEST(LeaseTest, GrantChoosesIdAndRaisesTheTtl) {
  TestMember member;
  etcdserverpb::LeaseGrantResponse response;
  ASSERT_THAT(Grant(&member, 0, 60, &response), Succeeds());
  EXPECT_GT(response.id(), 0);
  EXPECT_EQ(response.ttl(), 60);
  ExpectHeader(response.header(), 1);
  ASSERT_THAT(Grant(&member, -5, -1, &response), Succeeds());
  EXPECT_EQ(response.id(), -5);
  EXPECT_EQ(response.ttl(), 2);
  EXPECT_THAT(Grant(&member, -5, 10, &response),
              Fails(StatusCode::FAILED_PRECONDITION, "etcdserver: lease already exists"));
  EXPECT_THAT(Grant(&member, 0, 9'000'000'001, &response),
              Fails(StatusCode::OUT_OF_RANGE, "etcdserver: too large lease TTL"));
}

TEST(LeaseTest, AnAlarmComesBeforeWhatIsWrongWithTheTtl) {
  TestMember member;
  Context context;
  etcdserverpb::AlarmRequest alarm;
  alarm.set_action(etcdserverpb::AlarmRequest::ACTIVATE);
  alarm.set_alarm(etcdserverpb::NOSPACE);
  etcdserverpb::AlarmResponse raised;
  ASSERT_THAT(member.maintenance().Alarm(&context, alarm, &raised), Succeeds());
  etcdserverpb::LeaseGrantResponse response;
  EXPECT_THAT(Grant(&member, 0, 9'000'000'001, &response),
              Fails(StatusCode::RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded"));
}

TEST(LeaseTest, RevokeDeletesTheKeysInOneRevision) {
  TestMember member;
  const int64_t lease = MustGrant(&member);
  MustPut(&member, "a", "v", lease);
  MustPut(&member, "b", "v", lease);
  etcdserverpb::LeaseRevokeResponse response;
  ASSERT_THAT(Revoke(&member, lease, &response), Succeeds());
  ExpectHeader(response.header(), 4);
  EXPECT_THAT(Revoke(&member, lease, &response), Fails(StatusCode::NOT_FOUND, "etcdserver: requested lease not found"));
  etcdserverpb::RangeResponse range;
  ASSERT_THAT(Range(&member, RangeOf("a", "z"), &range), Succeeds());
  EXPECT_EQ(range.count(), 0);
}

TEST(LeaseTest, TimeToLiveListsKeysWhenAsked) {
  TestMember member;
  const int64_t lease = MustGrant(&member, 90);
  MustPut(&member, "a", "v", lease);
  auto response = TimeToLive(&member, lease, /*keys=*/true);
  ExpectHeader(response.header(), 2);
  EXPECT_EQ(response.id(), lease);
  EXPECT_EQ(response.grantedttl(), 90);
  EXPECT_GE(response.ttl(), 60);
  EXPECT_LE(response.ttl(), 90);
  EXPECT_THAT(response.keys(), testing::ElementsAre("a"));
  EXPECT_EQ(TimeToLive(&member, lease, /*keys=*/false).keys_size(), 0);

  response = TimeToLive(&member, 12345, /*keys=*/true);
  EXPECT_EQ(response.ttl(), -1);
  EXPECT_EQ(response.grantedttl(), 0);
}

TEST(LeaseTest, LeasesListsIds) {
  TestMember member;
  const int64_t lease = MustGrant(&member);
  Context context;
  etcdserverpb::LeaseLeasesResponse response;
  ASSERT_THAT(member.lease().LeaseLeases(&context, {}, &response), Succeeds());
  ExpectHeader(response.header(), 1);
  ASSERT_EQ(response.leases_size(), 1);
  EXPECT_EQ(response.leases(0).id(), lease);
}

TEST(KeepAliveTest, AnswersInOrderAndEndsWithTheClientsHalf) {
  TestMember member;
  const int64_t first = MustGrant(&member, 60);
  const int64_t second = MustGrant(&member, 90);
  Context context;
  auto stream = member.lease().LeaseKeepAlive(&context);
  // More than may be under way at once, all before the first answer is read.
  constexpr int kRounds = 200;
  for (int i = 0; i < kRounds; ++i) {
    for (const int64_t id : {first, int64_t{0}, second}) ASSERT_TRUE(stream->Write(KeepAliveOf(id)));
  }
  stream->WritesDone();
  for (int i = 0; i < kRounds; ++i) {
    LeaseKeepAliveResponse response;
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.id(), first);
    EXPECT_EQ(response.ttl(), 60);
    ExpectHeader(response.header(), 1);
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.id(), 0);
    EXPECT_EQ(response.ttl(), 0);
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.id(), second);
    EXPECT_EQ(response.ttl(), 90);
  }
  LeaseKeepAliveResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_THAT(stream->Finish(), Succeeds());
}

TEST(KeepAliveTest, ARevokedLeaseAnswersZeroAndTheStreamGoesOn) {
  TestMember member;
  const int64_t lease = MustGrant(&member, 60);
  Context context;
  auto stream = member.lease().LeaseKeepAlive(&context);
  LeaseKeepAliveResponse response;
  ASSERT_TRUE(stream->Write(KeepAliveOf(lease)));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.ttl(), 60);
  etcdserverpb::LeaseRevokeResponse revoked;
  ASSERT_THAT(Revoke(&member, lease, &revoked), Succeeds());
  ASSERT_TRUE(stream->Write(KeepAliveOf(lease)));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.ttl(), 0);
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_THAT(stream->Finish(), Succeeds());
}

TEST(KeepAliveTest, WithoutALeaderTheStreamEnds) {
  TestMember member;
  const int64_t lease = MustGrant(&member, 60);
  member.node().SetLeader(raft::kNobody, raft::Term{1});
  Context context;
  auto stream = member.lease().LeaseKeepAlive(&context);
  ASSERT_TRUE(stream->Write(KeepAliveOf(lease)));
  LeaseKeepAliveResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_THAT(stream->Finish(), Fails(StatusCode::UNAVAILABLE, "etcdserver: no leader"));
}

}  // namespace
}  // namespace keel::server
