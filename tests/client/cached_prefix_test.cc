#include "keel/cached_prefix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "keel/client.h"
#include "tests/client/recipe_test_base.h"
#include "tests/client/test_cluster.h"

namespace keel {
namespace {

using testing::Connect;
using ::testing::ElementsAre;

absl::Time Soon() { return absl::Now() + absl::Minutes(1); }

std::vector<std::string> Keys(const PrefixView::Interval& interval) {
  std::vector<std::string> keys;
  for (const KeyValue& kv : interval) keys.push_back(kv.key);
  return keys;
}

// What was reported, as "key: before -> after".
class Recorder {
 public:
  std::function<void(const PrefixUpdate&)> callback() {
    return [this](const PrefixUpdate& update) {
      absl::MutexLock lock(&mu_);
      for (const PrefixChange& change : update.changes) {
        lines_.push_back(absl::StrCat((change.after != nullptr ? change.after : change.before)->key, ": ",
                                      Short(change.before), " -> ", Short(change.after)));
      }
      if (update.is_resync) ++resyncs_;
    };
  }
  std::vector<std::string> lines() {
    absl::MutexLock lock(&mu_);
    return lines_;
  }
  // Waits until there are so many.
  std::vector<std::string> Await(size_t count) {
    absl::MutexLock lock(&mu_);
    const auto has_all = [&] { return lines_.size() >= count; };
    EXPECT_TRUE(mu_.AwaitWithTimeout(absl::Condition(&has_all), absl::Minutes(1)));
    return lines_;
  }
  void Clear() {
    absl::MutexLock lock(&mu_);
    lines_.clear();
  }
  // Waits until a range was read anew.
  bool AwaitResync() {
    absl::MutexLock lock(&mu_);
    const auto has_one = [&] { return resyncs_ > 0; };
    return mu_.AwaitWithTimeout(absl::Condition(&has_one), absl::Minutes(1));
  }

 private:
  static std::string Short(const KeyValue* kv) { return kv == nullptr ? "none" : kv->value.substr(0, 10); }

  absl::Mutex mu_;
  std::vector<std::string> lines_;
  int resyncs_ = 0;
};

TEST(CachedPrefixTest, ShowsWhatIsThereAndFollowsChanges) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  for (const char* key : {"p/b", "p/a", "q", "p/c"}) ASSERT_TRUE(client->kv().Put(key, key).ok());
  Recorder recorder;
  const auto cache = CachedPrefix::Open(*client, "p/", {.on_update = recorder.callback()});
  ASSERT_TRUE(cache.ok()) << cache.status();
  const PrefixView first = (*cache)->view();
  EXPECT_THAT(Keys({first.begin(), first.end()}), ElementsAre("p/a", "p/b", "p/c"));
  EXPECT_THAT(Keys(first.Range("p/b", "p/c")), ElementsAre("p/b"));
  EXPECT_THAT(Keys(first.Range("p/c", "p/b")), ElementsAre());
  EXPECT_THAT(Keys(first.WithPrefix("p/c")), ElementsAre("p/c"));
  EXPECT_TRUE((*cache)->connection().status.ok() || (*cache)->connection().since < absl::Now());

  const auto txn = client->kv().Commit(Txn().Then(Put("p/d", "new"), Put("p/a", "changed"), Delete("p/b")));
  ASSERT_TRUE(txn.ok()) << txn.status();
  ASSERT_EQ((*cache)->WaitUntil(txn->header.revision, Soon()), absl::OkStatus());
  const PrefixView second = (*cache)->view();
  EXPECT_EQ(second.revision(), txn->header.revision);
  EXPECT_THAT(Keys({second.begin(), second.end()}), ElementsAre("p/a", "p/c", "p/d"));
  EXPECT_EQ((*cache)->Get("p/a")->value, "changed");
  EXPECT_EQ((*cache)->Get("p/b"), std::nullopt);
  EXPECT_TRUE((*cache)->connection().status.ok());
  // The older view has not moved.
  EXPECT_EQ(first.Find("p/a")->value, "p/a");
  EXPECT_THAT(recorder.Await(6), ElementsAre("p/a: none -> p/a", "p/b: none -> p/b", "p/c: none -> p/c",
                                             "p/a: p/a -> changed", "p/b: p/b -> none", "p/d: none -> new"));
}

TEST(CachedPrefixTest, WaitsForRevisionsThatTouchNoneOfItsKeys) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto cache = CachedPrefix::Open(*client, "p/");
  ASSERT_TRUE(cache.ok()) << cache.status();
  const auto put = client->kv().Put("elsewhere", "x");
  ASSERT_TRUE(put.ok());
  EXPECT_EQ((*cache)->WaitUntil(put->header.revision, Soon()), absl::OkStatus());
  EXPECT_EQ((*cache)->WaitUntil(put->header.revision + 1000, absl::Now() + absl::Milliseconds(50)).code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST(CachedPrefixTest, AfterACompactionItFellBehindItReportsOnlyWhatDiffers) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto writer = Connect(cluster->endpoints());
  for (const char* key : {"p/gone", "p/same", "p/touched"}) ASSERT_TRUE(client->kv().Put(key, "1").ok());
  // The cache's thread stands in this callback while history is compacted. What it has not been sent by then is gone.
  absl::Notification blocked;
  absl::Notification go_on;
  Recorder recorder;
  const auto record = recorder.callback();
  const auto cache = CachedPrefix::Open(*client, "p/", {.on_update = [&](const PrefixUpdate& update) {
    record(update);
    if (update.after.Find("p/block") != nullptr && !blocked.HasBeenNotified()) {
      blocked.Notify();
      go_on.WaitForNotification();
    }
  }});
  ASSERT_TRUE(cache.ok()) << cache.status();
  ASSERT_TRUE(writer->kv().Put("p/block", "1").ok());
  blocked.WaitForNotification();
  // The buffer of the watch is 8 MiB: more than that must be written, and the server's own buffers overcome.
  const std::string large(1 << 20, 'x');
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(writer->kv().Put("p/touched", large).ok());
  ASSERT_TRUE(writer->kv().Delete("p/gone").ok());
  ASSERT_TRUE(writer->kv().Put("p/brief", "1").ok());
  ASSERT_TRUE(writer->kv().Delete("p/brief").ok());
  const auto last = writer->kv().Put("p/touched", "2");
  ASSERT_TRUE(last.ok());
  recorder.Clear();
  ASSERT_TRUE(writer->kv().Compact(last->header.revision).ok());
  // A member that loses the stream cannot go on where it was.
  ASSERT_TRUE(cluster->Restart(0).ok());
  go_on.Notify();
  ASSERT_EQ((*cache)->WaitUntil(last->header.revision, Soon()), absl::OkStatus());
  const PrefixView view = (*cache)->view();
  EXPECT_THAT(Keys({view.begin(), view.end()}), ElementsAre("p/block", "p/same", "p/touched"));
  ASSERT_TRUE(recorder.AwaitResync());
  std::vector<std::string> lines = recorder.lines();
  ASSERT_GE(lines.size(), 2u);
  EXPECT_EQ(lines[lines.size() - 2], "p/gone: 1 -> none");
  EXPECT_EQ(lines.back().substr(lines.back().size() - 5), " -> 2");
  for (const std::string& line : lines) EXPECT_THAT(line, ::testing::Not(::testing::HasSubstr("p/same")));
}

TEST(CachedPrefixTest, SaysThatItLagsWhileNobodyIsThereAndCatchesUp) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto put = client->kv().Put("p/a", "1");
  const auto cache = CachedPrefix::Open(*client, "p/");
  ASSERT_TRUE(cache.ok()) << cache.status();
  ASSERT_EQ((*cache)->WaitUntil(put->header.revision + 0, Soon()), absl::OkStatus());
  cluster->Kill(0);
  const absl::Time deadline = Soon();
  while ((*cache)->connection().status.ok() && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_EQ((*cache)->connection().status.code(), absl::StatusCode::kUnavailable);
  EXPECT_LE((*cache)->connection().since, absl::Now());
  EXPECT_EQ((*cache)->Get("p/a")->value, "1");  // What it knew.
  ASSERT_TRUE(cluster->Restart(0).ok());
  const auto again = client->kv().Put("p/a", "2", {}, {.timeout = absl::Minutes(1), .repeat = Repeat::kAlways});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*cache)->WaitUntil(again->header.revision, Soon()), absl::OkStatus());
  EXPECT_EQ((*cache)->Get("p/a")->value, "2");
}

TEST(CachedPrefixTest, EndsWithAnErrorWhenThereIsMoreThanItMayHold) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  ASSERT_TRUE(client->kv().Put("p/a", std::string(100, 'x')).ok());
  EXPECT_EQ(CachedPrefix::Open(*client, "p/", {.bytes_max = 50}).status().code(), absl::StatusCode::kResourceExhausted);
  absl::Notification ended;
  const auto cache =
      CachedPrefix::Open(*client, "p/", {.bytes_max = 200, .on_end = [&](const absl::Status&) { ended.Notify(); }});
  ASSERT_TRUE(cache.ok()) << cache.status();
  const auto put = client->kv().Put("p/b", std::string(100, 'x'));
  ASSERT_TRUE(put.ok());
  EXPECT_EQ((*cache)->WaitUntil(put->header.revision, Soon()).code(), absl::StatusCode::kResourceExhausted);
  ended.WaitForNotification();
  EXPECT_EQ((*cache)->connection().status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ((*cache)->view().size(), 1u);  // The last state that fitted.
}

TEST(CachedPrefixTest, NobodyThereIsSaidAtOnce) {
  const auto client = Connect({"127.0.0.1:1"});
  EXPECT_EQ(CachedPrefix::Open(*client, "p/").status(),
            absl::UnavailableError("endpoint 127.0.0.1:1: connection refused"));
}

TEST(CachedPrefixTest, EqualsARangeThroughKillsOfEveryMember) {
  KEEL_START_CLUSTER(cluster, 3);
  const auto client = Connect(cluster->endpoints());
  std::map<std::string, std::string> followed;  // By callbacks alone.
  absl::Mutex mu;
  bool in_order = true;
  const auto cache = CachedPrefix::Open(*client, "p/", {.on_update = [&](const PrefixUpdate& update) {
    absl::MutexLock lock(&mu);
    if (update.after.revision() < update.before.revision()) in_order = false;
    for (const PrefixChange& change : update.changes) {
      if (change.after == nullptr) {
        followed.erase(change.before->key);
      } else {
        followed[change.after->key] = change.after->value;
      }
    }
  }});
  ASSERT_TRUE(cache.ok()) << cache.status();
  std::thread writer([&] {
    for (int i = 0; i < 300; ++i) {
      const CallOptions call = {.timeout = absl::Minutes(1), .repeat = Repeat::kAlways};
      if (i % 3 == 2) {
        EXPECT_TRUE(client->kv().Delete(absl::StrCat("p/", i % 20), {}, call).ok());
      } else {
        EXPECT_TRUE(client->kv().Put(absl::StrCat("p/", i % 20), absl::StrCat(i), {}, call).ok());
      }
    }
  });
  for (int victim = 0; victim < 3; ++victim) {
    cluster->Kill(victim);
    ASSERT_TRUE(cluster->Restart(victim).ok());
  }
  writer.join();
  const auto range = client->kv().Get("p/", {.prefix = true}, {.timeout = absl::Minutes(1)});
  ASSERT_TRUE(range.ok()) << range.status();
  ASSERT_EQ((*cache)->WaitUntil(range->header.revision, Soon()), absl::OkStatus());
  const PrefixView view = (*cache)->view();
  ASSERT_EQ(view.size(), range->kvs.size());
  size_t i = 0;
  absl::MutexLock lock(&mu);
  EXPECT_TRUE(in_order);
  EXPECT_EQ(followed.size(), range->kvs.size());
  for (const KeyValue& kv : view) {
    EXPECT_EQ(kv.key, range->kvs[i].key);
    EXPECT_EQ(kv.value, range->kvs[i].value);
    EXPECT_EQ(kv.mod_revision, range->kvs[i].mod_revision);
    EXPECT_EQ(followed[kv.key], kv.value);
    ++i;
  }
}

}  // namespace
}  // namespace keel
