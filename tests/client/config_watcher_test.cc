#include "keel/config_watcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "keel/client.h"
#include "tests/client/test_cluster.h"

namespace keel {
namespace {

using ::testing::HasSubstr;

struct Limits {
  int rate = 0;
  int burst = 0;
};

absl::StatusOr<Limits> Parse(const PrefixView& keys) {
  Limits limits;
  for (const auto& [key, field] : {std::pair("limits/rate", &limits.rate), std::pair("limits/burst", &limits.burst)}) {
    const KeyValue* kv = keys.Find(key);
    if (kv == nullptr) return absl::InvalidArgumentError(absl::StrCat(key, " is missing"));
    if (!absl::SimpleAtoi(kv->value, field)) {
      return absl::InvalidArgumentError(absl::StrCat(key, " is '", kv->value, "', not a number"));
    }
  }
  if (limits.burst < limits.rate) return absl::InvalidArgumentError("burst is below rate");
  return limits;
}

absl::Time Soon() { return absl::Now() + absl::Minutes(1); }

class ConfigWatcherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto cluster = testing::TestCluster::Start(1);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = *std::move(cluster);
    auto client = Client::Create({.endpoints = cluster_->endpoints()});
    ASSERT_TRUE(client.ok());
    client_ = *std::move(client);
  }

  // Both keys in one revision, which it returns.
  int64_t Set(const std::string& rate, const std::string& burst) {
    const auto done = client_->kv().Commit(Txn().Then(Put("limits/rate", rate), Put("limits/burst", burst)));
    EXPECT_TRUE(done.ok()) << done.status();
    return done->header.revision;
  }

  std::unique_ptr<testing::TestCluster> cluster_;
  std::unique_ptr<Client> client_;
};

TEST_F(ConfigWatcherTest, TheLastGoodValueStaysWhileTheStoreHoldsABadOne) {
  EXPECT_EQ(ConfigWatcher<Limits>::Open(*client_, "limits/", Parse).status(),
            absl::InvalidArgumentError("limits/rate is missing"));
  const int64_t first = Set("10", "20");
  std::vector<std::string> changes;  // Only read after WaitUntil, which comes after the callbacks.
  const auto config = ConfigWatcher<Limits>::Open(
      *client_, "limits/", Parse,
      [&](const auto& before, const auto& after) { changes.push_back(absl::StrCat(before->rate, "->", after->rate)); });
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ((*config)->value()->rate, 10);
  EXPECT_EQ((*config)->revision(), first);

  const int64_t bad = Set("50", "many");
  ASSERT_EQ((*config)->WaitUntil(bad, Soon()), absl::OkStatus());
  EXPECT_EQ((*config)->value()->rate, 10);
  EXPECT_EQ((*config)->revision(), first);
  EXPECT_EQ((*config)->rejected(), absl::InvalidArgumentError("limits/burst is 'many', not a number"));

  const int64_t good = Set("50", "60");
  ASSERT_EQ((*config)->WaitUntil(good, Soon()), absl::OkStatus());
  EXPECT_EQ((*config)->value()->rate, 50);
  EXPECT_EQ((*config)->rejected(), absl::OkStatus());
  EXPECT_THAT(changes, ::testing::ElementsAre("10->50"));
  const std::vector<ConfigVersion> history = (*config)->history();
  ASSERT_EQ(history.size(), 3u);
  EXPECT_EQ(history[1].revision, bad);
  EXPECT_FALSE(history[1].status.ok());
  EXPECT_EQ(history[2].revision, good);
}

TEST_F(ConfigWatcherTest, RollsBackToWhatWasThereInOneTransaction) {
  const int64_t first = Set("10", "20");
  const auto config = ConfigWatcher<Limits>::Open(*client_, "limits/", Parse);
  ASSERT_TRUE(config.ok()) << config.status();
  Set("50", "60");
  const auto extra = client_->kv().Put("limits/extra", "x");
  ASSERT_EQ((*config)->WaitUntil(extra->header.revision, Soon()), absl::OkStatus());

  const auto back = (*config)->Rollback(first);
  ASSERT_TRUE(back.ok()) << back.status();
  ASSERT_EQ((*config)->WaitUntil(*back, Soon()), absl::OkStatus());
  EXPECT_EQ((*config)->value()->rate, 10);
  EXPECT_EQ((*config)->value()->burst, 20);
  const auto keys = client_->kv().Get("limits/", {.prefix = true});
  ASSERT_EQ(keys->kvs.size(), 2u);  // What was not there then is gone.
  EXPECT_EQ(keys->kvs[0].mod_revision, *back);
  EXPECT_EQ(keys->kvs[1].mod_revision, *back);
  // Again: nothing differs, so nothing is written.
  EXPECT_EQ(*(*config)->Rollback(first), keys->header.revision);
}

TEST_F(ConfigWatcherTest, DoesNotRollBackToWhatItWouldRefuseNorToWhatIsGone) {
  const int64_t empty = client_->kv().Put("other", "x")->header.revision;
  Set("10", "20");
  const auto config = ConfigWatcher<Limits>::Open(*client_, "limits/", Parse);
  ASSERT_TRUE(config.ok()) << config.status();
  const absl::Status refused = (*config)->Rollback(empty).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("limits/rate is missing"));
  EXPECT_EQ((*config)->Rollback(1'000'000).status().code(), absl::StatusCode::kOutOfRange);
  const int64_t last = Set("11", "21");
  ASSERT_TRUE(client_->kv().Compact(last).ok());
  EXPECT_EQ((*config)->Rollback(last - 1).status().code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace keel
