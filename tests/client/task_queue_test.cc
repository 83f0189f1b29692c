#include "keel/task_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "tests/client/recipe_test_base.h"
#include "tests/client/test_cluster.h"

namespace keel {
namespace {

using testing::AtOnce;
using testing::Connect;
using testing::CountKeys;
using testing::Open;
using testing::Soon;
using testing::ValueAt;

TEST(TaskQueueTest, GivesOutInOrderAndCompletesWithTheResultInOneTransaction) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto session = Open(*client);
  TaskQueue tasks(*client, *session, "tasks");
  EXPECT_FALSE(tasks.TryTake(Soon())->has_value());
  EXPECT_EQ(tasks.Take(AtOnce()).status().code(), absl::StatusCode::kDeadlineExceeded);
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(*tasks.Add(absl::StrCat("task ", i), Soon()));
  int64_t last = 0;
  for (int i = 0; i < 3; ++i) {
    auto task = tasks.Take(Soon());
    ASSERT_TRUE(task.ok()) << task.status();
    EXPECT_EQ(task->id(), ids[i]);
    EXPECT_EQ(task->payload(), absl::StrCat("task ", i));
    EXPECT_EQ(task->attempt(), 1);
    EXPECT_GT(task->fencing_token(), last);
    last = task->fencing_token();
    EXPECT_TRUE(task->held());
    EXPECT_EQ(tasks.Counts(Soon())->doing, 1);
    EXPECT_TRUE(task->Complete({Put("result", task->payload())}, Soon()).ok());
    EXPECT_FALSE(task->held());
    EXPECT_EQ(task->Complete().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(ValueAt(*client, "result"), absl::StrCat("task ", i));
  }
  EXPECT_EQ(CountKeys(*client, "tasks/"), 0);  // Nothing is left behind.
  std::thread waits([&] { EXPECT_EQ(tasks.Take(Soon())->payload(), "late"); });
  ASSERT_TRUE(tasks.Add("late", Soon()).ok());
  waits.join();
  std::thread cancelled([&] { EXPECT_EQ(tasks.Take(Soon()).status().code(), absl::StatusCode::kCancelled); });
  tasks.Cancel();
  cancelled.join();
}

TEST(TaskQueueTest, ADeadWorkersTaskIsTakenAgainAndTheDeadWorkerCannotCompleteIt) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto mortal = Open(*client, absl::Seconds(2)), session = Open(*client);
  TaskQueue dies(*client, *mortal, "tasks"), lives(*client, *session, "tasks");
  ASSERT_TRUE(lives.Add("work", Soon()).ok());
  auto first = dies.Take(Soon());
  ASSERT_TRUE(first.ok()) << first.status();
  mortal->Orphan();
  EXPECT_FALSE(first->held());
  auto again = lives.Take(Soon());  // Waits for the lease to end.
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->payload(), "work");
  EXPECT_EQ(again->attempt(), 2);
  EXPECT_GT(again->fencing_token(), first->fencing_token());
  EXPECT_FALSE(client->kv().Commit(first->Guard(Txn().Then(Put("result", "stale"))))->succeeded);
  EXPECT_FALSE(first->Complete({Put("result", "stale")}, Soon()).ok());
  EXPECT_TRUE(again->Complete({Put("result", "good")}, Soon()).ok());
  EXPECT_EQ(ValueAt(*client, "result"), "good");
}

TEST(TaskQueueTest, ADeposedWorkerThatStillBelievesCannotComplete) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto session = Open(*client);
  TaskQueue tasks(*client, *session, "tasks");
  const std::string id = *tasks.Add("work", Soon());
  auto first = tasks.Take(Soon());
  ASSERT_TRUE(client->kv().Delete(absl::StrCat("tasks/owner/", id)).ok());  // Behind our back.
  EXPECT_TRUE(first->held());
  auto second = tasks.Take(Soon());
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(first->Complete({Put("result", "stale")}, Soon()).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ValueAt(*client, "result"), "(none)");
  EXPECT_TRUE(second->Complete({Put("result", "good")}, Soon()).ok());
}

TEST(TaskQueueTest, ATaskThatNobodyCompletesEndsAmongTheDeadAndCanBeRevived) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto session = Open(*client);
  TaskQueue tasks(*client, *session, "tasks", {.attempts_max = 2});
  const std::string id = *tasks.Add("poison", Soon());
  for (int attempt = 1; attempt <= 2; ++attempt) {
    auto task = tasks.Take(Soon());
    ASSERT_TRUE(task.ok()) << task.status();
    EXPECT_EQ(task->attempt(), attempt);
    EXPECT_TRUE(task->GiveBack(Soon()).ok());
  }
  EXPECT_FALSE(tasks.TryTake(Soon())->has_value());
  const auto dead = tasks.Dead(10, Soon());
  ASSERT_TRUE(dead.ok()) << dead.status();
  ASSERT_EQ(dead->size(), 1u);
  EXPECT_EQ((*dead)[0].id, id);
  EXPECT_EQ((*dead)[0].payload, "poison");
  const auto counts = tasks.Counts(Soon());
  EXPECT_EQ(counts->todo + counts->doing, 0);
  EXPECT_EQ(counts->dead, 1);
  EXPECT_EQ(tasks.Revive("nobody", Soon()).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(tasks.Revive(id, Soon()).ok());
  auto task = tasks.Take(Soon());
  ASSERT_TRUE(task.ok()) << task.status();
  EXPECT_EQ(task->attempt(), 1);
  EXPECT_TRUE(task->Bury(Soon()).ok());
  EXPECT_EQ(tasks.Counts(Soon())->dead, 1);
  EXPECT_EQ(CountKeys(*client, "tasks/"), 1);
}

TEST(TaskQueueTest, ManyWorkersDoEachTaskOnce) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  constexpr int kTasks = 40, kWorkers = 4;
  const auto session = Open(*client);
  TaskQueue producer(*client, *session, "tasks");
  std::vector<std::thread> threads;
  absl::Mutex mu;
  std::map<std::string, int> done;
  for (int w = 0; w < kWorkers; ++w) {
    threads.emplace_back([&] {
      const auto own = Open(*client);
      TaskQueue tasks(*client, *own, "tasks");
      while (true) {
        {
          absl::MutexLock lock(&mu);
          if (done.size() == kTasks) return;
        }
        auto task = tasks.Take(absl::Now() + absl::Milliseconds(500));
        if (absl::IsDeadlineExceeded(task.status())) continue;
        ASSERT_TRUE(task.ok()) << task.status();
        EXPECT_EQ(task->attempt(), 1);
        EXPECT_TRUE(task->Complete({}, Soon()).ok());
        absl::MutexLock lock(&mu);
        ++done[task->payload()];
      }
    });
  }
  for (int i = 0; i < kTasks; ++i) ASSERT_TRUE(producer.Add(absl::StrCat(i), Soon()).ok());
  for (std::thread& thread : threads) thread.join();
  for (const auto& [payload, times] : done) EXPECT_EQ(times, 1) << payload;
  EXPECT_EQ(CountKeys(*client, "tasks/"), 0);
}

}  // namespace
}  // namespace keel
