#include "keel/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "keel/client.h"
#include "keel/mutex.h"
#include "tests/client/recipe_test_base.h"
#include "tests/client/test_cluster.h"

namespace keel {
namespace {

using testing::Connect;

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

TEST(SessionTest, StaysAliveFarBeyondItsTtl) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto session = Session::Open(*client, {.ttl = absl::Seconds(1)});
  ASSERT_TRUE(session.ok()) << session.status();
  ASSERT_TRUE(client->kv().Put("k", "v", {.lease = (*session)->lease()}).ok());
  EXPECT_FALSE((*session)->WaitUntilLost(absl::Now() + 4 * (*session)->ttl()));
  EXPECT_EQ((*session)->state(), SessionState::kLive);
  EXPECT_GT((*session)->remaining(), absl::ZeroDuration());
  EXPECT_EQ(client->kv().Get("k")->count, 1);
}

TEST(SessionTest, CloseDeletesItsKeysAtOnce) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto session = Session::Open(*client);
  ASSERT_TRUE(session.ok());
  ASSERT_TRUE(client->kv().Put("k", "v", {.lease = (*session)->lease()}).ok());
  EXPECT_TRUE((*session)->Close().ok());
  EXPECT_FALSE((*session)->alive());
  EXPECT_EQ((*session)->remaining(), absl::ZeroDuration());
  EXPECT_EQ(client->kv().Get("k")->count, 0);
  EXPECT_TRUE((*session)->Close().ok());  // Again changes nothing.
}

TEST(SessionTest, ALeaseRevokedElsewhereIsNoticed) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto session = Session::Open(*client, {.ttl = absl::Seconds(6)});
  ASSERT_TRUE(session.ok());
  ASSERT_TRUE(client->leases().Revoke((*session)->lease()).ok());
  const absl::Time began = absl::Now();
  EXPECT_TRUE((*session)->WaitUntilLost(Soon()));
  EXPECT_LT(absl::Now() - began, absl::Seconds(5));  // By the next renewal, not by the clock running out.
}

TEST(SessionTest, AnUnknownLeaseCannotBeAdopted) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  EXPECT_EQ(Session::Open(*client, {.lease = 4711}).status().code(), absl::StatusCode::kNotFound);
}

TEST(SessionTest, TellsEveryChangeOfStateInOrder) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  absl::Mutex mu;
  std::vector<SessionState> told;
  const auto session = Session::Open(*client, {.ttl = absl::Seconds(2), .on_change = [&](SessionState state) {
                                                 absl::MutexLock lock(&mu);
                                                 told.push_back(state);
                                               }});
  ASSERT_TRUE(session.ok());
  cluster->Pause(0);
  absl::MutexLock lock(&mu);
  const auto is_lost = [&told] { return !told.empty() && told.back() == SessionState::kLost; };
  ASSERT_TRUE(mu.AwaitWithTimeout(absl::Condition(&is_lost), absl::Seconds(30)));
  EXPECT_THAT(told, ::testing::ElementsAre(SessionState::kAtRisk, SessionState::kLost));
}

TEST(SessionTest, AHolderKnowsThatItLostBeforeAnyoneElseCanWin) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const absl::Time before_grant = absl::Now();
  const auto session = Session::Open(*client, {.ttl = absl::Seconds(3)});
  ASSERT_TRUE(session.ok());
  Mutex mutex(*client, **session, "lock");
  ASSERT_TRUE(mutex.Lock(Soon()).ok());
  ASSERT_TRUE(mutex.held());
  cluster->Pause(0);
  const absl::Time paused = absl::Now();
  EXPECT_TRUE((*session)->WaitUntilLost(Soon()));
  EXPECT_FALSE(mutex.held());
  // No renewal that was sent after the pause can have been acknowledged, so the server may end the lease a TTL after
  // the pause at the latest; and a session is not given up while its lease surely stands.
  EXPECT_LT(absl::Now(), paused + (*session)->ttl() + absl::Milliseconds(200));
  EXPECT_GT(absl::Now(), before_grant + (*session)->ttl() * 9 / 10);

  // It stays lost, even if the server comes back and would still have renewed.
  cluster->Resume(0);
  const auto other = Session::Open(*client, {.ttl = absl::Seconds(3)});
  ASSERT_TRUE(other.ok()) << other.status();
  Mutex next(*client, **other, "lock");
  EXPECT_TRUE(next.Lock(Soon()).ok());
  EXPECT_FALSE(mutex.held());
  EXPECT_GT(next.fencing_token(), mutex.fencing_token());
}

TEST(SessionTest, SurvivesTheLossOfAMember) {
  KEEL_START_CLUSTER(cluster, 3);
  const auto client = Connect(cluster->endpoints());
  const auto session = Session::Open(*client, {.ttl = absl::Seconds(5)});
  ASSERT_TRUE(session.ok());
  for (int victim = 0; victim < 3; ++victim) {
    cluster->Pause(victim);
    EXPECT_FALSE((*session)->WaitUntilLost(absl::Now() + (*session)->ttl() * 3 / 2));
    cluster->Resume(victim);
    // A majority again before the next one goes.
    ASSERT_TRUE(client->kv().Get("k", {}, {.timeout = absl::Seconds(20)}).ok());
  }
  EXPECT_TRUE((*session)->alive());
}

TEST(SessionTest, IsLostWhenItsClientGoes) {
  KEEL_START_CLUSTER(cluster, 1);
  auto client = Connect(cluster->endpoints());
  const auto session = Session::Open(*client);
  ASSERT_TRUE(session.ok());
  client.reset();
  EXPECT_FALSE((*session)->alive());
}

}  // namespace
}  // namespace keel
