#include "keel/semaphore.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "tests/client/recipe_test_base.h"
#include "tests/client/test_cluster.h"

namespace keel {
namespace {

using testing::AtOnce;
using testing::AwaitKeys;
using testing::Connect;
using testing::CountKeys;
using ::testing::HasSubstr;
using testing::Open;
using testing::Soon;

TEST(SemaphoreTest, AdmitsSoManyWithDifferentTokens) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  std::atomic<int> inside = 0, most = 0;
  absl::Mutex mu;
  std::set<int64_t> tokens;
  std::vector<std::thread> threads;
  constexpr int kPlaces = 3, kClients = 7, kRounds = 6;
  for (int i = 0; i < kClients; ++i) {
    threads.emplace_back([&] {
      const auto session = Open(*client);
      Semaphore semaphore(*client, *session, "sem", kPlaces);
      for (int round = 0; round < kRounds; ++round) {
        const absl::Status acquired = semaphore.Acquire(Soon());
        ASSERT_TRUE(acquired.ok()) << acquired;
        const int now = ++inside;
        EXPECT_LE(now, kPlaces);
        EXPECT_TRUE(semaphore.held());
        {
          absl::MutexLock lock(&mu);
          most = std::max(most.load(), now);
          EXPECT_TRUE(tokens.insert(semaphore.fencing_token()).second);
        }
        EXPECT_LE(CountKeys(*client, "sem/places/"), kPlaces);  // A while, in which others may come.
        --inside;
        EXPECT_TRUE(semaphore.Release().ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(tokens.size(), static_cast<size_t>(kClients * kRounds));
  EXPECT_EQ(CountKeys(*client, "sem/places/"), 0);
  EXPECT_EQ(CountKeys(*client, "sem/queue/"), 0);
  std::cout << "at most " << most << " inside at a time\n";
}

TEST(SemaphoreTest, RefusesWhoCountsOtherwise) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto session = Open(*client);
  Semaphore three(*client, *session, "sem", 3), five(*client, *session, "sem", 5), none(*client, *session, "sem", 0);
  ASSERT_TRUE(three.Acquire(Soon()).ok());
  const absl::Status refused = five.Acquire(Soon());
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("'sem' has 3 places (sem/limit), not 5"));
  EXPECT_EQ(five.TryAcquire(Soon()).status(), refused);
  EXPECT_EQ(none.Acquire(Soon()).code(), absl::StatusCode::kInvalidArgument);
}

TEST(SemaphoreTest, AdmitsInOrderOfArrivalAndTriesDoNotQueue) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto session = Open(*client);
  Semaphore a(*client, *session, "sem", 2), b(*client, *session, "sem", 2), c(*client, *session, "sem", 2);
  EXPECT_TRUE(*a.TryAcquire(Soon()));
  EXPECT_TRUE(*b.TryAcquire(Soon()));
  EXPECT_FALSE(*c.TryAcquire(Soon()));
  EXPECT_EQ(c.Acquire(AtOnce()).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(CountKeys(*client, "sem/queue/"), 0);
  constexpr int kWaiters = 5;
  std::vector<std::unique_ptr<Semaphore>> waiters;
  std::vector<std::thread> threads;
  std::atomic<int> granted = 0;
  for (int i = 0; i < kWaiters; ++i) {
    waiters.push_back(std::make_unique<Semaphore>(*client, *session, "sem", 2));
    threads.emplace_back([&, i] {
      EXPECT_TRUE(waiters[i]->Acquire(Soon()).ok());
      EXPECT_EQ(granted++, i);
      EXPECT_TRUE(waiters[i]->Release().ok());
    });
    AwaitKeys(*client, "sem/queue/", i + 1);
  }
  const int64_t before = testing::EventsSent(cluster->endpoint(0));
  EXPECT_TRUE(b.Release().ok());  // One place is enough for all of them, one after the other.
  for (std::thread& thread : threads) thread.join();
  // Who enters is told that a place is free, and tells the next that it is the first now.
  EXPECT_LE(testing::EventsSent(cluster->endpoint(0)) - before, 2 * kWaiters);
  EXPECT_TRUE(a.held());
  EXPECT_TRUE(*c.TryAcquire(Soon()));
}

TEST(SemaphoreTest, ADeadHoldersPlaceIsGivenOnAndItsGuardFails) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto a = Open(*client, absl::Seconds(2)), b = Open(*client);
  Semaphore dies(*client, *a, "sem", 1), waits(*client, *b, "sem", 1);
  ASSERT_TRUE(dies.Acquire(Soon()).ok());
  EXPECT_TRUE(client->kv().Commit(dies.Guard(Txn().Then(Put("data", "dies"))))->succeeded);
  std::thread waiter([&] {
    EXPECT_TRUE(waits.Acquire(Soon()).ok());
    EXPECT_FALSE(dies.held());
  });
  AwaitKeys(*client, "sem/queue/", 1);
  a->Orphan();  // As a crash would: nobody renews, the lease runs out.
  waiter.join();
  EXPECT_GT(waits.fencing_token(), dies.fencing_token());
  EXPECT_FALSE(client->kv().Commit(dies.Guard(Txn().Then(Put("data", "stale"))))->succeeded);
  EXPECT_TRUE(client->kv().Commit(waits.Guard(Txn().Then(Put("data", "waits"))))->succeeded);
  EXPECT_EQ(testing::ValueAt(*client, "data"), "waits");
}

TEST(SemaphoreTest, AWaiterLeavesWhenItsSessionDiesOrItIsCalledOff) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto make = [&](Session& session) {
    auto semaphore = std::make_shared<Semaphore>(*client, session, "sem", 1);
    return testing::TestLock{.lock = [semaphore](absl::Time deadline) { return semaphore->Acquire(deadline); },
                             .unlock = [semaphore] { return semaphore->Release(); },
                             .held = [semaphore] { return semaphore->held(); }};
  };
  testing::ExpectWaitersLeave(*client, make, "sem/queue/", 0);
}

}  // namespace
}  // namespace keel
