// ClientOptions::key_prefix: what it does to messages, and that nothing gets out of it.

#include "client/src/key_prefix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "keel/client.h"
#include "keel/election.h"
#include "keel/mutex.h"
#include "keel/session.h"
#include "tests/client/test_cluster.h"

namespace keel {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

TEST(KeyPrefixTest, AddsItselfToKeysAndEnds) {
  struct Case {
    const char* name;
    std::string key, end;
    std::string wire_key, wire_end;
  };
  const std::string zero(1, '\0');
  const Case kCases[] = {
      {"one key", "k", "", "ns/k", ""},
      {"an interval", "a", "c", "ns/a", "ns/c"},
      {"from a key on", "a", zero, "ns/a", "ns0"},
      {"everything", zero, zero, "ns/" + zero, "ns0"},
      {"an end that begins with zero", "a", zero + "b", "ns/a", "ns/" + zero + "b"},
  };
  const client::KeyPrefix prefix("ns/");
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    etcdserverpb::RangeRequest request;
    request.set_key(c.key);
    request.set_range_end(c.end);
    ASSERT_TRUE(prefix.Enter(&request).ok());
    EXPECT_EQ(request.key(), c.wire_key);
    EXPECT_EQ(request.range_end(), c.wire_end);
  }
  // A prefix without an end of its own.
  etcdserverpb::RangeRequest request;
  request.set_key("a");
  request.set_range_end(zero);
  ASSERT_TRUE(client::KeyPrefix("\xff").Enter(&request).ok());
  EXPECT_EQ(request.range_end(), zero);
}

TEST(KeyPrefixTest, AnEmptyKeyIsRefusedHereBecauseTheServerCouldNotTell) {
  const client::KeyPrefix prefix("ns/");
  etcdserverpb::PutRequest put;
  EXPECT_EQ(prefix.Enter(&put), absl::InvalidArgumentError("etcdserver: key is not provided"));
  etcdserverpb::TxnRequest txn;
  txn.add_success()->mutable_request_txn()->add_failure()->mutable_request_put();
  EXPECT_EQ(prefix.Enter(&txn), absl::InvalidArgumentError("etcdserver: key is not provided"));
}

class NamespaceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto cluster = testing::TestCluster::Start(1);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = *std::move(cluster);
    whole_ = Connect("");
    inner_ = Connect("app/");
  }

  std::unique_ptr<Client> Connect(const std::string& prefix) {
    auto client = Client::Create({.endpoints = cluster_->endpoints(), .key_prefix = prefix});
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }
  static std::vector<std::string> Keys(const absl::StatusOr<RangeResponse>& range) {
    std::vector<std::string> keys;
    EXPECT_TRUE(range.ok()) << range.status();
    for (const KeyValue& kv : range->kvs) keys.push_back(kv.key);
    return keys;
  }
  std::vector<std::string> AllKeys() { return Keys(whole_->kv().Get("", {.prefix = true})); }

  std::unique_ptr<testing::TestCluster> cluster_;
  std::unique_ptr<Client> whole_;
  std::unique_ptr<Client> inner_;
};

TEST_F(NamespaceTest, ReadsWritesAndDeletesStayWithin) {
  ASSERT_TRUE(whole_->kv().Put("aaa", "outside").ok());
  ASSERT_TRUE(whole_->kv().Put("zzz", "outside").ok());
  for (const char* key : {"a", "b", "c"}) ASSERT_TRUE(inner_->kv().Put(key, "1").ok());
  EXPECT_THAT(AllKeys(), ElementsAre("aaa", "app/a", "app/b", "app/c", "zzz"));
  EXPECT_THAT(Keys(inner_->kv().Get("b")), ElementsAre("b"));
  EXPECT_THAT(Keys(inner_->kv().Get("", {.prefix = true})), ElementsAre("a", "b", "c"));
  EXPECT_THAT(Keys(inner_->kv().Get("b", {.from_key = true})), ElementsAre("b", "c"));
  EXPECT_THAT(Keys(inner_->kv().Get("a", {.range_end = "c"})), ElementsAre("a", "b"));
  std::vector<std::string> streamed;
  ASSERT_TRUE(inner_->kv()
                  .GetStream("", {.prefix = true},
                             [&](const std::vector<KeyValue>& kvs) {
                               for (const KeyValue& kv : kvs) streamed.push_back(kv.key);
                               return absl::OkStatus();
                             })
                  .ok());
  EXPECT_THAT(streamed, ElementsAre("a", "b", "c"));
  EXPECT_EQ(inner_->kv().Put("a", "2", {.prev_kv = true})->prev_kv->key, "a");
  const auto deleted = inner_->kv().Delete("", {.prefix = true, .prev_kv = true});
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_EQ(deleted->deleted, 3);
  EXPECT_EQ(deleted->prev_kvs[0].key, "a");
  EXPECT_THAT(AllKeys(), ElementsAre("aaa", "zzz"));
}

TEST_F(NamespaceTest, TransactionsStayWithinDownToTheInnermost) {
  ASSERT_TRUE(inner_->kv().Put("k", "1").ok());
  const auto ok = inner_->kv().Commit(
      Txn()
          .If(ValueOf("k") == "1")
          .Then(Put("a", "x"), Txn().If(VersionOf("k") == 1).Then(Put("nested", "y"), Get("", {.prefix = true}))));
  ASSERT_TRUE(ok.ok()) << ok.status();
  ASSERT_TRUE(ok->succeeded);
  const TxnResponse& nested = ok->responses[1].txn();
  ASSERT_TRUE(nested.succeeded);
  EXPECT_THAT(Keys(absl::StatusOr<RangeResponse>(nested.responses[1].range())), ElementsAre("a", "k", "nested"));
  EXPECT_THAT(AllKeys(), ElementsAre("app/a", "app/k", "app/nested"));
}

TEST_F(NamespaceTest, WatchesSeeWhatIsWithin) {
  const int64_t start = whole_->kv().Put("first", "1")->header.revision;
  const auto watcher = inner_->Watch("", {.prefix = true, .start_revision = start, .prev_kv = true});
  ASSERT_TRUE(whole_->kv().Put("outside", "1").ok());
  ASSERT_TRUE(whole_->kv().Put("app/k", "1").ok());
  ASSERT_TRUE(whole_->kv().Delete("app/k").ok());
  std::vector<Event> events;
  while (events.size() < 2) {
    const auto next = watcher->Next(absl::Now() + absl::Minutes(1));
    ASSERT_TRUE(next.ok()) << next.status();
    events.insert(events.end(), next->events.begin(), next->events.end());
  }
  EXPECT_EQ(events[0].kv.key, "k");
  EXPECT_EQ(events[1].type, Event::Type::kDelete);
  EXPECT_EQ(events[1].kv.key, "k");
  EXPECT_EQ(events[1].prev_kv->key, "k");
}

TEST_F(NamespaceTest, LocksElectionsAndLeasesLiveWithin) {
  auto session = Session::Open(*inner_);
  ASSERT_TRUE(session.ok()) << session.status();
  Mutex mutex(*inner_, **session, "lock");
  ASSERT_TRUE(mutex.Lock(absl::Now() + absl::Minutes(1)).ok());
  // With its helper key.
  EXPECT_THAT(AllKeys(), UnorderedElementsAre("app/" + mutex.key(), StartsWith("app/__lock/")));
  const auto guarded = inner_->kv().Commit(mutex.Guard(Txn().Then(Put("k", "v"))));
  ASSERT_TRUE(guarded.ok()) << guarded.status();
  EXPECT_TRUE(guarded->succeeded);
  ASSERT_TRUE(whole_->kv().Put("outside", "v", {.lease = (*session)->lease()}).ok());
  const auto lease = inner_->leases().TimeToLive((*session)->lease(), {.keys = true});
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_THAT(lease->keys, UnorderedElementsAre(mutex.key(), StartsWith("__lock/")));
  Election election(*inner_, **session, "leader");
  ASSERT_TRUE(election.Campaign("me", absl::Now() + absl::Minutes(1)).ok());
  EXPECT_EQ(election.Observe()->Next(absl::Now() + absl::Minutes(1))->kv.key, election.key());
}

}  // namespace
}  // namespace keel
