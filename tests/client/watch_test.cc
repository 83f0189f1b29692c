#include "keel/watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "keel/client.h"
#include "tests/client/test_cluster.h"

namespace keel {
namespace {

std::unique_ptr<Client> Connect(const std::vector<std::string>& endpoints) {
  auto client = Client::Create({.endpoints = endpoints, .timeout = absl::Seconds(20)});
  EXPECT_TRUE(client.ok()) << client.status();
  return *std::move(client);
}

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

// The next `count` values that the watcher delivers.
std::vector<std::string> Values(Watcher& watcher, size_t count) {
  std::vector<std::string> values;
  while (values.size() < count) {
    const auto next = watcher.Next(Soon());
    if (!next.ok()) {
      ADD_FAILURE() << next.status();
      break;
    }
    for (const Event& event : next->events) values.push_back(event.kv.value);
  }
  return values;
}

TEST(WatchTest, DeliversPutsAndDeletesWithWhatWasBefore) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto watcher = client->Watch("a/", {.prefix = true, .prev_kv = true, .created_notify = true});
  const auto created = watcher->Next(Soon());
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_TRUE(created->created);
  EXPECT_NE(created->header.cluster_id, 0u);

  const int64_t first = client->kv().Put("a/k", "1")->header.revision;
  ASSERT_TRUE(client->kv().Put("b", "elsewhere").ok());
  ASSERT_TRUE(client->kv().Delete("a/k").ok());
  const auto put = watcher->Next(Soon());
  ASSERT_TRUE(put.ok());
  ASSERT_EQ(put->events.size(), 1u);
  EXPECT_TRUE(put->events[0].is_create());
  EXPECT_EQ(put->events[0].kv.mod_revision, first);
  const auto gone = watcher->Next(Soon());
  ASSERT_TRUE(gone.ok());
  EXPECT_EQ(gone->events.at(0).type, Event::Type::kDelete);
  ASSERT_TRUE(gone->events[0].prev_kv.has_value());
  EXPECT_EQ(gone->events[0].prev_kv->value, "1");
  EXPECT_EQ(watcher->next_revision(), first + 3);
}

TEST(WatchTest, ReplaysHistoryFromARevision) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const int64_t first = client->kv().Put("k", "1")->header.revision;
  ASSERT_TRUE(client->kv().Put("k", "2").ok());
  const auto watcher = client->Watch("k", {.start_revision = first});
  EXPECT_THAT(Values(*watcher, 2), ::testing::ElementsAre("1", "2"));
}

TEST(WatchTest, GoesOnAfterTheServerDiedAndCameBackWithoutGapOrDuplicate) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto watcher = client->Watch("k", {.created_notify = true});
  ASSERT_TRUE(watcher->Next(Soon()).ok());
  ASSERT_TRUE(client->kv().Put("k", "1").ok());
  EXPECT_THAT(Values(*watcher, 1), ::testing::ElementsAre("1"));
  cluster->Kill(0);
  const auto meanwhile = watcher->Next(absl::Now() + absl::Milliseconds(200));
  EXPECT_EQ(meanwhile.status().code(), absl::StatusCode::kDeadlineExceeded);
  ASSERT_TRUE(cluster->Restart(0).ok());
  // Written by another client, so that it may be there before the watch is.
  const auto other = Connect(cluster->endpoints());
  ASSERT_TRUE(other->kv().Put("k", "2").ok());
  ASSERT_TRUE(other->kv().Put("k", "3").ok());
  EXPECT_THAT(Values(*watcher, 2), ::testing::ElementsAre("2", "3"));
}

TEST(WatchTest, MovesToAnotherMemberAndMissesNothing) {
  KEEL_START_CLUSTER(cluster, 3);
  const auto client = Connect(cluster->endpoints());
  const auto watcher = client->Watch("k", {.start_revision = 1});
  constexpr int kPuts = 300;
  std::thread writer([&] {
    for (int i = 0; i < kPuts; ++i) {
      // Writing the same value again is harmless here, and shows as a duplicate value, which is told apart below.
      const auto put = client->kv().Put("k", std::to_string(i), {}, {.repeat = Repeat::kAlways});
      EXPECT_TRUE(put.ok()) << put.status();
    }
  });
  for (int victim = 0; victim < 3; ++victim) {
    cluster->Kill(victim);
    ASSERT_TRUE(cluster->Restart(victim).ok());
  }
  writer.join();
  int expected = 0;
  int64_t revision = 0;
  while (expected < kPuts) {
    const auto next = watcher->Next(Soon());
    ASSERT_TRUE(next.ok()) << next.status();
    for (const Event& event : next->events) {
      EXPECT_GT(event.kv.mod_revision, revision);  // No event twice.
      revision = event.kv.mod_revision;
      const int value = std::stoi(event.kv.value);
      ASSERT_LE(value, expected);  // None left out.
      if (value == expected) ++expected;
    }
  }
}

TEST(WatchTest, TellsHowFarHistoryIsCompacted) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const int64_t first = client->kv().Put("k", "1")->header.revision;
  ASSERT_TRUE(client->kv().Put("k", "2").ok());
  const int64_t last = client->kv().Put("k", "3")->header.revision;
  ASSERT_TRUE(client->kv().Compact(last).ok());
  const auto watcher = client->Watch("k", {.start_revision = first});
  const auto canceled = watcher->Next(Soon());
  ASSERT_TRUE(canceled.ok()) << canceled.status();
  EXPECT_TRUE(canceled->canceled);
  EXPECT_EQ(canceled->compact_revision, last);
  EXPECT_EQ(watcher->Next(Soon()).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(watcher->compact_revision(), last);
}

TEST(WatchTest, ASlowConsumerLosesNothingAndIsNotBufferedWithoutBound) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  // Room for about three events.
  const auto slow = client->Watch("k", {.created_notify = true, .buffer_bytes_max = 3000});
  ASSERT_TRUE(slow->Next(Soon()).ok());
  const auto witness = client->Watch("k", {.created_notify = true});
  ASSERT_TRUE(witness->Next(Soon()).ok());
  constexpr size_t kPuts = 200;
  std::vector<std::string> expected;
  for (size_t i = 0; i < kPuts; ++i) {
    expected.push_back(std::to_string(i) + std::string(1000, 'v'));
    ASSERT_TRUE(client->kv().Put("k", expected.back()).ok());
  }
  EXPECT_EQ(Values(*witness, kPuts), expected);  // Not held back by the other.
  EXPECT_EQ(Values(*slow, kPuts), expected);
}

TEST(WatchTest, AnswersARequestForProgress) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto watcher = client->Watch("k", {.created_notify = true});
  ASSERT_TRUE(watcher->Next(Soon()).ok());
  const int64_t revision = client->kv().Put("other", "x")->header.revision;
  // A member may ignore it while it is busy with the watch; asked often enough, it answers.
  absl::StatusOr<WatchResponse> progress = absl::UnknownError("");
  for (int i = 0; i < 100 && !progress.ok(); ++i) {
    ASSERT_TRUE(watcher->RequestProgress().ok());
    progress = watcher->Next(absl::Now() + absl::Milliseconds(300));
  }
  ASSERT_TRUE(progress.ok()) << progress.status();
  EXPECT_TRUE(progress->is_progress());
  EXPECT_GE(progress->header.revision, revision);
}

TEST(WatchTest, CancelWakesAWaitingConsumer) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto watcher = client->Watch("k");
  std::thread canceller([&] { watcher->Cancel(); });
  EXPECT_EQ(watcher->Next(Soon()).status().code(), absl::StatusCode::kCancelled);
  canceller.join();
  EXPECT_EQ(watcher->Next(Soon()).status().code(), absl::StatusCode::kCancelled);
}

TEST(WatchTest, OutlivesItsClientAsCancelled) {
  auto client = Connect({"127.0.0.1:1"});
  const auto watcher = client->Watch("k", {.wait_for_ready = true});
  client.reset();
  EXPECT_EQ(watcher->Next(Soon()).status().code(), absl::StatusCode::kCancelled);
}

TEST(WatchTest, RefusesAmbiguousKeys) {
  const auto client = Connect({"127.0.0.1:1"});
  const auto watcher = client->Watch("k", {.range_end = "z", .prefix = true});
  EXPECT_EQ(watcher->Next(Soon()).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(WatchTest, CallbacksComeInOrderAndEndWithTheWatcher) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  absl::Mutex mu;
  std::vector<std::string> seen;
  std::atomic<bool> destroyed = false;
  std::atomic<bool> late = false;
  absl::Notification created;
  auto watcher = client->Watch("k", {.created_notify = true}, [&](const absl::StatusOr<WatchResponse>& next) {
    if (destroyed) late = true;
    if (!next.ok()) return;
    if (next->created) return created.Notify();
    absl::MutexLock lock(&mu);
    for (const Event& event : next->events) seen.push_back(event.kv.value);
  });
  created.WaitForNotification();
  for (const char* value : {"1", "2", "3"}) ASSERT_TRUE(client->kv().Put("k", value).ok());
  {
    absl::MutexLock lock(&mu);
    const auto has_all = [&seen] { return seen.size() == 3; };
    ASSERT_TRUE(mu.AwaitWithTimeout(absl::Condition(&has_all), absl::Seconds(30)));
    EXPECT_THAT(seen, ::testing::ElementsAre("1", "2", "3"));
  }
  watcher.reset();
  destroyed = true;
  ASSERT_TRUE(client->kv().Put("k", "4").ok());
  EXPECT_FALSE(late);
}

TEST(WatchTest, ACallbackMayDestroyItsWatcher) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  std::unique_ptr<Watcher> watcher;
  absl::Mutex mu;
  absl::Notification done;
  {
    absl::MutexLock lock(&mu);  // The callback waits until `watcher` is set.
    watcher = client->Watch("k", {.created_notify = true}, [&](const absl::StatusOr<WatchResponse>&) {
      absl::MutexLock callback_lock(&mu);
      watcher.reset();
      done.Notify();
    });
  }
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(30)));
}

}  // namespace
}  // namespace keel
