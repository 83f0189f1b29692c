#include <atomic>
#include <thread>

#include "tests/api/member_fixture.h"

namespace keel::server {
namespace {

using grpc::StatusCode;

grpc::Status Lock(TestMember* member, const std::string& name, int64_t lease, v3lockpb::LockResponse* response,
                  grpc::ClientContext* context) {
  v3lockpb::LockRequest request;
  request.set_name(name);
  request.set_lease(lease);
  return member->lock().Lock(context, request, response);
}

int64_t KeysUnder(TestMember* member, const std::string& name) {
  etcdserverpb::RangeRequest request = RangeOf(name + "/", name + "0");
  request.set_count_only(true);
  etcdserverpb::RangeResponse response;
  EXPECT_THAT(Range(member, request, &response), Succeeds());
  return response.count();
}

grpc::Status Campaign(TestMember* member, const std::string& name, int64_t lease, const std::string& value,
                      v3electionpb::CampaignResponse* response) {
  Context context;
  v3electionpb::CampaignRequest request;
  request.set_name(name);
  request.set_lease(lease);
  request.set_value(value);
  return member->election().Campaign(&context, request, response);
}

TEST(LockTest, WhatDoesNotFitIsRefusedAndRaisesTheAlarm) {
  constexpr char kText[] = "etcdserver: mvcc: database space exceeded";
  const std::string much(8 << 10, 'x');
  {
    TestMember member({.limits = {.quota_bytes = 4 << 10}});
    Context context;
    v3lockpb::LockResponse response;
    EXPECT_THAT(Lock(&member, much, MustGrant(&member), &response, &context), Fails(StatusCode::UNKNOWN, kText));
    EXPECT_TRUE(Await([&member] { return !member.store().alarms().empty(); }));
  }
  TestMember member({.limits = {.quota_bytes = 4 << 10}});
  v3electionpb::CampaignResponse won;
  ASSERT_THAT(Campaign(&member, "e", MustGrant(&member), "small", &won), Succeeds());
  Context context;
  v3electionpb::ProclaimRequest proclaim;
  *proclaim.mutable_leader() = won.leader();
  proclaim.set_value(much);
  v3electionpb::ProclaimResponse proclaimed;
  EXPECT_THAT(member.election().Proclaim(&context, proclaim, &proclaimed), Fails(StatusCode::UNKNOWN, kText));
  EXPECT_TRUE(Await([&member] { return !member.store().alarms().empty(); }));
}

TEST(LockTest, TheSecondWaitsUntilTheFirstLeaseEnds) {
  TestMember member;
  const int64_t first = MustGrant(&member);
  const int64_t second = MustGrant(&member);
  Context context;
  v3lockpb::LockResponse response;
  ASSERT_THAT(Lock(&member, "m", first, &response, &context), Succeeds());
  EXPECT_EQ(response.key(), absl::StrCat("m/", absl::Hex(first)));
  EXPECT_EQ(response.header().member_id(), kMemberId);

  std::atomic<bool> locked{false};
  std::thread waiter([&] {
    Context waiting;
    v3lockpb::LockResponse granted;
    EXPECT_THAT(Lock(&member, "m", second, &granted, &waiting), Succeeds());
    EXPECT_EQ(granted.key(), absl::StrCat("m/", absl::Hex(second)));
    locked = true;
  });
  EXPECT_TRUE(Await([&member] { return KeysUnder(&member, "m") == 2; }));
  EXPECT_FALSE(locked);
  etcdserverpb::LeaseRevokeResponse revoked;
  ASSERT_THAT(Revoke(&member, first, &revoked), Succeeds());
  waiter.join();

  Context unlock_context;
  v3lockpb::UnlockRequest unlock;
  unlock.set_key(absl::StrCat("m/", absl::Hex(second)));
  v3lockpb::UnlockResponse unlocked;
  EXPECT_THAT(member.lock().Unlock(&unlock_context, unlock, &unlocked), Succeeds());
  EXPECT_EQ(KeysUnder(&member, "m"), 0);
}

TEST(LockTest, ACallerThatGivesUpLeavesTheLine) {
  TestMember member;
  const int64_t first = MustGrant(&member);
  const int64_t second = MustGrant(&member);
  Context context;
  v3lockpb::LockResponse response;
  ASSERT_THAT(Lock(&member, "m", first, &response, &context), Succeeds());
  Context giving_up;
  std::thread waiter([&] {
    v3lockpb::LockResponse never;
    EXPECT_EQ(Lock(&member, "m", second, &never, &giving_up).error_code(), StatusCode::CANCELLED);
  });
  EXPECT_TRUE(Await([&member] { return KeysUnder(&member, "m") == 2; }));
  giving_up.TryCancel();
  waiter.join();
  EXPECT_TRUE(Await([&member] { return KeysUnder(&member, "m") == 1; }));
}

TEST(LockTest, ErrorsFromBelowAreUnknownWithTheirText) {
  TestMember member;
  Context context;
  v3lockpb::LockResponse response;
  EXPECT_THAT(Lock(&member, "m", 12345, &response, &context),
              Fails(StatusCode::UNKNOWN, "etcdserver: requested lease not found"));
}

TEST(LockTest, StopEndsWaiters) {
  TestMember member;
  const int64_t first = MustGrant(&member);
  const int64_t second = MustGrant(&member);
  Context context;
  v3lockpb::LockResponse response;
  ASSERT_THAT(Lock(&member, "m", first, &response, &context), Succeeds());
  std::thread waiter([&] {
    Context waiting;
    v3lockpb::LockResponse never;
    EXPECT_THAT(Lock(&member, "m", second, &never, &waiting),
                Fails(StatusCode::UNAVAILABLE, "etcdserver: server stopped"));
  });
  EXPECT_TRUE(Await([&member] { return KeysUnder(&member, "m") == 2; }));
  member.services().Stop();
  waiter.join();
}

TEST(ElectionTest, CampaignProclaimObserveResign) {
  TestMember member;
  const int64_t lease = MustGrant(&member);
  v3electionpb::LeaderRequest leader_request;
  leader_request.set_name("e");
  Context none_context;
  v3electionpb::LeaderResponse leader;
  EXPECT_THAT(member.election().Leader(&none_context, leader_request, &leader),
              Fails(StatusCode::UNKNOWN, "election: no leader"));

  Context observe_context;
  auto observed = member.election().Observe(&observe_context, leader_request);
  v3electionpb::CampaignResponse won;
  ASSERT_THAT(Campaign(&member, "e", lease, "one", &won), Succeeds());
  EXPECT_EQ(won.leader().name(), "e");
  EXPECT_EQ(won.leader().key(), absl::StrCat("e/", absl::Hex(lease)));
  EXPECT_EQ(won.leader().lease(), lease);
  ExpectHeader(won.header(), won.leader().rev());
  ASSERT_TRUE(observed->Read(&leader));
  EXPECT_EQ(leader.kv().value(), "one");
  EXPECT_EQ(leader.header().member_id(), kMemberId);

  Context proclaim_context;
  v3electionpb::ProclaimRequest proclaim;
  *proclaim.mutable_leader() = won.leader();
  proclaim.set_value("two");
  v3electionpb::ProclaimResponse proclaimed;
  ASSERT_THAT(member.election().Proclaim(&proclaim_context, proclaim, &proclaimed), Succeeds());
  ASSERT_TRUE(observed->Read(&leader));
  EXPECT_EQ(leader.kv().value(), "two");

  Context leader_context;
  ASSERT_THAT(member.election().Leader(&leader_context, leader_request, &leader), Succeeds());
  EXPECT_EQ(leader.kv().value(), "two");

  Context resign_context;
  v3electionpb::ResignRequest resign;
  *resign.mutable_leader() = won.leader();
  v3electionpb::ResignResponse resigned;
  ASSERT_THAT(member.election().Resign(&resign_context, resign, &resigned), Succeeds());
  Context late_context;
  EXPECT_THAT(member.election().Proclaim(&late_context, proclaim, &proclaimed),
              Fails(StatusCode::UNKNOWN, "election: not leader"));

  observe_context.TryCancel();
  EXPECT_FALSE(observed->Read(&leader));
  EXPECT_EQ(observed->Finish().error_code(), StatusCode::CANCELLED);
}

TEST(ElectionTest, TheNextCandidateWinsWhenTheLeaderResigns) {
  TestMember member;
  const int64_t first = MustGrant(&member);
  const int64_t second = MustGrant(&member);
  v3electionpb::CampaignResponse won;
  ASSERT_THAT(Campaign(&member, "e", first, "one", &won), Succeeds());
  std::thread candidate([&] {
    v3electionpb::CampaignResponse later;
    EXPECT_THAT(Campaign(&member, "e", second, "two", &later), Succeeds());
    EXPECT_EQ(later.leader().lease(), second);
  });
  EXPECT_TRUE(Await([&member] { return KeysUnder(&member, "e") == 2; }));
  Context context;
  v3electionpb::ResignRequest resign;
  *resign.mutable_leader() = won.leader();
  v3electionpb::ResignResponse resigned;
  ASSERT_THAT(member.election().Resign(&context, resign, &resigned), Succeeds());
  candidate.join();
}

TEST(ElectionTest, TheLeaderFieldMustBeThere) {
  TestMember member;
  constexpr char kText[] = "\"leader\" field must be provided";
  Context proclaim_context, resign_context;
  v3electionpb::ProclaimResponse proclaimed;
  EXPECT_THAT(member.election().Proclaim(&proclaim_context, {}, &proclaimed), Fails(StatusCode::UNKNOWN, kText));
  v3electionpb::ResignResponse resigned;
  EXPECT_THAT(member.election().Resign(&resign_context, {}, &resigned), Fails(StatusCode::UNKNOWN, kText));
}

TEST(ElectionTest, StopEndsObservers) {
  TestMember member;
  const int64_t lease = MustGrant(&member);
  v3electionpb::CampaignResponse won;
  ASSERT_THAT(Campaign(&member, "e", lease, "one", &won), Succeeds());
  Context context;
  v3electionpb::LeaderRequest request;
  request.set_name("e");
  auto observed = member.election().Observe(&context, request);
  v3electionpb::LeaderResponse leader;
  ASSERT_TRUE(observed->Read(&leader));
  member.services().Stop();
  EXPECT_FALSE(observed->Read(&leader));
  EXPECT_THAT(observed->Finish(), Fails(StatusCode::UNAVAILABLE, "etcdserver: server stopped"));
}

}  // namespace
}  // namespace keel::server
