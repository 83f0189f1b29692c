#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/lock/election_api.h"
#include "server/lock/lock_api.h"
#include "server/lock/ownership_queue.h"
#include "tests/apply/one_member.h"

namespace keel::server {
namespace {

using LockResult = Awaited<absl::StatusOr<v3lockpb::LockResponse>>;
using CampaignResult = Awaited<absl::StatusOr<v3electionpb::CampaignResponse>>;
using LeaderResult = Awaited<absl::StatusOr<v3electionpb::LeaderResponse>>;

class LockTest : public testing::Test {
 protected:
  ~LockTest() override { queue_->Stop(); }

  LockResult Lock(std::string name, int64_t lease, std::shared_ptr<PendingCall>* call = nullptr) {
    v3lockpb::LockRequest request;
    request.set_name(std::move(name));
    request.set_lease(lease);
    LockResult result;
    auto pending = lock_.Lock(
        request, [result](absl::StatusOr<v3lockpb::LockResponse> response) { result.Set(std::move(response)); });
    if (call != nullptr) *call = pending;
    return result;
  }
  absl::StatusOr<v3lockpb::UnlockResponse> Unlock(std::string key) {
    v3lockpb::UnlockRequest request;
    request.set_key(std::move(key));
    Awaited<absl::StatusOr<v3lockpb::UnlockResponse>> result;
    lock_.Unlock(request,
                 [result](absl::StatusOr<v3lockpb::UnlockResponse> response) { result.Set(std::move(response)); });
    return result.Get();
  }
  CampaignResult Campaign(int64_t lease, std::string value, std::shared_ptr<PendingCall>* call = nullptr) {
    v3electionpb::CampaignRequest request;
    request.set_name("e");
    request.set_lease(lease);
    request.set_value(std::move(value));
    CampaignResult result;
    auto pending = election_.Campaign(request, [result](absl::StatusOr<v3electionpb::CampaignResponse> response) {
      result.Set(std::move(response));
    });
    if (call != nullptr) *call = pending;
    return result;
  }
  absl::Status Proclaim(const v3electionpb::LeaderKey& leader, std::string value) {
    v3electionpb::ProclaimRequest request;
    *request.mutable_leader() = leader;
    request.set_value(std::move(value));
    Awaited<absl::Status> result;
    election_.Proclaim(
        request, [result](absl::StatusOr<v3electionpb::ProclaimResponse> response) { result.Set(response.status()); });
    return result.Get();
  }
  absl::Status Resign(const v3electionpb::LeaderKey& leader) {
    v3electionpb::ResignRequest request;
    *request.mutable_leader() = leader;
    Awaited<absl::Status> result;
    election_.Resign(
        request, [result](absl::StatusOr<v3electionpb::ResignResponse> response) { result.Set(response.status()); });
    return result.Get();
  }
  absl::StatusOr<v3electionpb::LeaderResponse> Leader() {
    v3electionpb::LeaderRequest request;
    request.set_name("e");
    LeaderResult result;
    election_.Leader(
        request, [result](absl::StatusOr<v3electionpb::LeaderResponse> response) { result.Set(std::move(response)); });
    return result.Get();
  }
  std::shared_ptr<Observation> Observe() {
    v3electionpb::LeaderRequest request;
    request.set_name("e");
    return election_.Observe(request);
  }
  static LeaderResult Next(Observation* observation) {
    LeaderResult result;
    observation->Next(
        [result](absl::StatusOr<v3electionpb::LeaderResponse> response) { result.Set(std::move(response)); });
    return result;
  }

  OneMember member_;
  std::shared_ptr<OwnershipQueue> queue_ = OwnershipQueue::Create(member_.member());
  LockApi lock_{member_.member(), queue_.get()};
  ElectionApi election_{member_.member(), queue_.get()};
};

void ExpectUnknown(const absl::Status& status, std::string_view text) {
  EXPECT_EQ(status.code(), absl::StatusCode::kUnknown) << status;
  EXPECT_EQ(std::string(status.message()), text);
}

TEST(OwnershipKeyTest, IsTheLeaseInUnpaddedHex) {
  EXPECT_EQ(OwnershipKey("a/", 0x1f), "a/1f");
  EXPECT_EQ(OwnershipKey("a/", -0x1f), "a/-1f");
  EXPECT_EQ(OwnershipKey("a/", INT64_MAX), "a/7fffffffffffffff");
  EXPECT_EQ(OwnershipKey("a/", INT64_MIN), "a/-8000000000000000");
}

TEST(OwnershipKeyTest, PrefixEndIsTheFirstKeyBehindThePrefix) {
  EXPECT_EQ(PrefixEnd("a/"), "a0");
  EXPECT_EQ(PrefixEnd("a\xff\xff"), "b");
  EXPECT_EQ(PrefixEnd("\xff"), std::string(1, '\0'));
  EXPECT_EQ(PrefixEnd(""), std::string(1, '\0'));
}

TEST_F(LockTest, FreeLockIsTakenAtOnceWithTheHeaderOfItsTransaction) {
  member_.Grant(0x2a, 60);
  const auto response = Lock("n", 0x2a).Get();
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->key(), "n/2a");
  EXPECT_EQ(response->header().revision(), 2);
  EXPECT_EQ(response->header().cluster_id(), 7u);
  EXPECT_EQ(response->header().member_id(), 1u);
  EXPECT_TRUE(member_.Has("n/2a"));
}

TEST_F(LockTest, SameLeaseLocksAgainAtOnceAndKeepsItsKey) {
  member_.Grant(5, 60);
  ASSERT_TRUE(Lock("n", 5).Get().ok());
  const auto again = Lock("n", 5).Get();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->key(), "n/5");
  EXPECT_EQ(member_.store().current_revision().value(), 2) << "nothing was written a second time";
}

TEST_F(LockTest, LeaseZeroGetsAFreshLeaseOfSixtySeconds) {
  const auto response = Lock("n", 0).Get();
  ASSERT_TRUE(response.ok()) << response.status();
  const auto leases = member_.store().Leases();
  ASSERT_EQ(leases.size(), 1u);
  EXPECT_EQ(leases[0].granted_ttl, 60);
  EXPECT_GT(leases[0].id.value(), 0);
  EXPECT_EQ(response->key(), OwnershipKey("n/", leases[0].id.value()));
}

TEST_F(LockTest, UnknownLeaseArrivesAsUnknownWithTheTextFromBelow) {
  ExpectUnknown(Lock("n", 99).Get().status(), "etcdserver: requested lease not found");
}

TEST_F(LockTest, WaitersAreServedInTheOrderTheyCameAndEachWaitsForTheOneAhead) {
  constexpr int kWaiters = 5;
  std::vector<LockResult> results;
  for (int i = 1; i <= kWaiters; ++i) {
    member_.Grant(i, 60);
    results.push_back(Lock("n", i));
    ASSERT_TRUE(Eventually([&] { return member_.Has(OwnershipKey("n/", i)); }));
  }
  for (int i = 0; i < kWaiters; ++i) {
    SCOPED_TRACE(i);
    const auto response = results[i].Get();
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(response->key(), OwnershipKey("n/", i + 1));
    for (int later = i + 1; later < kWaiters; ++later) EXPECT_FALSE(results[later].IsSet()) << later;
    ASSERT_TRUE(Unlock(response->key()).ok());
  }
}

TEST_F(LockTest, OneInTheMiddleThatLeavesLetsNobodyPassTheHolder) {
  for (int i = 1; i <= 3; ++i) member_.Grant(i, 60);
  const auto first = Lock("n", 1);
  ASSERT_TRUE(first.Get().ok());
  const auto second = Lock("n", 2);
  ASSERT_TRUE(Eventually([&] { return member_.Has("n/2"); }));
  const auto third = Lock("n", 3);
  ASSERT_TRUE(Eventually([&] { return member_.Has("n/3"); }));
  member_.Revoke(2);
  ExpectUnknown(second.Get().status(), "mutex: session is expired");
  EXPECT_FALSE(third.WaitFor(std::chrono::milliseconds(50))) << "the first still holds it";
  ASSERT_TRUE(Unlock("n/1").ok());
  EXPECT_TRUE(third.Get().ok());
}

TEST_F(LockTest, WaiterGetsTheLockWhenTheHoldersLeaseIsRevoked) {
  member_.Grant(1, 60);
  member_.Grant(2, 60);
  ASSERT_TRUE(Lock("n", 1).Get().ok());
  const auto second = Lock("n", 2);
  ASSERT_TRUE(Eventually([&] { return member_.Has("n/2"); }));
  const int64_t revoked_at = member_.Revoke(1).revision;
  const auto response = second.Get();
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->header().revision(), revoked_at) << "of the read that confirms it, not of the queueing";
}

TEST_F(LockTest, WaiterWhoseOwnLeaseEndsStopsWaitingWhileTheHolderGoesOn) {
  member_.Grant(1, 60);
  member_.Grant(2, 60);
  ASSERT_TRUE(Lock("n", 1).Get().ok());
  const auto second = Lock("n", 2);
  ASSERT_TRUE(Eventually([&] { return member_.Has("n/2"); }));
  member_.Revoke(2);
  ExpectUnknown(second.Get().status(), "mutex: session is expired");
  EXPECT_TRUE(member_.Has("n/1"));
}

TEST_F(LockTest, CancelEndsTheWaitAndRemovesTheQueuedKey) {
  member_.Grant(1, 60);
  member_.Grant(2, 60);
  ASSERT_TRUE(Lock("n", 1).Get().ok());
  std::shared_ptr<PendingCall> call;
  const auto second = Lock("n", 2, &call);
  ASSERT_TRUE(Eventually([&] { return member_.Has("n/2"); }));
  call->Cancel();
  call->Cancel();
  const absl::Status status = second.Get().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(std::string(status.message()), "context canceled");
  EXPECT_TRUE(Eventually([&] { return !member_.Has("n/2"); }));
  EXPECT_TRUE(member_.Has("n/1"));
}

TEST_F(LockTest, CancelWithALeaseOfOurOwnLeavesNothingBehind) {
  member_.Grant(1, 60);
  ASSERT_TRUE(Lock("n", 1).Get().ok());
  std::shared_ptr<PendingCall> call;
  const auto second = Lock("n", 0, &call);
  // Wherever it is by now: before the grant, before the key, or waiting.
  call->Cancel();
  EXPECT_FALSE(second.Get().ok());
  EXPECT_TRUE(
      Eventually([&] { return member_.store().Leases().size() == 1 && member_.store().sizes().live_keys == 1; }));
}

TEST_F(LockTest, CancelAfterTheLockIsHeldChangesNothing) {
  member_.Grant(1, 60);
  std::shared_ptr<PendingCall> call;
  ASSERT_TRUE(Lock("n", 1, &call).Get().ok());
  call->Cancel();
  ASSERT_TRUE(Lock("other", 1).Get().ok()) << "a full turn of the queue's thread";
  EXPECT_TRUE(member_.Has("n/1"));
}

TEST_F(LockTest, NamesThatArePrefixesOfEachOtherAreDifferentLocks) {
  for (int i = 1; i <= 3; ++i) member_.Grant(i, 60);
  member_.Put("n", "a plain key");
  EXPECT_TRUE(Lock("na", 1).Get().ok());
  EXPECT_TRUE(Lock("n", 2).Get().ok());
}

TEST_F(LockTest, AKeyOfAnotherClientLibraryHoldsTheLock) {
  member_.Put("n/abc", "");
  member_.Grant(1, 60);
  const auto result = Lock("n", 1);
  ASSERT_TRUE(Eventually([&] { return member_.Has("n/1"); }));
  EXPECT_FALSE(result.WaitFor(std::chrono::milliseconds(50)));
  member_.Delete("n/abc");
  EXPECT_TRUE(result.Get().ok());
}

TEST_F(LockTest, UnlockOfAnAbsentKeySucceeds) {
  const auto response = Unlock("n/77");
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->header().revision(), 1);
}

TEST_F(LockTest, StopEndsEveryWait) {
  member_.Grant(1, 60);
  member_.Grant(2, 60);
  ASSERT_TRUE(Lock("n", 1).Get().ok());
  const auto second = Lock("n", 2);
  ASSERT_TRUE(Eventually([&] { return member_.Has("n/2"); }));
  queue_->Stop();
  EXPECT_EQ(second.Get().status(), absl::UnavailableError("etcdserver: server stopped"));
  EXPECT_EQ(Lock("n", 2).Get().status(), absl::UnavailableError("etcdserver: server stopped"));
}

TEST_F(LockTest, CampaignsLeadInTurnAndTheTokenGrows) {
  member_.Grant(1, 60);
  member_.Grant(2, 60);
  const auto first = Campaign(1, "one").Get();
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->leader().name(), "e");
  EXPECT_EQ(first->leader().key(), "e/1");
  EXPECT_EQ(first->leader().lease(), 1);
  EXPECT_EQ(first->leader().rev(), first->header().revision());
  const auto second = Campaign(2, "two");
  ASSERT_TRUE(Eventually([&] { return member_.Has("e/2"); }));
  EXPECT_FALSE(second.IsSet());
  EXPECT_EQ(Leader()->kv().value(), "one");
  ASSERT_TRUE(Resign(first->leader()).ok());
  const auto won = second.Get();
  ASSERT_TRUE(won.ok()) << won.status();
  EXPECT_GT(won->leader().rev(), first->leader().rev());
  EXPECT_EQ(Leader()->kv().value(), "two");
}

TEST_F(LockTest, CampaignAgainWithTheSameLeaseKeepsThePlaceAndReplacesTheValue) {
  member_.Grant(1, 60);
  const auto first = Campaign(1, "one").Get();
  ASSERT_TRUE(first.ok());
  const auto again = Campaign(1, "uno").Get();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->leader().rev(), first->leader().rev());
  EXPECT_EQ(Leader()->kv().value(), "uno");
}

TEST_F(LockTest, OnlyTheLeaderOfThisVeryReignMayProclaim) {
  member_.Grant(1, 60);
  const auto won = Campaign(1, "one").Get();
  ASSERT_TRUE(won.ok());
  v3electionpb::LeaderKey leader = won->leader();
  EXPECT_TRUE(Proclaim(leader, "new").ok());
  EXPECT_EQ(Leader()->kv().value(), "new");
  leader.set_rev(leader.rev() + 1);
  ExpectUnknown(Proclaim(leader, "stale"), "election: not leader");
  EXPECT_TRUE(Resign(leader).ok()) << "no match is no error";
  EXPECT_EQ(Leader()->kv().value(), "new");
}

TEST_F(LockTest, ProclaimWithoutALeaseKeepsTheLeaseOfTheKey) {
  member_.Grant(1, 60);
  v3electionpb::LeaderKey leader = Campaign(1, "one").Get()->leader();
  leader.set_lease(0);
  ASSERT_TRUE(Proclaim(leader, "new").ok());
  EXPECT_EQ(Leader()->kv().lease(), 1);
}

TEST_F(LockTest, ElectionErrorsHaveTheirTexts) {
  ExpectUnknown(Leader().status(), "election: no leader");
  Awaited<absl::Status> missing;
  election_.Proclaim({}, [missing](const absl::StatusOr<v3electionpb::ProclaimResponse>& response) {
    missing.Set(response.status());
  });
  ExpectUnknown(missing.Get(), "\"leader\" field must be provided");
  member_.Grant(1, 60);
  member_.Grant(2, 60);
  ASSERT_TRUE(Campaign(1, "one").Get().ok());
  const auto second = Campaign(2, "two");
  ASSERT_TRUE(Eventually([&] { return member_.Has("e/2"); }));
  member_.Revoke(2);
  ExpectUnknown(second.Get().status(), "election: session is expired");
}

TEST_F(LockTest, ObserverSeesTheFirstLeaderItsProclamationsAndItsSuccessor) {
  member_.Grant(1, 60);
  member_.Grant(2, 60);
  const auto observation = Observe();
  const auto first = Next(observation.get());
  EXPECT_FALSE(first.WaitFor(std::chrono::milliseconds(20)));
  const auto won = Campaign(1, "one").Get();
  ASSERT_TRUE(won.ok());
  ASSERT_TRUE(first.Get().ok());
  EXPECT_EQ(first.Get()->kv().value(), "one");
  EXPECT_EQ(first.Get()->header().revision(), first.Get()->kv().mod_revision());
  const auto second = Campaign(2, "two");
  for (const char* value : {"a", "b", "c"}) {
    ASSERT_TRUE(Proclaim(won->leader(), value).ok());
    const auto item = Next(observation.get()).Get();
    ASSERT_TRUE(item.ok());
    EXPECT_EQ(item->kv().value(), value);
    EXPECT_EQ(item->header().revision(), item->kv().mod_revision());
  }
  ASSERT_TRUE(Eventually([&] { return member_.Has("e/2"); }));
  ASSERT_TRUE(Resign(won->leader()).ok());
  const auto successor = Next(observation.get()).Get();
  ASSERT_TRUE(successor.ok());
  EXPECT_EQ(successor->kv().value(), "two");
  const auto nothing_more = Next(observation.get());
  observation->Cancel();
  EXPECT_EQ(nothing_more.Get().status().code(), absl::StatusCode::kCancelled);
}

TEST_F(LockTest, SlowObserverMissesItemsInBetweenButNeverTheLatest) {
  member_.Grant(1, 60);
  const auto won = Campaign(1, "0").Get();
  ASSERT_TRUE(won.ok());
  const auto observation = Observe();
  EXPECT_EQ(Next(observation.get()).Get()->kv().value(), "0");
  for (int i = 1; i <= 200; ++i) ASSERT_TRUE(Proclaim(won->leader(), std::to_string(i)).ok());
  int last = 0;
  int items = 0;
  while (last < 200) {
    const auto item = Next(observation.get()).Get();
    ASSERT_TRUE(item.ok());
    const int value = std::stoi(item->kv().value());
    EXPECT_GT(value, last);
    last = value;
    ++items;
  }
  EXPECT_LE(items, 200);
}

}  // namespace
}  // namespace keel::server
