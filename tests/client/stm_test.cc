#include "keel/stm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "tests/client/recipe_test_base.h"
#include "tests/client/test_cluster.h"

namespace keel {
namespace {

using testing::Connect;
using testing::ValueAt;

TEST(StmTest, ReadsItsOwnWritesAndWritesAllOrNothing) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  ASSERT_TRUE(client->kv().Put("a", "1").ok());
  ASSERT_TRUE(client->kv().Put("gone", "x").ok());
  const auto done = Atomically(*client, [](Stm& tx) {
    EXPECT_EQ(tx.Get("a"), "1");
    EXPECT_EQ(tx.Get("none"), std::nullopt);
    EXPECT_EQ(tx.ModRevision("none"), 0);
    EXPECT_GT(tx.ModRevision("a"), 0);
    tx.Put("a", "2");
    tx.Put("b", "new");
    tx.Delete("gone");
    EXPECT_EQ(tx.Get("a"), "2");
    EXPECT_EQ(tx.Get("gone"), std::nullopt);
  });
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->attempts, 1);
  EXPECT_EQ(ValueAt(*client, "a") + ValueAt(*client, "b") + ValueAt(*client, "gone"), "2new(none)");
  EXPECT_EQ(client->kv().Get("b")->kvs.at(0).mod_revision, done->header.revision);
  const auto refused = Atomically(*client, [](Stm& tx) {
    tx.Put("a", "3");
    return absl::FailedPreconditionError("changed my mind");
  });
  EXPECT_EQ(refused.status(), absl::FailedPreconditionError("changed my mind"));
  EXPECT_EQ(ValueAt(*client, "a"), "2");
  EXPECT_EQ(Atomically(*client, [](Stm& tx) { tx.Put("", "x"); }).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Atomically(*client, [](Stm& tx) { tx.Get(""); }).status().code(), absl::StatusCode::kInvalidArgument);
}

// What each level makes of a change between the reads and the commit: of a key read, of one only written, and of one
// that is read after another was.
TEST(StmTest, IsolationLevelsNoticeWhatTheyPromise) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  struct Case {
    const char* name;
    StmIsolation isolation;
    int after_read;           // Runs it takes when a key that was read changes,
    int after_blind_write;    // or one that is only written.
    const char* second_read;  // What a later read sees of a change after the first read, in the first run.
  };
  const Case cases[] = {
      {"snapshot", StmIsolation::kSerializableSnapshot, 2, 2, "old"},
      {"serializable", StmIsolation::kSerializable, 2, 1, "old"},
      {"repeatable", StmIsolation::kRepeatableReads, 2, 1, "new"},
      {"committed", StmIsolation::kReadCommitted, 1, 1, "new"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const StmOptions options = {.isolation = c.isolation};
    const auto meddle = [&](const char* key) { EXPECT_TRUE(client->kv().Put(key, "new").ok()); };
    for (const char* key : {"read", "blind", "second"}) ASSERT_TRUE(client->kv().Put(key, "old").ok());
    int runs = 0;
    auto done = Atomically(
        *client,
        [&](Stm& tx) {
          (void)tx.Get("read");
          if (++runs == 1) meddle("read");
          (void)tx.Get("read");
          tx.Put("out", "x");
        },
        options);
    ASSERT_TRUE(done.ok()) << done.status();
    EXPECT_EQ(done->attempts, c.after_read);
    runs = 0;
    done = Atomically(
        *client,
        [&](Stm& tx) {
          (void)tx.Get("read");
          if (++runs == 1) meddle("blind");
          tx.Put("blind", "x");
        },
        options);
    ASSERT_TRUE(done.ok()) << done.status();
    EXPECT_EQ(done->attempts, c.after_blind_write);
    runs = 0;
    std::string seen;
    done = Atomically(
        *client,
        [&](Stm& tx) {
          (void)tx.Get("read");
          if (++runs == 1) meddle("second");
          const std::string second = tx.Get("second").value_or("");
          if (runs == 1) seen = second;
        },
        options);
    ASSERT_TRUE(done.ok()) << done.status();
    EXPECT_EQ(seen, c.second_read);
  }
}

TEST(StmTest, GivesUpAfterSoManyConflictsOrAtItsDeadline) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto lose = [&](Stm& tx) {
    (void)tx.Get("a");
    EXPECT_TRUE(client->kv().Put("a", "meddled").ok());
    tx.Put("a", "mine");
  };
  const auto aborted = Atomically(*client, lose, {.attempts_max = 3});
  EXPECT_EQ(aborted.status(), absl::AbortedError("stm: conflicts in all of 3 attempts"));
  const auto late =
      Atomically(*client, lose, {.attempts_max = 1000000, .deadline = absl::Now() + absl::Milliseconds(200)});
  EXPECT_EQ(late.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ValueAt(*client, "a"), "meddled");
}

TEST(StmTest, TransfersFromManyThreadsKeepTheSum) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  constexpr int kAccounts = 4, kThreads = 4, kTransfers = 12;
  const uint64_t seed = Random::EntropySeed();
  std::cout << "seed " << seed << "\n";
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Random random(seed + static_cast<uint64_t>(t));
      for (int i = 0; i < kTransfers; ++i) {
        const std::string from = absl::StrCat("accounts/", random.Below(kAccounts));
        const std::string to = absl::StrCat("accounts/", random.Below(kAccounts));
        const auto done = Atomically(*client, [&](Stm& tx) {
          tx.Put(from, absl::StrCat(std::stoi(tx.Get(from).value_or("100")) - 1));
          tx.Put(to, absl::StrCat(std::stoi(tx.Get(to).value_or("100")) + 1));
        });
        EXPECT_TRUE(done.ok()) << done.status();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  int sum = 0;
  int accounts = 0;
  const auto all = client->kv().Get("accounts/", {.prefix = true});
  ASSERT_TRUE(all.ok()) << all.status();
  for (const KeyValue& kv : all->kvs) {
    sum += std::stoi(kv.value);
    ++accounts;
  }
  EXPECT_EQ(sum, 100 * accounts);
}

}  // namespace
}  // namespace keel
