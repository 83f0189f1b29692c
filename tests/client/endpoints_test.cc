// How a client finds its way among several members by itself.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "keel/client.h"
#include "tests/client/test_cluster.h"

namespace keel {
namespace {

using testing::Eventually;

std::unique_ptr<Client> Connect(const ClientOptions& options) {
  auto client = Client::Create(options);
  EXPECT_TRUE(client.ok()) << client.status();
  return *std::move(client);
}

TEST(LeaderBalanceTest, FollowsTheLeaderFromMemberToMember) {
  KEEL_START_CLUSTER(cluster, 3);
  const auto client = Connect(
      {.endpoints = cluster->endpoints(), .balance = Balance::kLeader, .leader_refresh = absl::Milliseconds(100)});
  const auto leader = [&] { return client->maintenance().Status(cluster->endpoint(0))->leader; };
  const auto answers = [&] {
    const auto read = client->kv().Get("k", {.serializable = true});
    return read.ok() ? read->header.member_id : 0;
  };
  EXPECT_TRUE(Eventually([&] { return answers() == leader(); }));

  // Hand over to somebody else.
  const uint64_t before = leader();
  std::string from;
  uint64_t to = 0;
  for (const std::string& endpoint : cluster->endpoints()) {
    const auto status = client->maintenance().Status(endpoint);
    ASSERT_TRUE(status.ok()) << status.status();
    if (status->is_leader()) {
      from = endpoint;
    } else {
      to = status->header.member_id;
    }
  }
  ASSERT_NE(before, to);
  const auto moved = client->maintenance().MoveLeader(from, to);
  ASSERT_TRUE(moved.ok()) << moved.status();
  EXPECT_TRUE(Eventually([&] { return answers() == to; }));
}

TEST(SyncTest, APeriodicSyncFindsTheOtherMembers) {
  KEEL_START_CLUSTER(cluster, 3);
  const auto client = Connect({.endpoints = {cluster->endpoint(0)}, .sync_interval = absl::Milliseconds(100)});
  EXPECT_TRUE(Eventually([&] { return client->endpoints().size() == 3; }));
  cluster->Kill(0);
  const auto put = client->kv().Put("k", "v", {}, {.timeout = absl::Minutes(1), .repeat = Repeat::kAlways});
  EXPECT_TRUE(put.ok()) << put.status();
}

TEST(SyncTest, AskingTooOftenIsRefused) {
  EXPECT_EQ(Client::Create({.endpoints = {"a:1"}, .sync_interval = absl::ZeroDuration()}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(AsyncTest, EveryUnaryCallHasAnAsynchronousForm) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect({.endpoints = cluster->endpoints()});
  const std::string& endpoint = cluster->endpoint(0);
  const auto ok = [](auto start) {
    absl::Notification done;
    absl::Status status;
    start([&](const auto& response) {
      status = response.status();
      done.Notify();
    });
    done.WaitForNotification();
    return status;
  };
  const CallOptions call;
  Leases& leases = client->leases();
  LeaseId lease = 0;
  EXPECT_EQ(ok([&](auto done) {
              leases.GrantAsync(absl::Seconds(60), {}, call, [&, done](const absl::StatusOr<LeaseGrantResponse>& r) {
                if (r.ok()) lease = r->id;
                done(r);
              });
            }),
            absl::OkStatus());
  EXPECT_EQ(ok([&](auto done) { leases.TimeToLiveAsync(lease, {}, call, done); }), absl::OkStatus());
  EXPECT_EQ(ok([&](auto done) { leases.KeepAliveOnceAsync(lease, call, done); }), absl::OkStatus());
  EXPECT_EQ(ok([&](auto done) { leases.ListAsync(call, done); }), absl::OkStatus());
  EXPECT_EQ(ok([&](auto done) { leases.RevokeAsync(lease, call, done); }), absl::OkStatus());

  Maintenance& maintenance = client->maintenance();
  EXPECT_EQ(ok([&](auto done) { maintenance.StatusAsync(endpoint, call, done); }), absl::OkStatus());
  EXPECT_EQ(ok([&](auto done) { maintenance.HashKvAsync(endpoint, 0, call, done); }), absl::OkStatus());
  EXPECT_EQ(ok([&](auto done) { maintenance.HashAsync(endpoint, call, done); }), absl::OkStatus());
  EXPECT_EQ(ok([&](auto done) { maintenance.DefragmentAsync(endpoint, call, done); }), absl::OkStatus());
  EXPECT_EQ(ok([&](auto done) { maintenance.AlarmsAsync(call, done); }), absl::OkStatus());
  EXPECT_EQ(ok([&](auto done) { maintenance.DisarmAlarmAsync({.type = AlarmType::kCorrupt}, call, done); }),
            absl::OkStatus());

  Cluster& members = client->cluster();
  uint64_t id = 0;
  EXPECT_EQ(ok([&](auto done) {
              members.ListAsync({}, call, [&, done](const absl::StatusOr<MembersResponse>& r) {
                if (r.ok()) id = r->members[0].id;
                done(r);
              });
            }),
            absl::OkStatus());
  EXPECT_EQ(ok([&](auto done) { members.UpdateAsync(id, {"http://127.0.0.1:1"}, call, done); }), absl::OkStatus());
  EXPECT_EQ(ok([&](auto done) { members.PromoteAsync(id, call, done); }).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ok([&](auto done) { members.RemoveAsync(12345, call, done); }).code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace keel
