#include "keel/mutex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "keel/client.h"
#include "keel/election.h"
#include "keel/session.h"
#include "tests/client/faulty_proxy.h"
#include "tests/client/recipe_test_base.h"
#include "tests/client/test_cluster.h"

namespace keel {
namespace {

using testing::AtOnce;
using testing::AwaitKeys;
using testing::Connect;
using testing::CountKeys;
using testing::Open;
using testing::Soon;

TEST(MutexTest, ExcludesAndHandsOverInOrderWithGrowingTokens) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  constexpr int kClients = 5;
  std::vector<std::unique_ptr<Session>> sessions;
  for (int i = 0; i < kClients; ++i) sessions.push_back(Open(*client));
  std::atomic<int> inside = 0;
  std::atomic<int64_t> last_token = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kClients; ++i) {
    threads.emplace_back([&, i] {
      Mutex mutex(*client, *sessions[i], "lock");
      for (int round = 0; round < 10; ++round) {
        const absl::Status locked = mutex.Lock(Soon());
        ASSERT_TRUE(locked.ok()) << locked;
        EXPECT_EQ(++inside, 1);
        EXPECT_TRUE(mutex.held());
        EXPECT_GT(mutex.fencing_token(), last_token.exchange(mutex.fencing_token()));
        --inside;
        EXPECT_TRUE(mutex.Unlock().ok());
        EXPECT_FALSE(mutex.held());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(client->kv().Get("lock/", {.prefix = true})->count, 0);
}

TEST(MutexTest, KeyAndErrorsAreThoseOfOtherClients) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto session = Open(*client);
  Mutex mutex(*client, *session, "a/lock");
  EXPECT_EQ(mutex.key(), absl::StrCat("a/lock/", absl::Hex(session->lease())));
  EXPECT_EQ(mutex.Unlock(), absl::FailedPreconditionError("mutex: lock has already been released"));
  ASSERT_TRUE(mutex.Lock(Soon()).ok());
  const auto key = client->kv().Get(mutex.key());
  ASSERT_EQ(key->kvs.size(), 1u);
  EXPECT_EQ(key->kvs[0].value, "");
  EXPECT_EQ(key->kvs[0].lease, session->lease());
  EXPECT_EQ(key->kvs[0].create_revision, mutex.fencing_token());
  EXPECT_TRUE(mutex.Lock(Soon()).ok());  // It is ours.
  EXPECT_TRUE(mutex.Unlock().ok());
}

TEST(MutexTest, TryLockNeitherWaitsNorStaysInTheQueue) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto a = Open(*client);
  const auto b = Open(*client);
  Mutex first(*client, *a, "lock");
  Mutex second(*client, *b, "lock");
  EXPECT_TRUE(*first.TryLock(Soon()));
  EXPECT_FALSE(*second.TryLock(Soon()));
  EXPECT_FALSE(second.held());
  EXPECT_EQ(client->kv().Get("lock/", {.prefix = true})->count, 1);
  ASSERT_TRUE(first.Unlock().ok());
  EXPECT_TRUE(*second.TryLock(Soon()));
}

TEST(MutexTest, AWaiterThatRunsOutOfTimeLeavesTheQueue) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto a = Open(*client);
  const auto b = Open(*client);
  Mutex first(*client, *a, "lock");
  Mutex second(*client, *b, "lock");
  ASSERT_TRUE(first.Lock(Soon()).ok());
  EXPECT_EQ(second.Lock(AtOnce()).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(client->kv().Get("lock/", {.prefix = true})->count, 1);
}

TEST(MutexTest, AWaiterWhoseSessionDiesStopsWaiting) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto a = Open(*client);
  const auto b = Open(*client);
  Mutex first(*client, *a, "lock");
  Mutex second(*client, *b, "lock");
  ASSERT_TRUE(first.Lock(Soon()).ok());
  std::thread waiter(
      [&] { EXPECT_EQ(second.Lock(Soon()), absl::FailedPreconditionError("mutex: session is expired")); });
  AwaitKeys(*client, "lock/", 2);
  EXPECT_TRUE(b->Close().ok());
  waiter.join();
  EXPECT_TRUE(first.held());
}

TEST(MutexTest, AWaiterInTheMiddleThatLeavesPassesItsPlaceOn) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto a = Open(*client);
  const auto b = Open(*client);
  const auto c = Open(*client);
  Mutex first(*client, *a, "lock");
  Mutex second(*client, *b, "lock");
  Mutex third(*client, *c, "lock");
  ASSERT_TRUE(first.Lock(Soon()).ok());
  std::thread leaver([&] { EXPECT_EQ(second.Lock(Soon()).code(), absl::StatusCode::kCancelled); });
  AwaitKeys(*client, "lock/", 2);
  absl::Notification third_has_it;
  std::thread waiter([&] {
    EXPECT_TRUE(third.Lock(Soon()).ok());
    third_has_it.Notify();
  });
  AwaitKeys(*client, "lock/", 3);
  EXPECT_TRUE(second.Unlock().ok());  // Gives up its place.
  leaver.join();
  EXPECT_FALSE(third_has_it.WaitForNotificationWithTimeout(absl::Milliseconds(200)));
  EXPECT_TRUE(first.Unlock().ok());
  waiter.join();
  EXPECT_TRUE(third.held());
}

// However many wait: of all of them one is told of a release.
TEST(MutexTest, AReleaseWakesOnlyTheNextWaiter) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  constexpr int kWaiters = 20;
  std::vector<std::unique_ptr<Session>> sessions;
  for (int i = 0; i <= kWaiters; ++i) sessions.push_back(Open(*client));
  Mutex holder(*client, *sessions[0], "lock");
  ASSERT_TRUE(holder.Lock(Soon()).ok());
  std::vector<std::thread> threads;
  for (int i = 1; i <= kWaiters; ++i) {
    threads.emplace_back([&, i] {
      Mutex mutex(*client, *sessions[i], "lock");
      EXPECT_TRUE(mutex.Lock(Soon()).ok());
      EXPECT_TRUE(mutex.Unlock().ok());
    });
  }
  AwaitKeys(*client, "lock/", kWaiters + 1);
  const int64_t before = testing::EventsSent(cluster->endpoint(0));
  EXPECT_TRUE(holder.Unlock().ok());
  for (std::thread& thread : threads) thread.join();
  // None for a waiter that had not looked yet when the one before it left.
  const int64_t events = testing::EventsSent(cluster->endpoint(0)) - before;
  EXPECT_LE(events, kWaiters);
  EXPECT_GT(events, 0);
}

TEST(MutexTest, AGuardedTransactionOfADeposedHolderChangesNothing) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto session = Open(*client);
  Mutex mutex(*client, *session, "lock");
  ASSERT_TRUE(mutex.Lock(Soon()).ok());
  const auto written = client->kv().Commit(mutex.Guard(Txn().Then(Put("data", "mine"))));
  ASSERT_TRUE(written.ok());
  EXPECT_TRUE(written->succeeded);
  // Somebody takes the lock away behind our back; we still believe.
  ASSERT_TRUE(client->kv().Delete(mutex.key()).ok());
  EXPECT_TRUE(mutex.held());
  const auto refused = client->kv().Commit(mutex.Guard(Txn().Then(Put("data", "stale"))));
  ASSERT_TRUE(refused.ok());
  EXPECT_FALSE(refused->succeeded);
  EXPECT_EQ(client->kv().Get("data")->kvs.at(0).value, "mine");
}

TEST(MutexTest, SharesALockWithEtcdctl) {
  KEEL_START_CLUSTER(cluster, 1);
  if (!testing::HasCommand("etcdctl")) GTEST_SKIP() << "etcdctl is not in PATH";
  const auto client = Connect(cluster->endpoints());
  const auto session = Open(*client);
  Mutex mutex(*client, *session, "shared");
  const std::vector<std::string> command = {"etcdctl", "--endpoints", cluster->endpoint(0), "lock", "shared"};
  {
    testing::Process other(command, {"ETCDCTL_API=3"});
    const std::string key = other.ReadLine();  // It prints its key when it has the lock.
    EXPECT_TRUE(absl::StartsWith(key, "shared/")) << key;
    EXPECT_FALSE(*mutex.TryLock(Soon()));
    EXPECT_EQ(mutex.Lock(AtOnce()).code(), absl::StatusCode::kDeadlineExceeded);
    other.Signal(SIGINT);  // It releases.
    EXPECT_TRUE(mutex.Lock(Soon()).ok());
    other.Wait();
  }
  const int64_t token = mutex.fencing_token();
  testing::Process waiting(command, {"ETCDCTL_API=3"});
  AwaitKeys(*client, "shared/", 2);
  ASSERT_TRUE(mutex.held());
  ASSERT_TRUE(mutex.Unlock().ok());
  const std::string key = waiting.ReadLine();
  ASSERT_TRUE(absl::StartsWith(key, "shared/")) << key;
  EXPECT_GT(client->kv().Get(key)->kvs.at(0).create_revision, token);
}

// A request whose connection broke is sent again; the first may still be somewhere and arrive when all is over.
TEST(MutexTest, ARequestThatArrivesAfterTheUnlockLocksNothing) {
  KEEL_START_CLUSTER(cluster, 1);
  testing::FaultyProxy network(cluster->endpoint(0));
  const auto direct = Connect(cluster->endpoints());
  const auto session = Open(*direct);
  const auto client = Connect({network.address()});
  ASSERT_TRUE(client->kv().Get("lock").ok());  // The connection is there, and idle.
  Mutex mutex(*client, *session, "lock");
  network.KeepBackNextRequest();
  ASSERT_TRUE(mutex.Lock(Soon()).ok());
  ASSERT_TRUE(mutex.Unlock().ok());
  network.DeliverLate();
  EXPECT_EQ(CountKeys(*direct, "lock/"), 0);
}

TEST(ElectionTest, ARequestThatArrivesAfterTheResignationElectsNobodyAndChangesNoValue) {
  KEEL_START_CLUSTER(cluster, 1);
  testing::FaultyProxy network(cluster->endpoint(0));
  const auto direct = Connect(cluster->endpoints());
  const auto session = Open(*direct);
  const auto client = Connect({network.address()});
  ASSERT_TRUE(client->kv().Get("leader").ok());
  Election election(*client, *session, "leader");
  network.KeepBackNextRequest();
  ASSERT_TRUE(election.Campaign("one", Soon()).ok());
  ASSERT_TRUE(election.Resign().ok());
  network.DeliverLate();
  EXPECT_EQ(CountKeys(*direct, "leader/"), 0);

  ASSERT_TRUE(election.Campaign("one", Soon()).ok());
  network.KeepBackNextRequest();
  ASSERT_TRUE(election.Proclaim("two", Soon()).ok());
  ASSERT_TRUE(election.Proclaim("three", Soon()).ok());
  network.DeliverLate();
  EXPECT_EQ(testing::ValueAt(*direct, election.key()), "three");
}

TEST(ElectionTest, ElectsOneAfterTheOtherAndTellsObservers) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto a = Open(*client);
  const auto b = Open(*client);
  Election first(*client, *a, "leader");
  Election second(*client, *b, "leader");
  Election onlooker(*client, "leader");
  EXPECT_EQ(onlooker.Leader().status(), absl::NotFoundError("election: no leader"));
  const auto observer = onlooker.Observe();
  EXPECT_EQ(observer->Next(AtOnce()).status().code(), absl::StatusCode::kDeadlineExceeded);

  ASSERT_TRUE(first.Campaign("one", Soon()).ok());
  EXPECT_TRUE(first.is_leader());
  EXPECT_EQ(observer->Next(Soon())->kv.value, "one");
  EXPECT_EQ(onlooker.Leader()->kv.create_revision, first.fencing_token());

  std::thread candidate([&] { EXPECT_TRUE(second.Campaign("two", Soon()).ok()); });
  AwaitKeys(*client, "leader/", 2);
  EXPECT_FALSE(second.is_leader());
  ASSERT_TRUE(first.Proclaim("uno", Soon()).ok());
  EXPECT_EQ(observer->Next(Soon())->kv.value, "uno");

  ASSERT_TRUE(first.Resign().ok());
  EXPECT_FALSE(first.is_leader());
  candidate.join();
  EXPECT_TRUE(second.is_leader());
  EXPECT_EQ(observer->Next(Soon())->kv.value, "two");
  EXPECT_GT(second.fencing_token(), first.fencing_token());
  EXPECT_EQ(first.Proclaim("dead", Soon()), absl::FailedPreconditionError("election: not leader"));
  EXPECT_FALSE(client->kv().Commit(first.Guard(Txn().Then(Put("x", ""))))->succeeded);
  EXPECT_TRUE(client->kv().Commit(second.Guard(Txn().Then(Put("x", ""))))->succeeded);
}

TEST(ElectionTest, HandsOverToTheNextInLineAndToNobodyElse) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto a = Open(*client), b = Open(*client), c = Open(*client);
  Election first(*client, *a, "leader"), second(*client, *b, "leader"), third(*client, *c, "leader");
  EXPECT_EQ(first.HandOver(second.key()), absl::FailedPreconditionError("election: not leader"));
  ASSERT_TRUE(first.Campaign("one", Soon()).ok());
  EXPECT_EQ(first.HandOver(second.key(), Soon()).code(), absl::StatusCode::kFailedPrecondition);
  std::thread two([&] { EXPECT_TRUE(second.Campaign("two", Soon()).ok()); });
  AwaitKeys(*client, "leader/", 2);
  std::thread three([&] { EXPECT_TRUE(third.Campaign("three", Soon()).ok()); });
  AwaitKeys(*client, "leader/", 3);
  const auto candidates = first.Candidates();
  ASSERT_TRUE(candidates.ok()) << candidates.status();
  ASSERT_EQ(candidates->size(), 3u);
  EXPECT_EQ((*candidates)[1].value, "two");
  const absl::Status refused = first.HandOver(third.key(), Soon());
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(refused.message(), second.key())) << refused;
  EXPECT_TRUE(first.is_leader());
  EXPECT_TRUE(first.HandOver((*candidates)[1].key, Soon()).ok());
  EXPECT_FALSE(first.is_leader());
  two.join();
  EXPECT_TRUE(second.is_leader());
  EXPECT_FALSE(third.is_leader());
  EXPECT_FALSE(client->kv().Commit(first.Guard(Txn().Then(Put("x", ""))))->succeeded);
  EXPECT_TRUE(second.HandOver(third.key(), Soon()).ok());
  three.join();
  EXPECT_TRUE(third.is_leader());
}

TEST(ElectionTest, ACandidateMayWithdraw) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto a = Open(*client);
  const auto b = Open(*client);
  Election first(*client, *a, "leader");
  Election second(*client, *b, "leader");
  ASSERT_TRUE(first.Campaign("one", Soon()).ok());
  std::thread candidate([&] { EXPECT_EQ(second.Campaign("two", Soon()).code(), absl::StatusCode::kCancelled); });
  AwaitKeys(*client, "leader/", 2);
  EXPECT_TRUE(second.Resign().ok());
  candidate.join();
  AwaitKeys(*client, "leader/", 1);
}

TEST(ElectionTest, LeadershipPassesOnWhenTheLeadersSessionDies) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto a = Open(*client, absl::Seconds(2));
  const auto b = Open(*client);
  Election first(*client, *a, "leader");
  Election second(*client, *b, "leader");
  ASSERT_TRUE(first.Campaign("one", Soon()).ok());
  std::thread candidate([&] {
    EXPECT_TRUE(second.Campaign("two", Soon()).ok());
    EXPECT_FALSE(first.is_leader());
  });
  AwaitKeys(*client, "leader/", 2);
  a->Orphan();  // As a crash would: nobody renews, the lease runs out.
  candidate.join();
  EXPECT_TRUE(second.is_leader());
}

TEST(ElectionTest, WaitsThroughAFailOver) {
  KEEL_START_CLUSTER(cluster, 3);
  const auto client = Connect(cluster->endpoints());
  const auto a = Open(*client, absl::Seconds(20));
  const auto b = Open(*client, absl::Seconds(20));
  Election first(*client, *a, "leader");
  Election second(*client, *b, "leader");
  ASSERT_TRUE(first.Campaign("one", Soon()).ok());
  std::thread candidate([&] {
    const absl::Status elected = second.Campaign("two", absl::Now() + absl::Seconds(60));
    EXPECT_TRUE(elected.ok()) << elected;
  });
  AwaitKeys(*client, "leader/", 2);
  for (int victim = 0; victim < 3; ++victim) {
    cluster->Kill(victim);
    ASSERT_TRUE(cluster->Restart(victim).ok());
  }
  EXPECT_TRUE(first.is_leader());
  EXPECT_FALSE(second.is_leader());
  EXPECT_TRUE(first.Resign().ok());
  candidate.join();
  EXPECT_TRUE(second.is_leader());
}

}  // namespace
}  // namespace keel
