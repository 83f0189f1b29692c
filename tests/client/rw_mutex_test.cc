#include "keel/rw_mutex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/strings/match.h"
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

TEST(RwMutexTest, ReadersShareAndAWriterIsAlone) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto session = Open(*client);
  RwMutex a(*client, *session, "rw"), b(*client, *session, "rw"), w(*client, *session, "rw");
  ASSERT_TRUE(a.LockShared(Soon()).ok());
  ASSERT_TRUE(b.LockShared(Soon()).ok());
  EXPECT_TRUE(a.held() && b.held());
  EXPECT_FALSE(a.held_alone());
  EXPECT_TRUE(absl::StartsWith(a.key(), "rw/read/")) << a.key();
  EXPECT_FALSE(*w.TryLock(Soon()));
  EXPECT_EQ(CountKeys(*client, "rw/"), 2);  // A try leaves nothing behind.
  EXPECT_EQ(w.Lock(AtOnce()).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(CountKeys(*client, "rw/"), 2);
  EXPECT_EQ(a.Lock(Soon()).code(), absl::StatusCode::kFailedPrecondition);  // There is no upgrade.
  ASSERT_TRUE(a.Unlock().ok());
  EXPECT_EQ(a.Unlock(), absl::FailedPreconditionError("rwmutex: lock has already been released"));
  ASSERT_TRUE(b.Unlock().ok());
  ASSERT_TRUE(w.Lock(Soon()).ok());
  EXPECT_TRUE(w.held_alone());
  EXPECT_TRUE(absl::StartsWith(w.key(), "rw/write/")) << w.key();
  EXPECT_GT(w.fencing_token(), b.fencing_token());
  EXPECT_FALSE(*a.TryLockShared(Soon()));
  ASSERT_TRUE(w.Unlock().ok());
  EXPECT_TRUE(*a.TryLockShared(Soon()));
}

TEST(RwMutexTest, AWriterThatWaitsIsNotOvertakenByReaders) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto session = Open(*client);
  RwMutex first(*client, *session, "rw"), writer(*client, *session, "rw"), late(*client, *session, "rw");
  ASSERT_TRUE(first.LockShared(Soon()).ok());
  std::atomic<bool> written = false;
  std::thread waits([&] {
    EXPECT_TRUE(writer.Lock(Soon()).ok());
    EXPECT_FALSE(late.held());
    written = true;
    EXPECT_TRUE(writer.Unlock().ok());
  });
  AwaitKeys(*client, "rw/write/", 1);
  EXPECT_FALSE(*late.TryLockShared(Soon()));
  std::thread reads([&] {
    EXPECT_TRUE(late.LockShared(Soon()).ok());
    EXPECT_TRUE(written);
  });
  AwaitKeys(*client, "rw/read/", 2);
  EXPECT_FALSE(late.held());
  EXPECT_TRUE(first.Unlock().ok());
  waits.join();
  reads.join();
  EXPECT_GT(late.fencing_token(), writer.fencing_token());
}

TEST(RwMutexTest, ManyReadersAndWritersNeverMeet) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  std::atomic<int> readers = 0, writers = 0, most_readers = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      const auto session = Open(*client);
      RwMutex mutex(*client, *session, "rw");
      for (int round = 0; round < 8; ++round) {
        if (i < 2) {
          ASSERT_TRUE(mutex.Lock(Soon()).ok());
          EXPECT_EQ(++writers, 1);
          EXPECT_EQ(readers, 0);
          --writers;
        } else {
          ASSERT_TRUE(mutex.LockShared(Soon()).ok());
          const int now = ++readers;
          most_readers = std::max(most_readers.load(), now);
          EXPECT_EQ(writers, 0);
          EXPECT_EQ(CountKeys(*client, "rw/write/none"), 0);  // A while, in which others may come.
          --readers;
        }
        EXPECT_TRUE(mutex.Unlock().ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(CountKeys(*client, "rw/"), 0);
  std::cout << "at most " << most_readers << " readers at a time\n";
}

TEST(RwMutexTest, AWaiterLeavesWhenItsSessionDiesOrItIsCalledOff) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto make = [&](Session& session) {
    auto mutex = std::make_shared<RwMutex>(*client, session, "rw");
    return testing::TestLock{.lock = [mutex](absl::Time deadline) { return mutex->Lock(deadline); },
                             .unlock = [mutex] { return mutex->Unlock(); },
                             .held = [mutex] { return mutex->held(); }};
  };
  testing::ExpectWaitersLeave(*client, make, "rw/", 1);
}

TEST(RwMutexTest, AGuardedTransactionOfADeposedHolderChangesNothing) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto session = Open(*client);
  RwMutex mutex(*client, *session, "rw");
  EXPECT_FALSE(client->kv().Commit(mutex.Guard(Txn().Then(Put("data", "early"))))->succeeded);  // Never locked.
  ASSERT_TRUE(mutex.Lock(Soon()).ok());
  EXPECT_TRUE(client->kv().Commit(mutex.Guard(Txn().Then(Put("data", "mine"))))->succeeded);
  // Somebody takes the lock away behind our back; we still believe.
  ASSERT_TRUE(client->kv().Delete(mutex.key()).ok());
  EXPECT_TRUE(mutex.held());
  EXPECT_FALSE(client->kv().Commit(mutex.Guard(Txn().Then(Put("data", "stale"))))->succeeded);
  EXPECT_EQ(testing::ValueAt(*client, "data"), "mine");
  EXPECT_TRUE(session->Close().ok());
  EXPECT_FALSE(mutex.held());
}

// However many wait: of all of them one is told of a release.
TEST(RwMutexTest, AReleaseWakesOnlyTheNextWriter) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto session = Open(*client);
  RwMutex holder(*client, *session, "rw");
  ASSERT_TRUE(holder.Lock(Soon()).ok());
  constexpr int kWaiters = 8;
  std::vector<std::unique_ptr<RwMutex>> waiters;
  std::vector<std::thread> threads;
  std::atomic<int> granted = 0;
  for (int i = 0; i < kWaiters; ++i) {
    waiters.push_back(std::make_unique<RwMutex>(*client, *session, "rw"));
    threads.emplace_back([&, i] {
      EXPECT_TRUE(waiters[i]->Lock(Soon()).ok());
      EXPECT_EQ(granted++, i);  // In order of arrival.
      EXPECT_TRUE(waiters[i]->Unlock().ok());
    });
    AwaitKeys(*client, "rw/write/", i + 2);
  }
  const int64_t before = testing::EventsSent(cluster->endpoint(0));
  EXPECT_TRUE(holder.Unlock().ok());
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(testing::EventsSent(cluster->endpoint(0)) - before, kWaiters);
}

}  // namespace
}  // namespace keel
