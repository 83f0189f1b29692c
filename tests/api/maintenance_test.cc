#include "base/version.h"
#include "tests/api/member_fixture.h"

namespace keel::server {
namespace {

using etcdserverpb::AlarmRequest;
using grpc::StatusCode;

grpc::Status Alarm(TestMember* member, AlarmRequest::AlarmAction action, etcdserverpb::AlarmType alarm,
                   uint64_t member_id, etcdserverpb::AlarmResponse* response) {
  Context context;
  AlarmRequest request;
  request.set_action(action);
  request.set_alarm(alarm);
  request.set_memberid(member_id);
  response->Clear();
  return member->maintenance().Alarm(&context, request, response);
}

TEST(ClusterTest, MembersComeSortedAndTheHeaderHasNoRevision) {
  TestMember member;
  for (const bool linearizable : {false, true}) {
    const size_t reads = member.node().reads();
    Context context;
    etcdserverpb::MemberListRequest request;
    request.set_linearizable(linearizable);
    etcdserverpb::MemberListResponse response;
    ASSERT_THAT(member.cluster().MemberList(&context, request, &response), Succeeds());
    ExpectHeader(response.header(), 0);
    ASSERT_EQ(response.members_size(), 2);
    EXPECT_EQ(response.members(0).id(), 7u);
    EXPECT_EQ(response.members(1).id(), kMemberId);
    EXPECT_EQ(response.members(1).name(), "self");
    EXPECT_THAT(response.members(1).peerurls(), testing::ElementsAre("http://self:2380"));
    EXPECT_THAT(response.members(1).clienturls(), testing::ElementsAre("http://self:2379"));
    EXPECT_FALSE(response.members(1).islearner());
    EXPECT_EQ(member.node().reads() - reads, linearizable ? 1u : 0u);
  }
}

TEST(ClusterTest, ChangesGoToTheChangerWholeAndComeBackWithAHeader) {
  TestMember member;
  Context add, remove, update, promote, replace;
  peer::ChangeResponse answer;
  answer.mutable_member()->set_id(5);
  answer.add_members()->set_id(5);
  answer.add_members()->set_id(7);
  member.changer().SetAnswer(answer);

  etcdserverpb::MemberAddRequest to_add;
  to_add.add_peerurls("http://e:1");
  to_add.set_islearner(true);
  etcdserverpb::MemberAddResponse added;
  ASSERT_THAT(member.cluster().MemberAdd(&add, to_add, &added), Succeeds());
  EXPECT_EQ(added.member().id(), 5u);
  EXPECT_EQ(added.members_size(), 2);
  ExpectHeader(added.header(), 0);
  EXPECT_EQ(member.changer().asked().add().SerializeAsString(), to_add.SerializeAsString());

  etcdserverpb::MemberRemoveRequest to_remove;
  to_remove.set_id(7);
  etcdserverpb::MemberRemoveResponse removed;
  ASSERT_THAT(member.cluster().MemberRemove(&remove, to_remove, &removed), Succeeds());
  EXPECT_EQ(removed.members_size(), 2);
  EXPECT_EQ(member.changer().asked().remove().id(), 7u);

  etcdserverpb::MemberUpdateResponse updated;
  ASSERT_THAT(member.cluster().MemberUpdate(&update, {}, &updated), Succeeds());
  EXPECT_TRUE(member.changer().asked().has_update());

  member.changer().SetAnswer(absl::FailedPreconditionError("etcdserver: can only promote a learner member"));
  etcdserverpb::MemberPromoteResponse promoted;
  EXPECT_THAT(member.cluster().MemberPromote(&promote, {}, &promoted),
              Fails(StatusCode::FAILED_PRECONDITION, "etcdserver: can only promote a learner member"));
}

TEST(MaintenanceTest, StatusTellsOfTheMember) {
  TestMember member({.limits = {.quota_bytes = 0}});
  MustPut(&member, "a", "v");
  Context context;
  etcdserverpb::StatusResponse response;
  ASSERT_THAT(member.maintenance().Status(&context, {}, &response), Succeeds());
  ExpectHeader(response.header(), 2);
  EXPECT_EQ(response.version(), kProtocolVersion);
  EXPECT_EQ(response.leader(), kMemberId);
  EXPECT_EQ(response.raftterm(), 1u);
  EXPECT_EQ(response.raftindex(), 2u);  // 1 is the bootstrap.
  EXPECT_EQ(response.raftappliedindex(), 2u);
  EXPECT_GT(response.dbsize(), 0);
  EXPECT_GT(response.dbsizeinuse(), 0);
  EXPECT_EQ(response.dbsizequota(), 2147483648);
  EXPECT_EQ(response.storageversion(), kProtocolClusterVersion);
  EXPECT_TRUE(response.has_downgradeinfo());
  EXPECT_FALSE(response.islearner());
  EXPECT_EQ(response.errors_size(), 0);
}

TEST(MaintenanceTest, StatusListsWhatIsWrong) {
  TestMember member;
  etcdserverpb::AlarmResponse alarm;
  ASSERT_THAT(Alarm(&member, AlarmRequest::ACTIVATE, etcdserverpb::CORRUPT, 5, &alarm), Succeeds());
  ASSERT_THAT(Alarm(&member, AlarmRequest::ACTIVATE, etcdserverpb::NOSPACE, 0, &alarm), Succeeds());
  member.node().SetLeader(raft::kNobody, raft::Term{1});
  Context context;
  etcdserverpb::StatusResponse response;
  ASSERT_THAT(member.maintenance().Status(&context, {}, &response), Succeeds());
  EXPECT_EQ(response.leader(), 0u);
  EXPECT_THAT(response.errors(),
              testing::UnorderedElementsAre("etcdserver: no leader", "memberID:5 alarm:CORRUPT ", "alarm:NOSPACE "));
}

TEST(MaintenanceTest, AlarmsAreRaisedListedAndDisarmed) {
  TestMember member;
  etcdserverpb::AlarmResponse response;
  ASSERT_THAT(Alarm(&member, AlarmRequest::ACTIVATE, etcdserverpb::NOSPACE, 5, &response), Succeeds());
  ExpectHeader(response.header(), 1);
  ASSERT_EQ(response.alarms_size(), 1);
  EXPECT_EQ(response.alarms(0).memberid(), 5u);

  etcdserverpb::PutResponse put;
  EXPECT_THAT(Put(&member, PutOf("a", "v"), &put),
              Fails(StatusCode::RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded"));

  ASSERT_THAT(Alarm(&member, AlarmRequest::GET, etcdserverpb::NONE, 0, &response), Succeeds());
  EXPECT_EQ(response.alarms_size(), 1);
  ExpectHeader(response.header(), 1);
  ASSERT_THAT(Alarm(&member, AlarmRequest::GET, etcdserverpb::CORRUPT, 0, &response), Succeeds());
  EXPECT_EQ(response.alarms_size(), 0);

  ASSERT_THAT(Alarm(&member, AlarmRequest::DEACTIVATE, etcdserverpb::NOSPACE, 5, &response), Succeeds());
  EXPECT_EQ(response.alarms_size(), 1);
  ASSERT_THAT(Alarm(&member, AlarmRequest::DEACTIVATE, etcdserverpb::NOSPACE, 5, &response), Succeeds());
  EXPECT_EQ(response.alarms_size(), 0);
  MustPut(&member, "a", "v");
  EXPECT_EQ(Alarm(&member, static_cast<AlarmRequest::AlarmAction>(9), etcdserverpb::NONE, 0, &response).error_code(),
            StatusCode::INVALID_ARGUMENT);
}

TEST(MaintenanceTest, ACorruptClusterTakesNoWrites) {
  TestMember member;
  MustPut(&member, "a", "v");
  etcdserverpb::AlarmResponse alarm;
  ASSERT_THAT(Alarm(&member, AlarmRequest::ACTIVATE, etcdserverpb::CORRUPT, 5, &alarm), Succeeds());
  constexpr char kText[] = "etcdserver: corrupt cluster";
  etcdserverpb::PutResponse put;
  EXPECT_THAT(Put(&member, PutOf("a", "v"), &put), Fails(StatusCode::DATA_LOSS, kText));
  etcdserverpb::LeaseGrantResponse grant;
  EXPECT_THAT(Grant(&member, 0, 10, &grant), Fails(StatusCode::DATA_LOSS, kText));
  etcdserverpb::RangeResponse range;
  EXPECT_THAT(Range(&member, RangeOf("a"), &range), Succeeds());
}

TEST(MaintenanceTest, HashKvSaysWhatItHashed) {
  TestMember member;
  MustPut(&member, "a", "v");
  MustPut(&member, "a", "w");
  auto hash_kv = [&member](int64_t revision, etcdserverpb::HashKVResponse* response) {
    Context context;
    etcdserverpb::HashKVRequest request;
    request.set_revision(revision);
    return member.maintenance().HashKV(&context, request, response);
  };
  etcdserverpb::HashKVResponse current;
  etcdserverpb::HashKVResponse old;
  ASSERT_THAT(hash_kv(0, &current), Succeeds());
  ASSERT_THAT(hash_kv(2, &old), Succeeds());
  ExpectHeader(current.header(), 3);
  EXPECT_EQ(current.hash_revision(), 3);
  EXPECT_EQ(old.hash_revision(), 2);
  EXPECT_NE(current.hash(), old.hash());
  EXPECT_THAT(hash_kv(4, &old),
              Fails(StatusCode::OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision"));
  etcdserverpb::CompactionResponse compaction;
  ASSERT_THAT(Compact(&member, 3, &compaction), Succeeds());
  EXPECT_THAT(hash_kv(2, &old),
              Fails(StatusCode::OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted"));

  Context context;
  etcdserverpb::HashResponse hash;
  ASSERT_THAT(member.maintenance().Hash(&context, {}, &hash), Succeeds());
  ExpectHeader(hash.header(), 3);
  EXPECT_NE(hash.hash(), 0u);
}

TEST(MaintenanceTest, DefragmentAnswersWithoutAHeader) {
  TestMember member;
  Context context;
  etcdserverpb::DefragmentResponse response;
  ASSERT_THAT(member.maintenance().Defragment(&context, {}, &response), Succeeds());
  EXPECT_FALSE(response.has_header());
}

TEST(MaintenanceTest, WhatIsNotThereSaysSo) {
  TestMember member;
  Context downgrade;
  etcdserverpb::DowngradeResponse downgraded;
  EXPECT_EQ(member.maintenance().Downgrade(&downgrade, {}, &downgraded).error_code(), StatusCode::UNIMPLEMENTED);
}

TEST(MaintenanceTest, MoveLeaderSaysWhyNot) {
  TestMember member;
  etcdserverpb::MoveLeaderRequest request;
  request.set_targetid(7);
  const auto move = [&] {
    Context context;
    etcdserverpb::MoveLeaderResponse response;
    return member.maintenance().MoveLeader(&context, request, &response);
  };
  EXPECT_THAT(move(), Succeeds());
  EXPECT_EQ(member.node().transfer_target(), raft::MemberId{7});
  member.node().SetTransferAnswer(absl::NotFoundError("no voter"));
  EXPECT_THAT(move(), Fails(StatusCode::FAILED_PRECONDITION, "etcdserver: bad leader transferee"));
  member.node().SetTransferAnswer(absl::UnavailableError("it goes on leading"));
  EXPECT_THAT(move(), Fails(StatusCode::UNKNOWN, "etcdserver: request timed out, leader transfer took too long"));
  member.node().SetLeader(raft::MemberId{7}, raft::Term{2});
  EXPECT_THAT(move(), Fails(StatusCode::FAILED_PRECONDITION, "etcdserver: not leader"));
}

}  // namespace
}  // namespace keel::server
