#include "keel/barrier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "keel/double_barrier.h"
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

TEST(BarrierTest, HoldsAllWhoWaitUntilItIsReleased) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  Barrier barrier(*client, "gate");
  EXPECT_TRUE(barrier.Wait(Soon()).ok());  // Open.
  EXPECT_TRUE(barrier.Release(Soon()).ok());
  ASSERT_TRUE(barrier.Hold(Soon()).ok());
  EXPECT_EQ(Barrier(*client, "gate").Hold(Soon()).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(barrier.Wait(AtOnce()).code(), absl::StatusCode::kDeadlineExceeded);
  std::atomic<int> through = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      EXPECT_TRUE(Barrier(*client, "gate").Wait(Soon()).ok());
      ++through;
    });
  }
  EXPECT_EQ(through, 0);
  EXPECT_TRUE(barrier.Release(Soon()).ok());
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(CountKeys(*client, "gate"), 0);
}

TEST(DoubleBarrierTest, AllEnterAndLeaveTogetherRoundAfterRound) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  constexpr int kParticipants = 4, kRounds = 5;
  std::atomic<int> entering[kRounds] = {}, leaving[kRounds] = {};
  std::atomic<int64_t> tokens[kRounds] = {};
  std::vector<std::thread> threads;
  for (int i = 0; i < kParticipants; ++i) {
    threads.emplace_back([&] {
      const auto session = Open(*client);
      DoubleBarrier barrier(*client, *session, "meet", kParticipants);
      for (int round = 0; round < kRounds; ++round) {
        ++entering[round];
        const absl::Status entered = barrier.Enter(Soon());
        ASSERT_TRUE(entered.ok()) << entered;
        EXPECT_EQ(entering[round], kParticipants);
        const int64_t others = tokens[round].exchange(barrier.token());
        EXPECT_TRUE(others == 0 || others == barrier.token());
        ++leaving[round];
        const absl::Status left = barrier.Leave(Soon());
        ASSERT_TRUE(left.ok()) << left;
        EXPECT_EQ(leaving[round], kParticipants);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(CountKeys(*client, "meet/"), 0);
}

TEST(DoubleBarrierTest, OneWhoGivesUpIsReplaced) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto session = Open(*client);
  DoubleBarrier a(*client, *session, "meet", 2), b(*client, *session, "meet", 2), c(*client, *session, "meet", 2);
  EXPECT_EQ(a.Enter(AtOnce()).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(CountKeys(*client, "meet/"), 0);
  EXPECT_EQ(a.Leave(Soon()).code(), absl::StatusCode::kFailedPrecondition);
  std::thread first([&] { EXPECT_TRUE(b.Enter(Soon()).ok()); });
  AwaitKeys(*client, "meet/waiters/", 1);
  EXPECT_TRUE(c.Enter(Soon()).ok());
  first.join();
  std::thread leaves([&] { EXPECT_TRUE(b.Leave(Soon()).ok()); });
  EXPECT_TRUE(c.Leave(Soon()).ok());
  leaves.join();
}

TEST(DoubleBarrierTest, OneWhoDiesInsideCountsAsHavingLeft) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto session = Open(*client), mortal = Open(*client, absl::Seconds(2));
  DoubleBarrier stays(*client, *session, "meet", 2), dies(*client, *mortal, "meet", 2);
  std::thread enters([&] { EXPECT_TRUE(dies.Enter(Soon()).ok()); });
  EXPECT_TRUE(stays.Enter(Soon()).ok());
  enters.join();
  mortal->Orphan();
  EXPECT_TRUE(stays.Leave(Soon()).ok());
  EXPECT_EQ(dies.Leave(Soon()), absl::FailedPreconditionError("double barrier: session is expired"));
  EXPECT_EQ(CountKeys(*client, "meet/"), 0);
}

}  // namespace
}  // namespace keel
