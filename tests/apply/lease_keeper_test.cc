#include "server/lease/lease_keeper.h"

#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <vector>

#include "tests/apply/one_member.h"

namespace keel::server {
namespace {

using storage::LeaseId;
using Ttl = Awaited<absl::StatusOr<int64_t>>;
using Ttls = Awaited<absl::StatusOr<std::vector<int64_t>>>;
using TimeToLiveResult = Awaited<absl::StatusOr<LeaseTimeToLive>>;

constexpr raft::MemberId kSelf{1};
constexpr raft::MemberId kOther{2};

Ttl Renew(LeaseKeeper& keeper, int64_t id, absl::Time deadline) {
  Ttl result;
  keeper.Renew(LeaseId{id}, deadline, [result](absl::StatusOr<int64_t> ttl) { result.Set(std::move(ttl)); });
  return result;
}

TimeToLiveResult LookUp(LeaseKeeper& keeper, int64_t id, absl::Time deadline) {
  TimeToLiveResult result;
  keeper.TimeToLive(LeaseId{id}, deadline,
                    [result](absl::StatusOr<LeaseTimeToLive> answer) { result.Set(std::move(answer)); });
  return result;
}

class LeaseKeeperTest : public testing::Test {
 protected:
  absl::Time Soon() { return member_.clock().Now() + absl::Seconds(7); }
  Ttl Renew(int64_t id) { return server::Renew(member_.leases(), id, Soon()); }
  TimeToLiveResult LookUp(int64_t id) { return server::LookUp(member_.leases(), id, Soon()); }
  Ttls RenewAsLeader(std::vector<int64_t> ids) {
    std::vector<LeaseId> lease_ids;
    for (int64_t id : ids) lease_ids.emplace_back(id);
    Ttls result;
    member_.leases().RenewAsLeader(
        lease_ids, Soon(), [result](absl::StatusOr<std::vector<int64_t>> ttls) { result.Set(std::move(ttls)); });
    return result;
  }
  // The keeper has built its table: it answers.
  void AwaitPromotion() { ASSERT_TRUE(Renew(-1).Get().ok()); }
  bool Gone(int64_t id) { return !member_.store().Lease(LeaseId{id}).has_value(); }

  OneMember member_;
};

TEST_F(LeaseKeeperTest, MinimumTtlIsOneAndAHalfElectionTimeoutsRoundedUp) {
  EXPECT_EQ(member_.leases().minimum_ttl(), 2);
  EXPECT_EQ(LeaseKeeper::Create({.election_timeout = absl::Seconds(10)}, kSelf, &member_.clock(), &member_.store())
                ->minimum_ttl(),
            15);
  EXPECT_EQ(
      LeaseKeeper::Create({.election_timeout = absl::Milliseconds(100)}, kSelf, &member_.clock(), &member_.store())
          ->minimum_ttl(),
      1);
}

TEST_F(LeaseKeeperTest, RenewsAliveLeasesAndAnswersZeroForUnknownOnes) {
  AwaitPromotion();
  member_.Grant(5, 60);
  EXPECT_EQ(*Renew(5).Get(), 60);
  EXPECT_EQ(*Renew(6).Get(), 0);
  EXPECT_EQ(*Renew(0).Get(), 0);
  member_.Revoke(5);
  EXPECT_EQ(*Renew(5).Get(), 0);
}

TEST_F(LeaseKeeperTest, LeaseExpiresAfterItsTtlWithItsKeys) {
  AwaitPromotion();
  member_.Grant(5, 60);
  member_.Grant(6, 600);
  member_.Put("k", "v", 5);
  member_.clock().Advance(absl::Seconds(60) - absl::Nanoseconds(1));
  AwaitPromotion();
  EXPECT_FALSE(Gone(5));
  member_.clock().Advance(absl::Milliseconds(10));  // The next check.
  EXPECT_TRUE(Eventually([&] { return Gone(5) && !member_.Has("k"); }));
  EXPECT_FALSE(Gone(6));
}

TEST_F(LeaseKeeperTest, RenewedLeaseLivesOn) {
  AwaitPromotion();
  member_.Grant(5, 60);
  for (int i = 0; i < 5; ++i) {
    member_.clock().Advance(absl::Seconds(59));
    ASSERT_EQ(*Renew(5).Get(), 60);
  }
  EXPECT_FALSE(Gone(5));
}

TEST_F(LeaseKeeperTest, RenewalOfAnExpiredLeaseWaitsForItsEnd) {
  AwaitPromotion();
  member_.Grant(5, 60);
  member_.node().SetDropping(true);  // The expiry is lost.
  member_.clock().Advance(absl::Seconds(60));
  const Ttl renewal = Renew(5);
  EXPECT_FALSE(renewal.WaitFor(std::chrono::milliseconds(100)));
  EXPECT_FALSE(Gone(5));
  member_.node().SetDropping(false);
  member_.clock().Advance(absl::Seconds(6));  // It is proposed again when the first has timed out.
  EXPECT_EQ(*renewal.Get(), 0);
  EXPECT_TRUE(Gone(5));
}

TEST_F(LeaseKeeperTest, ManyRenewalsShareARoundTrip) {
  AwaitPromotion();
  for (int64_t id = 1; id <= 50; ++id) member_.Grant(id, 60);
  member_.node().HoldReads();
  std::vector<Ttl> renewals = {Renew(1)};
  ASSERT_TRUE(Eventually([&] { return member_.node().held_reads() == 1; }));
  for (int64_t id = 2; id <= 50; ++id) renewals.push_back(Renew(id));
  const size_t before = member_.node().reads();
  member_.node().ReleaseReads();
  for (const Ttl& renewal : renewals) EXPECT_EQ(*renewal.Get(), 60);
  EXPECT_LE(member_.node().reads() - before, 5u);
}

TEST_F(LeaseKeeperTest, NothingIsPromisedUntilLeadershipIsConfirmed) {
  AwaitPromotion();
  member_.Grant(5, 60);
  member_.node().HoldReads();
  const Ttl renewal = Renew(5);
  ASSERT_TRUE(Eventually([&] { return member_.node().held_reads() > 0; }));
  EXPECT_FALSE(renewal.WaitFor(std::chrono::milliseconds(50)));
  member_.clock().Advance(absl::Seconds(7));
  EXPECT_EQ(renewal.Get().status(), absl::UnknownError("not a primary lessor"));
  member_.node().ReleaseReads();
}

TEST_F(LeaseKeeperTest, AConfirmationThatIsOlderThanAnElectionTimeoutIsNotBelieved) {
  AwaitPromotion();
  member_.Grant(5, 60);
  member_.node().HoldReads();
  const Ttl renewal = Renew(5);
  ASSERT_TRUE(Eventually([&] { return member_.node().held_reads() == 1; }));
  const size_t before = member_.node().reads();
  member_.clock().Advance(absl::Seconds(2));  // The process stood still.
  member_.node().ReleaseReads();
  EXPECT_EQ(*renewal.Get(), 60);
  EXPECT_GT(member_.node().reads(), before) << "a second round trip";
}

TEST_F(LeaseKeeperTest, TimeToLiveIsWhatRemainsTruncated) {
  AwaitPromotion();
  member_.Grant(5, 90);
  member_.clock().Advance(absl::Milliseconds(300));
  EXPECT_EQ(LookUp(5).Get()->ttl, 89);
  EXPECT_EQ(LookUp(5).Get()->granted_ttl, 90);
  EXPECT_EQ(LookUp(6).Get()->ttl, -1);
  EXPECT_EQ(LookUp(6).Get()->granted_ttl, 0);
}

TEST_F(LeaseKeeperTest, LeasesAreListedSoonestFirst) {
  AwaitPromotion();
  member_.Grant(1, 300);
  member_.Grant(2, 100);
  member_.Grant(3, 200);
  EXPECT_EQ(member_.leases().Leases(), (std::vector<LeaseId>{LeaseId{2}, LeaseId{3}, LeaseId{1}}));
  member_.node().SetLeader(kOther, raft::Term{2});
  EXPECT_EQ(member_.leases().Leases(), (std::vector<LeaseId>{LeaseId{1}, LeaseId{2}, LeaseId{3}}));
}

TEST_F(LeaseKeeperTest, ANewLeaderGivesTheFullTtlAndAnElectionTimeout) {
  AwaitPromotion();
  member_.Grant(5, 60);
  member_.clock().Advance(absl::Seconds(50));
  member_.node().SetLeader(kOther, raft::Term{2});
  member_.clock().Advance(absl::Hours(1));  // The other one keeps it.
  member_.node().SetLeader(kSelf, raft::Term{3});
  AwaitPromotion();
  EXPECT_FALSE(Gone(5));
  member_.clock().Advance(absl::Seconds(61) - absl::Nanoseconds(1));
  AwaitPromotion();
  EXPECT_FALSE(Gone(5));
  member_.clock().Advance(absl::Milliseconds(10));
  EXPECT_TRUE(Eventually([&] { return Gone(5); }));
}

TEST_F(LeaseKeeperTest, AMemberThatDoesNotLeadExpiresNothing) {
  AwaitPromotion();
  member_.Grant(5, 60);
  member_.node().SetLeader(kOther, raft::Term{2});
  const size_t before = member_.node().proposals();
  member_.clock().Advance(absl::Hours(1));
  EXPECT_EQ(RenewAsLeader({5}).Get().status(), absl::UnavailableError("etcdserver: not leader"));
  EXPECT_EQ(member_.node().proposals(), before);
  EXPECT_FALSE(Gone(5));
}

TEST_F(LeaseKeeperTest, WithoutALeaderARenewalEndsWithNoLeader) {
  AwaitPromotion();
  member_.Grant(5, 60);
  member_.node().SetLeader(raft::kNobody, raft::Term{2});
  const Ttl renewal = Renew(5);
  const TimeToLiveResult look_up = LookUp(5);
  member_.clock().Advance(absl::Seconds(7));
  EXPECT_EQ(renewal.Get().status(), absl::UnavailableError("etcdserver: no leader"));
  EXPECT_EQ(look_up.Get().status(), absl::UnavailableError("etcdserver: no leader"));
}

TEST_F(LeaseKeeperTest, ARenewalOutlivesAChangeOfLeaders) {
  AwaitPromotion();
  member_.Grant(5, 60);
  member_.node().HoldReads();
  const Ttl renewal = Renew(5);
  ASSERT_TRUE(Eventually([&] { return member_.node().held_reads() == 1; }));
  member_.node().SetLeader(raft::kNobody, raft::Term{2});
  member_.node().ReleaseReads();
  EXPECT_FALSE(renewal.WaitFor(std::chrono::milliseconds(50)));
  member_.node().SetLeader(kSelf, raft::Term{3});
  EXPECT_EQ(*renewal.Get(), 60);
}

TEST_F(LeaseKeeperTest, PeersGetTtlsInTheirOrder) {
  AwaitPromotion();
  member_.Grant(1, 10);
  member_.Grant(2, 20);
  const auto ttls = RenewAsLeader({2, 99, 1, 2}).Get();
  ASSERT_TRUE(ttls.ok()) << ttls.status();
  EXPECT_EQ(*ttls, (std::vector<int64_t>{20, 0, 10, 20}));
  EXPECT_TRUE(RenewAsLeader({}).Get()->empty());
}

TEST_F(LeaseKeeperTest, B075_CheckpointKeepsALeaderChangeFromRestoringTheFullTtl) {
  AwaitPromotion();
  member_.Grant(5, 3600);
  member_.clock().Advance(absl::Minutes(5));
  ASSERT_TRUE(Eventually([&] { return member_.store().Lease(LeaseId{5})->remaining_ttl == 3300; }));
  member_.node().SetLeader(kOther, raft::Term{2});
  member_.node().SetLeader(kSelf, raft::Term{3});
  AwaitPromotion();
  const int64_t ttl = LookUp(5).Get()->ttl;
  EXPECT_LE(ttl, 3301);
  EXPECT_GE(ttl, 3299);
}

TEST_F(LeaseKeeperTest, RenewalOfACheckpointedLeaseIsAnsweredWhenTheCheckpointIsTakenBack) {
  AwaitPromotion();
  member_.Grant(5, 3600);
  member_.clock().Advance(absl::Minutes(5));
  ASSERT_TRUE(Eventually([&] { return member_.store().Lease(LeaseId{5})->remaining_ttl == 3300; }));
  const size_t before = member_.node().proposals();
  EXPECT_EQ(*Renew(5).Get(), 3600);
  EXPECT_EQ(member_.store().Lease(LeaseId{5})->remaining_ttl, 0);
  EXPECT_EQ(member_.node().proposals(), before + 1);
  EXPECT_EQ(*Renew(5).Get(), 3600);
  EXPECT_EQ(member_.node().proposals(), before + 1) << "once";
}

TEST_F(LeaseKeeperTest, ManyExpiriesTravelInOneEntry) {
  AwaitPromotion();
  for (int64_t id = 1; id <= 100; ++id) member_.Grant(id, 60);
  const size_t before = member_.node().proposals();
  member_.clock().Advance(absl::Seconds(60));
  EXPECT_TRUE(Eventually([&] { return member_.store().Leases().empty(); }));
  EXPECT_LE(member_.node().proposals() - before, 2u);
}

// Ten thousand leases that end together are not a second in which nobody else can write.
TEST_F(LeaseKeeperTest, AfterAnEntryOfExpiriesOthersHaveAsLongAsItTook) {
  AwaitPromotion();
  const int64_t count = 2 * static_cast<int64_t>(LeaseKeeper::Options().expiries_per_entry_max);
  for (int64_t id = 1; id <= count; ++id) member_.Grant(id, 60);
  const size_t before = member_.node().proposals();
  member_.node().HoldProposals();
  member_.clock().Advance(absl::Seconds(60));
  ASSERT_TRUE(Eventually([&] { return member_.node().proposals() == before + 1; }));
  member_.clock().Advance(absl::Milliseconds(8));
  member_.node().ReleaseProposals();
  ASSERT_TRUE(Eventually([&] { return member_.store().Leases().size() == static_cast<size_t>(count / 2); }));
  AwaitPromotion();  // It has looked at what is due.
  EXPECT_EQ(member_.node().proposals(), before + 1);
  member_.clock().Advance(absl::Milliseconds(7));
  AwaitPromotion();
  EXPECT_EQ(member_.node().proposals(), before + 1);
  member_.clock().Advance(absl::Milliseconds(1));
  EXPECT_TRUE(Eventually([&] { return member_.store().Leases().empty(); }));
  EXPECT_EQ(member_.node().proposals(), before + 2);
}

TEST_F(LeaseKeeperTest, StopAnswersEveryCall) {
  AwaitPromotion();
  member_.node().HoldReads();
  const Ttl waiting = Renew(5);
  member_.leases().Stop();
  EXPECT_EQ(waiting.Get().status(), absl::UnavailableError("etcdserver: server stopped"));
  EXPECT_EQ(Renew(5).Get().status(), absl::UnavailableError("etcdserver: server stopped"));
  member_.node().ReleaseReads();
}

// Remembers what is forwarded; the test answers.
class FakeForwarder final : public LeaseForwarder {
 public:
  struct Forwarded {
    raft::MemberId leader;
    std::vector<LeaseId> ids;
    absl::AnyInvocable<void(absl::StatusOr<std::vector<int64_t>>)> done;
  };

  void Renew(raft::MemberId leader, std::vector<LeaseId> ids, absl::Time /*deadline*/,
             absl::AnyInvocable<void(absl::StatusOr<std::vector<int64_t>>)> done) override {
    std::lock_guard<std::mutex> lock(mutex_);
    renewals_.push_back({leader, std::move(ids), std::move(done)});
  }
  void TimeToLive(raft::MemberId leader, LeaseId id, absl::Time /*deadline*/,
                  absl::AnyInvocable<void(absl::StatusOr<LeaseTimeToLive>)> done) override {
    done(LeaseTimeToLive{.ttl = id.value() * 10, .granted_ttl = static_cast<int64_t>(leader.value())});
  }

  size_t waiting() {
    std::lock_guard<std::mutex> lock(mutex_);
    return renewals_.size();
  }
  Forwarded Take() {
    KEEL_CHECK(Eventually([&] { return waiting() > 0; })) << "nothing was forwarded";
    std::lock_guard<std::mutex> lock(mutex_);
    Forwarded first = std::move(renewals_.front());
    renewals_.erase(renewals_.begin());
    return first;
  }

 private:
  std::mutex mutex_;
  std::vector<Forwarded> renewals_;
};

class FollowerLeaseKeeperTest : public testing::Test {
 protected:
  FollowerLeaseKeeperTest() {
    keeper_->Attach(&member_.node(), &member_.proposer(), &forwarder_);
    keeper_->Start();
    keeper_->OnLeadership(raft::Role::kFollower, raft::Term{1}, kOther);
  }
  ~FollowerLeaseKeeperTest() override { keeper_->Stop(); }
  Ttl Renew(int64_t id) { return server::Renew(*keeper_, id, member_.clock().Now() + absl::Seconds(7)); }

  OneMember member_;
  FakeForwarder forwarder_;
  std::unique_ptr<LeaseKeeper> keeper_ =
      LeaseKeeper::Create({.check_interval = absl::Milliseconds(10)}, kSelf, &member_.clock(), &member_.store());
};

TEST_F(FollowerLeaseKeeperTest, ForwardsToTheLeader) {
  const Ttl renewal = Renew(5);
  auto forwarded = forwarder_.Take();
  EXPECT_EQ(forwarded.leader, kOther);
  ASSERT_EQ(forwarded.ids, std::vector<LeaseId>{LeaseId{5}});
  forwarded.done(std::vector<int64_t>{42});
  EXPECT_EQ(*renewal.Get(), 42);
  const auto look_up = server::LookUp(*keeper_, 3, member_.clock().Now() + absl::Seconds(7)).Get();
  ASSERT_TRUE(look_up.ok());
  EXPECT_EQ(look_up->ttl, 30);
  EXPECT_EQ(look_up->granted_ttl, 2);
}

TEST_F(FollowerLeaseKeeperTest, TriesAgainAfterAFailure) {
  const Ttl renewal = Renew(5);
  forwarder_.Take().done(absl::UnavailableError("connection refused"));
  EXPECT_TRUE(Eventually([&] {
    member_.clock().Advance(absl::Milliseconds(10));
    return forwarder_.waiting() > 0;
  }));
  forwarder_.Take().done(std::vector<int64_t>{42});
  EXPECT_EQ(*renewal.Get(), 42);
}

TEST_F(FollowerLeaseKeeperTest, AnAnswerOfTheWrongLengthIsNoAnswer) {
  const Ttl renewal = Renew(5);
  forwarder_.Take().done(std::vector<int64_t>{});
  EXPECT_TRUE(Eventually([&] {
    member_.clock().Advance(absl::Milliseconds(10));
    return forwarder_.waiting() > 0;
  }));
  forwarder_.Take().done(std::vector<int64_t>{1});
  EXPECT_EQ(*renewal.Get(), 1);
}

TEST_F(FollowerLeaseKeeperTest, AForwardThatHangsTimesOutAndALateAnswerIsIgnored) {
  const Ttl renewal = Renew(5);
  auto forwarded = forwarder_.Take();
  member_.clock().Advance(absl::Seconds(7));
  EXPECT_EQ(renewal.Get().status(), absl::UnavailableError("etcdserver: request timed out"));
  forwarded.done(std::vector<int64_t>{42});
}

TEST_F(FollowerLeaseKeeperTest, ANewLeaderIsAskedAtOnceThoughTheOldOneNeverAnswers) {
  const Ttl renewal = Renew(5);
  auto to_old = forwarder_.Take();
  const raft::MemberId third{3};
  keeper_->OnLeadership(raft::Role::kFollower, raft::Term{2}, third);
  auto to_new = forwarder_.Take();
  EXPECT_EQ(to_new.leader, third);
  to_new.done(std::vector<int64_t>{7});
  EXPECT_EQ(*renewal.Get(), 7);
  to_old.done(std::vector<int64_t>{42});
}

TEST_F(FollowerLeaseKeeperTest, ItServesItselfWhatWaitsWhenItBecomesTheLeader) {
  member_.Grant(5, 60);
  const Ttl renewal = Renew(5);
  auto to_old = forwarder_.Take();
  keeper_->OnLeadership(raft::Role::kLeader, raft::Term{2}, kSelf);
  EXPECT_EQ(*renewal.Get(), 60);
  to_old.done(absl::UnavailableError("gone"));
}

}  // namespace
}  // namespace keel::server
