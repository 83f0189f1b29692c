// Full members and members that differ, as operators see them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "keel/client.h"
#include "storage/state/apply_batch.h"
#include "storage/state/state_store.h"
#include "tests/end_to_end/fixture.h"

namespace keel::test {
namespace {

using ::testing::HasSubstr;

constexpr char kNoSpace[] = "etcdserver: mvcc: database space exceeded";

class AlarmTest : public ClusterTest {
 protected:
  std::unique_ptr<Client> Connect() {
    std::vector<std::string> endpoints;
    for (int i = 0; i < cluster_->size(); ++i) endpoints.push_back(cluster_->endpoint(i));
    auto client = Client::Create({.endpoints = endpoints, .timeout = absl::Seconds(30)});
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }
  // Waits for what other processes do.
  bool Eventually(const std::function<bool()>& condition) {
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    while (!condition()) {
      if (absl::Now() > deadline) return false;
      absl::SleepFor(absl::Milliseconds(50));
    }
    return true;
  }
  // The value of an unlabelled metric; -1: not there.
  double Metric(int member, const std::string& name) {
    const std::string text = "\n" + HttpGet(member, "/metrics").second;
    const size_t at = text.find("\n" + name + " ");
    double value = -1;
    if (at != std::string::npos) {
      const size_t from = at + name.size() + 2;
      (void)absl::SimpleAtod(text.substr(from, text.find('\n', from) - from), &value);
    }
    return value;
  }
};

TEST_F(AlarmTest, NoSpaceStopsPutsOnlyAndGoesByItselfWhenThereIsRoom) {
  StartCluster(3, {"--quota-backend-bytes=1000000"});
  auto client = Connect();
  const std::string value(20000, 'v');
  absl::Status status;
  int written = 0;
  for (; status.ok() && written < 100; ++written) status = client->kv().Put(absl::StrCat("k", written), value).status();
  EXPECT_EQ(status.message(), kNoSpace);
  EXPECT_GT(written, 40);
  ASSERT_TRUE(Eventually([&] { return client->maintenance().Alarms()->alarms.size() > 0; }));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(HttpGet(i, "/health").first, 503);

  EXPECT_EQ(client->leases().Grant(absl::Seconds(60)).status().message(), kNoSpace);
  EXPECT_EQ(client->kv().Put("small", "v").status().message(), kNoSpace);
  EXPECT_THAT(Etcdctl({"lock", "l", "--", "true"}).err, HasSubstr("database space exceeded"));
  EXPECT_EQ(client->kv().Get("k1")->kvs.size(), 1u);
  EXPECT_TRUE(client->kv().Commit(Txn().Then(Get("k1"), Delete("k2"))).ok());
  const auto deleted = client->kv().Delete("k", {.prefix = true});
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_GT(deleted->deleted, 40);
  ASSERT_TRUE(client->kv().Compact(deleted->header.revision, {.physical = true}).ok());

  EXPECT_TRUE(Eventually([&] {
    const auto alarms = client->maintenance().Alarms();
    return alarms.ok() && alarms->alarms.empty();
  })) << "nobody disarmed the alarm";
  const auto put = client->kv().Put("again", "v");
  EXPECT_TRUE(put.ok()) << put.status();
  WaitHealthy();
}

TEST_F(AlarmTest, AnAlarmRaisedByHandStaysUntilAHandTakesItBack) {
  StartCluster(1);
  auto client = Connect();
  ASSERT_TRUE(client->maintenance().ActivateAlarm({.member_id = 123, .type = AlarmType::kNoSpace}).ok());
  const auto self = client->maintenance().Status(cluster_->endpoint(0));
  ASSERT_TRUE(self.ok());
  ASSERT_TRUE(
      client->maintenance().ActivateAlarm({.member_id = self->header.member_id, .type = AlarmType::kNoSpace}).ok());
  // As many polls of the housekeeping as it would need.
  absl::SleepFor(absl::Seconds(1));
  EXPECT_EQ(client->maintenance().Alarms()->alarms.size(), 2u);
  EXPECT_EQ(client->kv().Put("a", "v").status().message(), kNoSpace);
  EXPECT_EQ(EtcdctlOk({"alarm", "disarm"}).find("NOSPACE") != std::string::npos, true);
  EXPECT_TRUE(client->kv().Put("a", "v").ok());
}

TEST_F(AlarmTest, AMemberThatAppliedSomethingElseIsFoundOut) {
  StartCluster(3, {"--compact-hash-check-time=200ms", "--corrupt-check-time=1s"});
  auto client = Connect();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(client->kv().Put(absl::StrCat("k", i), "v").ok());
  const int leader = Leader();
  ASSERT_TRUE(Eventually([&] { return Metric(leader, "keel_state_hash_comparisons_total") >= 8; }));
  EXPECT_EQ(Metric(leader, "keel_state_hash_mismatches_total"), 0);

  const int victim = (leader + 1) % 3;
  cluster_->Signal(victim, SIGTERM);
  ASSERT_TRUE(cluster_->process(victim).Wait(absl::Seconds(30)).has_value());
  {
    // Where the others are about to write "real", this one has something else.
    auto store = storage::StateStore::Open({.dir = cluster_->data_dir(victim) + "/state"});
    ASSERT_TRUE(store.ok()) << store.status();
    etcdserverpb::PutRequest put;
    put.set_key("k1");
    put.set_value("different");
    {
      storage::ApplyBatch batch = (*store)->BeginBatch();
      const storage::AppliedPosition last = (*store)->applied();
      batch.BeginEntry({.index = last.index + 1, .term = last.term});
      ASSERT_TRUE(batch.Put(put, nullptr).ok());
      batch.EndEntry();
      ASSERT_TRUE(batch.Commit().ok());
    }
    ASSERT_TRUE((*store)->Close().ok());
  }
  ASSERT_TRUE(client->kv().Put("k1", "real").ok());
  ASSERT_TRUE(cluster_->Start(victim).ok());

  std::vector<Alarm> alarms;
  ASSERT_TRUE(Eventually([&] {
    const auto response = client->maintenance().Alarms();
    if (response.ok()) alarms = response->alarms;
    return !alarms.empty();
  }));
  ASSERT_EQ(alarms.size(), 1u);
  EXPECT_EQ(alarms[0].type, AlarmType::kCorrupt);
  const auto status = client->maintenance().Status(cluster_->endpoint(victim));
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(alarms[0].member_id, status->header.member_id);
  EXPECT_TRUE(Eventually([&] {
    return absl::StrContains(cluster_->LogTails(1 << 20), "the state of this member differs from the other members'");
  }));
  constexpr char kCorrupt[] = "etcdserver: corrupt cluster";
  EXPECT_EQ(client->kv().Put("a", "v").status().message(), kCorrupt);
  EXPECT_EQ(client->kv().Delete("a").status().message(), kCorrupt);
  EXPECT_EQ(client->kv().Compact(5).status().message(), kCorrupt);
  EXPECT_EQ(client->leases().Grant(absl::Seconds(60)).status().message(), kCorrupt);
  EXPECT_EQ(client->kv().Get("k2")->kvs.size(), 1u);
  EXPECT_GT(Metric(Leader(), "keel_state_hash_mismatches_total"), 0);
}

}  // namespace
}  // namespace keel::test
