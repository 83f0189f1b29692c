#include "keel/kv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "base/random.h"
#include "keel/client.h"
#include "tests/client/recipe_test_base.h"
#include "tests/client/test_cluster.h"

namespace keel {
namespace {

using testing::Connect;

TEST(ClientTest, RefusesUnreadableEndpoints) {
  EXPECT_EQ(Client::Create({}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Client::Create({.endpoints = {"ftp://a:1"}}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Client::Create({.endpoints = {"a:1"}, .tls = TlsOptions{.ca_file = "/does/not/exist"}}).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(ClientTest, SaysUnavailableForAWriteThatCouldNotBeSent) {
  const auto client = Connect({"127.0.0.1:1"});
  const auto fast = client->kv().Put("k", "v", {}, {.fail_fast = true});
  EXPECT_EQ(fast.status().code(), absl::StatusCode::kUnavailable) << fast.status();
  const auto slow = client->kv().Put("k", "v", {}, {.timeout = absl::Milliseconds(300)});
  EXPECT_EQ(slow.status().code(), absl::StatusCode::kUnavailable) << slow.status();
}

TEST(ClientTest, DestructionEndsCallsInFlight) {
  auto client = Connect({"127.0.0.1:1"});
  absl::Notification done;
  absl::Status status;
  client->kv().GetAsync("k", {}, {.timeout = absl::Seconds(60), .wait_for_ready = true},
                        [&](absl::StatusOr<RangeResponse> r) {
                          status = r.status();
                          done.Notify();
                        });
  client.reset();
  ASSERT_TRUE(done.HasBeenNotified());
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
}

TEST(KvTest, ReadsWhatItWrote) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  Kv& kv = client->kv();

  const auto put = kv.Put("a/1", "one");
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_NE(put->header.cluster_id, 0u);
  EXPECT_NE(put->header.member_id, 0u);
  EXPECT_GT(put->header.raft_term, 0u);
  EXPECT_FALSE(put->prev_kv.has_value());

  const auto again = kv.Put("a/1", "uno", {.prev_kv = true});
  ASSERT_TRUE(again.ok());
  ASSERT_TRUE(again->prev_kv.has_value());
  EXPECT_EQ(again->prev_kv->value, "one");
  ASSERT_TRUE(kv.Put("a/2", "two").ok());

  const auto range = kv.Get("a/", {.prefix = true, .limit = 1});
  ASSERT_TRUE(range.ok());
  ASSERT_EQ(range->kvs.size(), 1u);
  EXPECT_EQ(range->kvs[0].key, "a/1");
  EXPECT_EQ(range->kvs[0].value, "uno");
  EXPECT_EQ(range->kvs[0].version, 2);
  EXPECT_EQ(range->kvs[0].create_revision, put->header.revision);
  EXPECT_TRUE(range->more);
  EXPECT_EQ(range->count, 2);

  const auto old = kv.Get("a/1", {.revision = put->header.revision});
  ASSERT_TRUE(old.ok());
  EXPECT_EQ(old->kvs.at(0).value, "one");
  const auto sorted = kv.Get(
      "", {.prefix = true, .sort_order = SortOrder::kDescend, .sort_target = SortTarget::kKey, .keys_only = true});
  ASSERT_TRUE(sorted.ok());
  EXPECT_EQ(sorted->kvs.at(0).key, "a/2");
  EXPECT_EQ(sorted->kvs.at(0).value, "");

  const auto gone = kv.Delete("a/", {.prefix = true, .prev_kv = true});
  ASSERT_TRUE(gone.ok());
  EXPECT_EQ(gone->deleted, 2);
  EXPECT_EQ(gone->prev_kvs.size(), 2u);
  EXPECT_EQ(kv.Get("a/1")->count, 0);
}

TEST(KvTest, ErrorsCarryTheServersText) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  EXPECT_EQ(client->kv().Put("", "v").status(), absl::InvalidArgumentError("etcdserver: key is not provided"));
  EXPECT_EQ(client->kv().Put("k", "v", {.lease = 123}).status(),
            absl::NotFoundError("etcdserver: requested lease not found"));
  EXPECT_EQ(client->kv().Get("k", {.revision = 1000}).status(),
            absl::OutOfRangeError("etcdserver: mvcc: required revision is a future revision"));
}

TEST(KvTest, TransactionsChooseABranchAndAnswerEachOperation) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const Txn claim = Txn().If(VersionOf("leader") == 0).Then(Put("leader", "me")).Else(Get("leader"));
  const auto first = client->kv().Commit(claim);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(first->succeeded);
  ASSERT_EQ(first->responses.size(), 1u);
  EXPECT_TRUE(first->responses[0].is_put());

  const auto second = client->kv().Commit(claim);
  ASSERT_TRUE(second.ok());
  EXPECT_FALSE(second->succeeded);
  EXPECT_EQ(second->responses.at(0).range().kvs.at(0).value, "me");

  const auto nested = client->kv().Commit(
      Txn().Then(Txn().If(ValueOf("leader") == "me").Then(Delete("leader", {.prev_kv = true})), Put("other", "x")));
  ASSERT_TRUE(nested.ok()) << nested.status();
  ASSERT_EQ(nested->responses.size(), 2u);
  ASSERT_TRUE(nested->responses[0].is_txn());
  EXPECT_TRUE(nested->responses[0].txn().succeeded);
  EXPECT_EQ(nested->responses[0].txn().responses.at(0).deleted().prev_kvs.at(0).value, "me");
}

TEST(KvTest, CompactionTakesHistoryAway) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const int64_t first = client->kv().Put("k", "1")->header.revision;
  const int64_t last = client->kv().Put("k", "2")->header.revision;
  ASSERT_TRUE(client->kv().Compact(last, {.physical = true}).ok());
  EXPECT_EQ(client->kv().Get("k", {.revision = first}).status(),
            absl::OutOfRangeError("etcdserver: mvcc: required revision has been compacted"));
}

TEST(KvTest, ThousandsOfCallsShareAConnection) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  constexpr int kCalls = 2000;
  absl::BlockingCounter left(kCalls);
  std::atomic<int> failed = 0;
  for (int i = 0; i < kCalls; ++i) {
    client->kv().PutAsync("k" + std::to_string(i), "v", {}, {.timeout = absl::Seconds(30)},
                          [&](absl::StatusOr<PutResponse> r) {
                            if (!r.ok()) ++failed;
                            left.DecrementCount();
                          });
  }
  left.Wait();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(client->kv().Get("k", {.prefix = true, .count_only = true})->count, kCalls);
}

TEST(KvTest, CallsGoOnWhenTheirMemberDies) {
  KEEL_START_CLUSTER(cluster, 3);
  // Always begins at the dead one, whatever order the picker chose.
  const auto client = Connect(cluster->endpoints());
  ASSERT_TRUE(client->kv().Put("k", "1").ok());
  for (int victim = 0; victim < 3; ++victim) {
    cluster->Kill(victim);
    const auto read = client->kv().Get("k", {}, {.timeout = absl::Seconds(20)});
    EXPECT_TRUE(read.ok()) << read.status();
    // The connection is known to be dead now, so a write is moved before it is sent; while a new leader is elected its
    // member keeps it waiting.
    const auto write = client->kv().Put("k", "2", {}, {.timeout = absl::Seconds(20)});
    EXPECT_TRUE(write.ok()) << write.status();
    ASSERT_TRUE(cluster->Restart(victim).ok());
  }
}

TEST(KvTest, AReadLeavesAMemberThatHangs) {
  KEEL_START_CLUSTER(cluster, 3);
  const auto client = Connect(cluster->endpoints());
  const auto before = client->kv().Get("k");
  ASSERT_TRUE(before.ok());
  // Pause the member that answers us.
  for (int i = 0; i < 3; ++i) {
    const auto status = client->maintenance().Status(cluster->endpoint(i));
    ASSERT_TRUE(status.ok());
    if (status->header.member_id == before->header.member_id) cluster->Pause(i);
  }
  const auto after = client->kv().Get("k", {}, {.timeout = absl::Seconds(8)});
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_NE(after->header.member_id, before->header.member_id);
}

TEST(KvTest, AWriteWhoseAnswerIsLostIsReportedAsUnknown) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  ASSERT_TRUE(client->kv().Put("k", "1").ok());
  cluster->Pause(0);
  const auto late = client->kv().Put("k", "2", {}, {.timeout = absl::Milliseconds(300)});
  EXPECT_EQ(late.status().code(), absl::StatusCode::kDeadlineExceeded) << late.status();

  absl::Notification done;
  absl::Status status;
  client->kv().PutAsync("k", "3", {}, {.timeout = absl::Seconds(30)}, [&](absl::StatusOr<PutResponse> r) {
    status = r.status();
    done.Notify();
  });
  cluster->Kill(0);
  done.WaitForNotification();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnknown) << status;
}

TEST(MaintenanceTest, TellsTheStateOfEachMember) {
  KEEL_START_CLUSTER(cluster, 3);
  const auto client = Connect(cluster->endpoints());
  int leaders = 0;
  for (const std::string& endpoint : client->endpoints()) {
    const auto status = client->maintenance().Status(endpoint);
    ASSERT_TRUE(status.ok()) << status.status();
    EXPECT_FALSE(status->version.empty());
    EXPECT_NE(status->leader, 0u);
    leaders += status->is_leader() ? 1 : 0;
    const auto hash = client->maintenance().HashKv(endpoint);
    EXPECT_TRUE(hash.ok()) << hash.status();
  }
  EXPECT_EQ(leaders, 1);
  const auto members = client->cluster().List();
  ASSERT_TRUE(members.ok());
  EXPECT_EQ(members->members.size(), 3u);
  EXPECT_TRUE(client->maintenance().Alarms()->alarms.empty());
  // A member is listed with its client URLs once it has published them, a moment after it answers.
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  do {
    ASSERT_TRUE(client->Sync().ok());
  } while (client->endpoints().size() < 3 && absl::Now() < deadline);
  EXPECT_EQ(client->endpoints().size(), 3u);
  EXPECT_TRUE(client->kv().Get("k").ok());
}

TEST(MaintenanceTest, ACallToADeadEndpointFailsAtOnceAndRecoversAtOnce) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  cluster->Kill(0);
  EXPECT_EQ(client->maintenance().Status(cluster->endpoint(0)).status().code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(cluster->Restart(0).ok());
  EXPECT_TRUE(client->maintenance().Status(cluster->endpoint(0)).ok());
}

TEST(MaintenanceTest, SnapshotStreamsToItsEnd) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  std::string value;  // Of bytes that a server cannot compress.
  for (Random random(1); value.size() < 100000;) value.push_back(static_cast<char>(random.Below(256)));
  ASSERT_TRUE(client->kv().Put("k", value).ok());
  size_t bytes = 0;
  uint64_t remaining = 1;
  const absl::Status status = client->maintenance().Snapshot("", [&](const SnapshotChunk& chunk) {
    bytes += chunk.blob.size();
    remaining = chunk.remaining_bytes;
    return absl::OkStatus();
  });
  if (absl::IsUnimplemented(status)) GTEST_SKIP() << "this server streams no snapshots: " << status;
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(remaining, 0u);
  EXPECT_GT(bytes, 100000u);
  EXPECT_EQ(client->maintenance().Snapshot("", [](const SnapshotChunk&) { return absl::AbortedError("full"); }),
            absl::AbortedError("full"));
}

TEST(MaintenanceTest, AnAsynchronousSnapshotGoesAtThePaceOfItsSink) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  std::string value;
  for (Random random(1); value.size() < 500000;) value.push_back(static_cast<char>(random.Below(256)));
  ASSERT_TRUE(client->kv().Put("k", value).ok());
  uint64_t bytes = 0, remaining = 1;
  int chunks = 0;
  bool is_out = false;  // A chunk, with a thread that takes its time.
  std::vector<std::thread> takers;
  absl::Mutex mu;
  absl::Notification done;
  absl::Status end;
  client->maintenance().SnapshotAsync(
      cluster->endpoint(0),
      [&](const SnapshotChunk& chunk, Taken taken) {
        absl::MutexLock lock(&mu);
        EXPECT_FALSE(is_out) << "a chunk came before the last was taken";
        is_out = true;
        bytes += chunk.blob.size();
        remaining = chunk.remaining_bytes;
        ++chunks;
        takers.emplace_back([&mu, &is_out, taken = std::move(taken)] {
          absl::SleepFor(absl::Milliseconds(20));
          {
            absl::MutexLock taking(&mu);
            is_out = false;
          }
          taken(absl::OkStatus());
        });
      },
      {},
      [&](absl::Status status) {
        end = std::move(status);
        done.Notify();
      });
  done.WaitForNotification();
  {
    absl::MutexLock lock(&mu);
    for (std::thread& taker : takers) taker.join();
  }
  if (absl::IsUnimplemented(end)) GTEST_SKIP() << "this server streams no snapshots: " << end;
  ASSERT_TRUE(end.ok()) << end;
  EXPECT_EQ(remaining, 0u);
  EXPECT_GT(bytes, value.size());
  EXPECT_GT(chunks, 1);

  // Nobody waits for who never takes a chunk.
  absl::Notification has_chunk, cancelled;
  std::stop_source stop;
  client->maintenance().SnapshotAsync(
      "", [&](const SnapshotChunk&, const Taken&) { has_chunk.Notify(); }, {.cancel = stop.get_token()},
      [&](const absl::Status& status) {
        EXPECT_EQ(status, absl::CancelledError("cancelled by the caller"));
        cancelled.Notify();
      });
  has_chunk.WaitForNotification();
  stop.request_stop();
  cancelled.WaitForNotification();
}

TEST(LeaseTest, KeysGoWithTheirLease) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  const auto lease = client->leases().Grant(absl::Milliseconds(59500));
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_EQ(lease->ttl_seconds, 60);
  ASSERT_TRUE(client->kv().Put("k", "v", {.lease = lease->id}).ok());
  const auto left = client->leases().TimeToLive(lease->id, {.keys = true});
  ASSERT_TRUE(left.ok());
  EXPECT_THAT(left->keys, ::testing::ElementsAre("k"));
  EXPECT_THAT(client->leases().List()->leases, ::testing::ElementsAre(lease->id));
  EXPECT_EQ(client->leases().KeepAliveOnce(lease->id)->ttl_seconds, 60);
  ASSERT_TRUE(client->leases().Revoke(lease->id).ok());
  EXPECT_EQ(client->kv().Get("k")->count, 0);
  EXPECT_EQ(client->leases().KeepAliveOnce(lease->id)->ttl_seconds, 0);
  EXPECT_EQ(client->leases().TimeToLive(lease->id)->ttl_seconds, -1);
  EXPECT_EQ(client->leases().Revoke(lease->id).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace keel
