// The promise of a lease across followers, new leaders and old ones.

#include <atomic>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "keel/session.h"
#include "tests/contract/cluster_fixture.h"

namespace keel::contract {
namespace {

using etcdserverpb::LeaseGrantResponse;
using etcdserverpb::LeaseKeepAliveResponse;
using etcdserverpb::LeaseRevokeResponse;
using etcdserverpb::LeaseTimeToLiveResponse;
using etcdserverpb::RangeResponse;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Lease {
 public:
  Lease(Endpoint* through, int64_t id, int64_t ttl_seconds) : id_(id) {
    through->Ok<LeaseGrantResponse>(absl::StrCat("grant ID: ", id, " TTL: ", ttl_seconds));
  }
  int64_t id() const { return id_; }
  std::string line(const char* word) const { return absl::StrCat(word, " ID: ", id_); }

 private:
  const int64_t id_;
};

TEST_F(ClusterContract, B066_ANegativeIdIsKnownToEveryMember) {
  const int64_t id = -NewLeaseId();
  Lease lease(&at(0), id, 100);
  for (int i = 0; i < kMembers; ++i) {
    at(i).Put(Key(absl::StrCat(i)), "", id);
    EXPECT_EQ(KeepAlive(i, id), 100);
    EXPECT_EQ(at(i).Error(absl::StrCat("grant TTL: 9 ID: ", id)), "9 etcdserver: lease already exists");
  }
  at(1).Ok<LeaseRevokeResponse>(lease.line("revoke"));
  for (int i = 0; i < kMembers; ++i) {
    EXPECT_EQ(at(i).Keys(absl::StrCat("key: '", Key(), "' range_end: '", Key("z"), "'")), " | | 0");
  }
}

TEST_F(ClusterContract, B074_AfterAChangeOfLeadersALeaseLivesAtLeastItsTtl) {
  const absl::Time begin = absl::Now();
  Lease brief(&at(0), NewLeaseId(), 1);
  Lease lasting(&at(0), NewLeaseId(), 100);
  at(0).Put(Key(), "", brief.id());
  const int leader = Leader();
  WatchStream watch = at((leader + 2) % kMembers).Watch();
  watch.Create(absl::StrCat("key: '", Key(), "'"));
  MoveLeader((leader + 1) % kMembers);
  EXPECT_EQ(watch.NextMessage().events(0).type(), mvccpb::Event::DELETE);
  const absl::Duration lived = absl::Now() - begin;
  EXPECT_GE(lived, absl::Seconds(1));
  for (int i = 0; i < kMembers; ++i) {
    const auto left = at(i).Ok<LeaseTimeToLiveResponse>(lasting.line("timetolive"));
    EXPECT_EQ(left.grantedttl(), 100);
    EXPECT_LE(left.ttl(), 100);
    // What remains is cut to whole seconds.
    EXPECT_GE(left.ttl() + 1, 100 - absl::ToInt64Seconds(absl::Now() - begin));
  }
}

TEST_F(ClusterContract, B076_FollowersRenewThroughTheLeader) {
  Lease lease(&at(0), NewLeaseId(), 100);
  for (int i = 0; i < kMembers; ++i) EXPECT_EQ(KeepAlive(i, lease.id()), 100);
  for (int i = 0; i < kMembers; ++i) EXPECT_EQ(KeepAlive(i, NewLeaseId()), 0);
}

TEST_F(ClusterContract, B076_ARenewalThatReachesNoLeaderEndsItsStreamWithTheReason) {
  Lease lease(&at(0), NewLeaseId(), 100);
  const int alone = AnyFollower();
  at(alone).Revision();
  PauseOthers(alone);
  const auto hanging = at(alone).Open(lease.line("keepalive"));
  const auto given_up = at(alone).Open(lease.line("keepalive"));
  const auto requiring = at(alone).Open(lease.line("keepalive"), kRequireLeader);
  ASSERT_TRUE(requiring->AwaitEnd(kPatience));
  EXPECT_EQ(Shown(requiring->status()), "14 etcdserver: no leader");
  EXPECT_FALSE(given_up->ended());
  given_up->Cancel();
  ASSERT_TRUE(given_up->AwaitEnd(kPatience));
  EXPECT_EQ(given_up->status().error_code(), grpc::StatusCode::CANCELLED);
  ASSERT_TRUE(hanging->AwaitEnd(kPatience));
  EXPECT_THAT(Shown(hanging->status()), AnyOf("14 etcdserver: no leader", "14 etcdserver: request timed out"));
  EXPECT_EQ(hanging->size(), 0u);
}

TEST_F(ClusterContract, B077_WhileTheLeaderStepsDownAskingForALeaseIsAnErrorOrTheTruth) {
  KEEL_SKIP_ON_OLD_ETCD("3.5: before, the demoted leader may tell of a lease for ever");
  Lease lease(&at(0), NewLeaseId(), 100);
  std::atomic<bool> stop = false;
  std::atomic<int> right = 0;
  std::vector<std::string> wrong[kMembers];
  std::vector<std::thread> askers;
  for (int i = 0; i < kMembers; ++i) {
    askers.emplace_back([&, i] {
      while (!stop) {
        const differential::Answer answer = at(i).Call(lease.line("timetolive"));
        if (!answer.status.ok()) {
          if (answer.status.error_code() != grpc::StatusCode::UNAVAILABLE) wrong[i].push_back(Shown(answer.status));
          continue;
        }
        const auto& left = static_cast<const LeaseTimeToLiveResponse&>(*answer.messages[0]);
        const bool holds = left.grantedttl() == 100 && left.ttl() > 0 && left.ttl() <= 100;
        if (!holds) wrong[i].push_back(Shown(left));
        right += holds;
      }
    });
  }
  for (int i = 0; i < 4; ++i) MoveLeader(AnyFollower());
  stop = true;
  for (std::thread& asker : askers) asker.join();
  for (const auto& answers : wrong) EXPECT_THAT(answers, testing::IsEmpty());
  EXPECT_GT(right, 0);
}

// Renews a lease at the pace of a client and knows whether it kept the pace: on a machine that stands still for a TTL
// nobody can say whose fault a lost lease is.
class Renewals {
 public:
  Renewals(Endpoint* through, int64_t id, absl::Duration ttl) : through_(*through), id_(id), ttl_(ttl) {}

  // False: the lease is gone, or there is no leader to ask.
  bool Once() {
    const auto stream = through_.Open(absl::StrCat("keepalive ID: ", id_));
    stream->Await([](const auto& messages) { return !messages.empty(); }, kPatience);
    const absl::Time now = absl::Now();
    in_time_ = in_time();
    if (stream->size() == 0 || static_cast<const LeaseKeepAliveResponse&>(*stream->messages()[0]).ttl() == 0) {
      return false;
    }
    last_ = now;
    return true;
  }
  // Until now.
  bool in_time() const { return in_time_ && (last_ == absl::InfinitePast() || absl::Now() - last_ < ttl_); }

 private:
  Endpoint& through_;
  const int64_t id_;
  const absl::Duration ttl_;
  absl::Time last_ = absl::InfinitePast();
  bool in_time_ = true;
};

TEST_F(ClusterContract, B078_AnOldLeaderThatWakesUpRevokesNothingThatTheNewOneKeeps) {
  KEEL_SKIP_ON_OLD_ETCD("3.4.34: before, it does");
  constexpr absl::Duration kTtl = absl::Seconds(1);
  bool conclusive = false;
  for (int attempt = 0; attempt < 5 && !conclusive; ++attempt) {
    members().Heal();
    const int old_leader = Leader();
    const int through = (old_leader + 1) % kMembers;
    Lease lease(&at(through), NewLeaseId(), absl::ToInt64Seconds(kTtl));
    at(through).Put(Key(), "", lease.id());
    Renewals renewals(&at(through), lease.id(), kTtl);
    members().Pause(old_leader);
    bool kept = renewals.Once();  // By the new leader, as soon as there is one.
    if (!kept) continue;          // The machine may have stood still before: there was no pace to keep yet.
    const absl::Time end = absl::Now() + kTtl + absl::Milliseconds(300);
    while (kept && absl::Now() < end) {
      absl::SleepFor(absl::Milliseconds(50));
      kept = renewals.Once();
    }
    members().Resume(old_leader);
    members().AwaitHealthy(old_leader);  // It has heard of the others when it answers.
    kept = kept && renewals.Once();
    const int64_t kept_by_the_old_one = KeepAlive(old_leader, lease.id());
    const std::string keys = at(old_leader).Keys(absl::StrCat("key: '", Key(), "'"));
    conclusive = renewals.in_time();
    if (!conclusive) continue;
    EXPECT_TRUE(kept) << "the lease was lost while it was renewed";
    EXPECT_GT(kept_by_the_old_one, 0);
    EXPECT_EQ(keys, Key() + " | | 1");
  }
  EXPECT_TRUE(conclusive) << "this machine does not renew a lease of a second in time";
}

TEST_F(ClusterContract, B079_ARenewalDoesNotOutliveTheRevocationItRacesWith) {
  for (int i = 0; i < 40; ++i) {
    Endpoint& revoking = at(i % kMembers);
    Endpoint& renewing = at(i / kMembers % kMembers);
    Lease lease(&revoking, NewLeaseId(), 100);
    const int64_t put = revoking.Put(Key(), "", lease.id());
    const auto stream = renewing.Open(lease.line("keepalive"));
    const auto revoked = revoking.Start(lease.line("revoke"));
    stream->Send(etcdserverpb::LeaseKeepAliveRequest().SerializeAsString());  // Of lease 0: something between.
    ASSERT_TRUE(stream->Await([](const auto& messages) { return messages.size() == 2; }, kPatience));
    const auto& renewal = static_cast<const LeaseKeepAliveResponse&>(*stream->messages()[0]);
    const differential::Answer answer = revoked->Wait();
    ASSERT_TRUE(answer.status.ok()) << Shown(answer.status);
    // The revocation is the revision after the put.
    if (renewal.ttl() > 0) {
      EXPECT_LE(renewal.header().revision(), put);
    }
    EXPECT_EQ(static_cast<const LeaseRevokeResponse&>(*answer.messages[0]).header().revision(), put + 1);
    EXPECT_EQ(KeepAlive((i + 1) % kMembers, lease.id()), 0);
  }
}

TEST_F(ClusterContract, B080_ManyClientsRenewAndAskAndEachAnswerHolds) {
  constexpr int kClients = 12;
  constexpr int kRounds = 40;
  std::atomic<int> broken = 0;
  std::vector<std::thread> clients;
  std::vector<Lease> leases;
  for (int c = 0; c < kClients; ++c) leases.emplace_back(&at(c % kMembers), NewLeaseId(), 10 + c);
  for (int c = 0; c < kClients; ++c) {
    clients.emplace_back([&, c] {
      const Lease& lease = leases[static_cast<size_t>(c)];
      etcdserverpb::LeaseKeepAliveRequest request;
      request.set_id(lease.id());
      const auto stream = at(c % kMembers).Open(lease.line("keepalive"));
      for (size_t i = 1; i <= kRounds; ++i) {
        const bool came = stream->Await([&](const auto& messages) { return messages.size() == i; }, kPatience);
        if (!came || static_cast<const LeaseKeepAliveResponse&>(*stream->messages()[i - 1]).ttl() != 10 + c) ++broken;
        const differential::Answer left = at((c + 1) % kMembers).Call(lease.line("timetolive"));
        if (!left.status.ok() || static_cast<const LeaseTimeToLiveResponse&>(*left.messages[0]).ttl() < 0) ++broken;
        stream->Send(request.SerializeAsString());
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(broken, 0);
}

TEST_F(ClusterContract, B082_AQuorumThatIsBackWithinTheTtlCostsNoLease) {
  auto client = NewClient();
  std::atomic<bool> lost = false;
  auto session = Session::Open(*client, {.ttl = absl::Seconds(30), .on_change = [&](SessionState state) {
                                           lost = lost || state == SessionState::kLost;
                                         }});
  ASSERT_TRUE(session.ok()) << session.status();
  ASSERT_TRUE(client->kv().Put(Key(), "", {.lease = (*session)->lease()}).ok());
  const int alone = AnyFollower();
  PauseOthers(alone);
  // Until the one that is left has noticed.
  Await(
      [&] {
        return at(alone).Error("range key: 'a'", absl::Milliseconds(300), kRequireLeader) == "14 etcdserver: no leader";
      },
      "a member alone believes in a leader");
  const auto unanswered = at(alone).Open(absl::StrCat("keepalive ID: ", (*session)->lease()));
  members().Heal();
  ASSERT_TRUE(unanswered->Await([](const auto& messages) { return !messages.empty(); }, kPatience))
      << Shown(unanswered->status());
  EXPECT_EQ(static_cast<const LeaseKeepAliveResponse&>(*unanswered->messages()[0]).ttl(), 30);
  EXPECT_FALSE(lost);
  EXPECT_TRUE((*session)->alive());
  EXPECT_EQ(at(alone).Keys(absl::StrCat("key: '", Key(), "'")), Key() + " | | 1");
}

}  // namespace
}  // namespace keel::contract
