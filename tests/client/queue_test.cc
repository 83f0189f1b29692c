#include "keel/queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "keel/priority_queue.h"
#include "tests/client/recipe_test_base.h"
#include "tests/client/test_cluster.h"

namespace keel {
namespace {

using testing::AtOnce;
using testing::Connect;
using testing::CountKeys;
using testing::Soon;

TEST(QueueTest, GivesOutInOrderOfArrivalAndWaitsWhenEmpty) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  Queue queue(*client, "q");
  EXPECT_FALSE(queue.TryDequeue(Soon())->has_value());
  EXPECT_EQ(queue.Dequeue(AtOnce()).status().code(), absl::StatusCode::kDeadlineExceeded);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(queue.Enqueue(absl::StrCat("item ", i), Soon()).ok());
  EXPECT_EQ(CountKeys(*client, "q/"), 5);
  int64_t last = 0;
  for (int i = 0; i < 5; ++i) {
    const auto item = queue.Dequeue(Soon());
    ASSERT_TRUE(item.ok()) << item.status();
    EXPECT_EQ(item->value, absl::StrCat("item ", i));
    EXPECT_GT(item->token, last);
    last = item->token;
  }
  std::thread waits([&] { EXPECT_EQ(queue.Dequeue(Soon())->value, "late"); });
  ASSERT_TRUE(queue.Enqueue("late", Soon()).ok());
  waits.join();
  EXPECT_EQ(CountKeys(*client, "q/"), 0);
  std::thread cancelled([&] { EXPECT_EQ(queue.Dequeue(Soon()).status().code(), absl::StatusCode::kCancelled); });
  queue.Cancel();
  cancelled.join();
}

TEST(QueueTest, ManyConsumersGetEachItemOnce) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  constexpr int kProducers = 3, kItems = 20, kConsumers = 4;
  absl::Mutex mu;
  std::map<std::string, int> got;
  std::vector<std::thread> threads;
  Queue shared(*client, "q");  // Its calls may overlap.
  for (int p = 0; p < kProducers; ++p) {
    threads.emplace_back([&, p] {
      for (int i = 0; i < kItems; ++i) EXPECT_TRUE(shared.Enqueue(absl::StrCat(p, "-", i), Soon()).ok());
    });
  }
  for (int c = 0; c < kConsumers; ++c) {
    threads.emplace_back([&] {
      Queue queue(*client, "q");
      for (int i = 0; i < kProducers * kItems / kConsumers; ++i) {
        const auto item = queue.Dequeue(Soon());
        ASSERT_TRUE(item.ok()) << item.status();
        absl::MutexLock lock(&mu);
        ++got[item->value];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(got.size(), static_cast<size_t>(kProducers * kItems));
  for (const auto& [value, times] : got) EXPECT_EQ(times, 1) << value;
}

TEST(PriorityQueueTest, GivesOutTheMostUrgentFirstAndEqualsInOrder) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  PriorityQueue queue(*client, "pq");
  ASSERT_TRUE(queue.Enqueue("low", 65535, Soon()).ok());
  ASSERT_TRUE(queue.Enqueue("a", 7, Soon()).ok());
  ASSERT_TRUE(queue.Enqueue("b", 7, Soon()).ok());
  ASSERT_TRUE(queue.Enqueue("urgent", 0, Soon()).ok());
  EXPECT_EQ(CountKeys(*client, "pq/00007/0000000000000001"), 1);
  EXPECT_EQ(CountKeys(*client, "__pq/00007"), 1);
  for (const char* expected : {"urgent", "a", "b", "low"}) {
    const auto item = queue.Dequeue(Soon());
    ASSERT_TRUE(item.ok()) << item.status();
    EXPECT_EQ(item->value, expected);
  }
  EXPECT_FALSE(queue.TryDequeue(Soon())->has_value());
  ASSERT_TRUE(client->kv().Put("pq/00007/what", "").ok());
  const absl::Status refused = queue.Enqueue("c", 7, Soon());
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr("pq/00007/what"));
}

TEST(PriorityQueueTest, ProducersAtTheSameTimeGetDifferentNumbers) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  std::vector<std::thread> threads;
  for (int p = 0; p < 4; ++p) {
    threads.emplace_back([&, p] {
      PriorityQueue queue(*client, "pq");
      for (int i = 0; i < 8; ++i) EXPECT_TRUE(queue.Enqueue(absl::StrCat(p, "-", i), 1, Soon()).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(CountKeys(*client, "pq/00001/"), 32);
  EXPECT_EQ(CountKeys(*client, "pq/00001/0000000000000031"), 1);  // Without a gap.
}

}  // namespace
}  // namespace keel
