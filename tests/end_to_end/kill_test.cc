// Members that die without warning: no acknowledged write is lost, and all members end with the same state.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/random.h"
#include "keel/client.h"
#include "tests/end_to_end/fixture.h"
#include "tests/end_to_end/writers.h"

namespace keel::test {
namespace {

class KillTest : public ClusterTest {
 protected:
  std::unique_ptr<Client> Connect() {
    std::vector<std::string> endpoints;
    for (int i = 0; i < cluster_->size(); ++i) endpoints.push_back(cluster_->endpoint(i));
    auto client = Client::Create({.endpoints = endpoints, .timeout = absl::Seconds(10)});
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  // The members' revisions and hashes agree, asked through the client library.
  void ExpectSameState(Client& client) {
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    std::string last;
    while (absl::Now() < deadline) {
      std::vector<HashKvResponse> hashes;
      last.clear();
      for (int i = 0; i < cluster_->size(); ++i) {
        auto hash = client.maintenance().HashKv(cluster_->endpoint(i));
        if (!hash.ok()) {
          absl::StrAppend(&last, cluster_->name(i), ": ", hash.status().ToString(), "; ");
          continue;
        }
        absl::StrAppend(&last, cluster_->name(i), ": ", hash->hash, " at ", hash->header.revision, "; ");
        hashes.push_back(*hash);
      }
      const bool equal = hashes.size() == static_cast<size_t>(cluster_->size()) &&
                         std::all_of(hashes.begin(), hashes.end(), [&](const HashKvResponse& h) {
                           return h.hash == hashes[0].hash && h.header.revision == hashes[0].header.revision;
                         });
      if (equal) return;
      absl::SleepFor(absl::Milliseconds(50));
    }
    ADD_FAILURE() << "states differ: " << last;
  }
};

TEST_F(KillTest, KillingTheLeaderUnderWritesLosesNothingAcknowledged) {
  StartCluster();
  auto client = Connect();
  Writers writers(*client, 4);
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE(absl::StrCat("round ", round));
    const size_t before = writers.acknowledged_count();
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    while (writers.acknowledged_count() < before + 200 && absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(5));
    }
    ASSERT_GE(writers.acknowledged_count(), before + 200) << "writes do not go on";
    const int leader = Leader();
    cluster_->Kill(leader);
    ASSERT_TRUE(cluster_->Start(leader).ok());
  }
  WaitHealthy();
  writers.Stop();
  ExpectAllPresent(*client, writers.acknowledged());
  ExpectSameState(*client);
}

TEST_F(KillTest, KillingEveryMemberAtOnceLosesNothingAcknowledged) {
  StartCluster();
  auto client = Connect();
  Writers writers(*client, 4);
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (writers.acknowledged_count() < 500 && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(5));
  for (int i = 0; i < cluster_->size(); ++i) cluster_->Kill(i);
  ASSERT_TRUE(cluster_->StartAll().ok());
  WaitHealthy();
  writers.Stop();
  EXPECT_GE(writers.acknowledged_count(), 500u);
  ExpectAllPresent(*client, writers.acknowledged());
  ExpectSameState(*client);
}

TEST_F(KillTest, FollowerThatFellBehindTheLogGetsASnapshot) {
  StartCluster(3, {"--snapshot-catchup-entries=10"});
  auto client = Connect();
  const int follower = (Leader() + 1) % 3;
  cluster_->Kill(follower);
  // More than the state keeps in memory, so that it is flushed and the log behind it is dropped.
  const std::string value(200 * 1024, 'x');
  for (int i = 0; i < 250; ++i) {
    auto put = client->kv().Put(absl::StrCat("big/", i), value);
    ASSERT_TRUE(put.ok()) << put.status();
  }
  ASSERT_TRUE(cluster_->Start(follower).ok());
  WaitHealthy();
  ExpectSameState(*client);
  // It did not come by the log: the member says so itself.
  std::string log = cluster_->LogTails(1 << 20);
  EXPECT_NE(log.find("snapshot"), std::string::npos);
  // And it goes on by the log from there.
  ASSERT_TRUE(client->kv().Put("after", "1").ok());
  ExpectSameState(*client);
}

// Members die at any moment, one after the other and again before they have caught up, while history is compacted and
// the states are compared.
TEST_F(KillTest, ALoopOfKillsUnderLoadKeepsStatesEqual) {
  StartCluster(3, {"--snapshot-catchup-entries=50", "--compact-hash-check-time=100ms", "--compaction-batch-limit=100"});
  const uint64_t seed = Random::EntropySeed();
  SCOPED_TRACE(seed);
  Random random(seed);
  auto client = Connect();
  Writers writers(*client, 4);
  constexpr int kKills = 20;
  for (int kill = 0; kill < kKills; ++kill) {
    SCOPED_TRACE(absl::StrCat("kill ", kill));
    absl::SleepFor(absl::Milliseconds(random.Between(0, 400)));
    const int member = static_cast<int>(random.Below(3));
    cluster_->Kill(member);
    if (random.Chance(0.3)) absl::SleepFor(absl::Milliseconds(random.Between(0, 500)));
    ASSERT_TRUE(cluster_->Start(member).ok());
    ASSERT_TRUE(Healthy(member, absl::Seconds(60))) << cluster_->name(member) << " did not come back";
    if (kill % 4 == 3) {
      const auto now = client->kv().Get("none");
      ASSERT_TRUE(now.ok()) << now.status();
      // It may fail like any write while a leader dies.
      (void)client->kv().Compact(std::max<int64_t>(1, now->header.revision - 200));
    }
  }
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  const size_t before = writers.acknowledged_count();
  while (writers.acknowledged_count() < before + 200 && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(5));
  writers.Stop();
  EXPECT_GE(writers.acknowledged_count(), before + 200) << "writes do not go on";
  ExpectAllPresent(*client, writers.acknowledged());
  ExpectSameState(*client);
  const auto alarms = client->maintenance().Alarms();
  ASSERT_TRUE(alarms.ok());
  EXPECT_TRUE(alarms->alarms.empty()) << "a member's running hash differs";
  std::cout << kKills << " kills, " << writers.acknowledged_count() << " acknowledged writes checked\n";
}

TEST_F(KillTest, MinorityStillReadsSerializablyAndRefusesWrites) {
  StartCluster(3, {"--election-timeout=500"});
  auto client = Connect();
  ASSERT_TRUE(client->kv().Put("k", "v").ok());
  ExpectSameState(*client);
  cluster_->Kill(0);
  cluster_->Kill(1);
  auto stale = client->kv().Get("k", {.serializable = true}, {.endpoint = cluster_->endpoint(2)});
  ASSERT_TRUE(stale.ok()) << stale.status();
  EXPECT_EQ(stale->kvs.at(0).value, "v");
  auto fresh = client->kv().Get("k", {}, {.timeout = absl::Seconds(2), .endpoint = cluster_->endpoint(2)});
  EXPECT_FALSE(fresh.ok());
  auto put = client->kv().Put("k", "w", {}, {.timeout = absl::Seconds(2), .endpoint = cluster_->endpoint(2)});
  EXPECT_FALSE(put.ok());
}

}  // namespace
}  // namespace keel::test
