// Wrong endpoints, and members that are away: what a call says, and when.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stop_token>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "keel/client.h"
#include "tests/client/test_cluster.h"

namespace keel {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Far beyond what an answer "at once" takes on a busy machine, far below kLong.
constexpr absl::Duration kAtOnce = absl::Seconds(30);
constexpr absl::Duration kLong = absl::Minutes(2);

std::unique_ptr<Client> Connect(const ClientOptions& options) {
  auto client = Client::Create(options);
  EXPECT_TRUE(client.ok()) << client.status();
  return *std::move(client);
}

TEST(UnreachableTest, ARefusedConnectionIsAnErrorAtOnceThatNamesEndpointAndCause) {
  const auto client = Connect({.endpoints = {"127.0.0.1:1"}, .timeout = kLong});
  const absl::Time start = absl::Now();
  const std::string text = "endpoint 127.0.0.1:1: connection refused";
  const absl::Status put = client->kv().Put("k", "v").status();
  EXPECT_EQ(put, absl::UnavailableError(text));
  EXPECT_EQ(client->kv().Get("k").status(), absl::UnavailableError(text));
  const RangeSink sink = [](const std::vector<KeyValue>&) { return absl::OkStatus(); };
  EXPECT_EQ(client->kv().GetStream("k", {}, sink).status(), absl::UnavailableError(text));
  EXPECT_EQ(client->leases().Grant(absl::Seconds(10)).status(), absl::UnavailableError(text));
  EXPECT_EQ(client->leases().KeepAliveOnce(7).status(), absl::UnavailableError(text));
  EXPECT_EQ(client->cluster().List().status(), absl::UnavailableError(text));
  EXPECT_EQ(client->maintenance().Status("127.0.0.1:1").status(), absl::UnavailableError(text));
  EXPECT_EQ(client->maintenance().Snapshot("127.0.0.1:1", [](const SnapshotChunk&) { return absl::OkStatus(); }),
            absl::UnavailableError(text));
  EXPECT_EQ(client->Watch("k")->Next(absl::Now() + kLong).status(), absl::UnavailableError(text));
  EXPECT_LT(absl::Now() - start, kAtOnce);
}

TEST(UnreachableTest, EveryEndpointIsNamedWithItsCause) {
  const std::string long_name = std::string(70, 'x') + ".invalid:1";  // No label is that long: refused without DNS.
  const auto client =
      Connect({.endpoints = {"127.0.0.1:1", "unix:///does/not/exist.sock", long_name}, .timeout = kLong});
  const absl::Time start = absl::Now();
  const absl::Status put = client->kv().Put("k", "v").status();
  EXPECT_EQ(put.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(put.message()),
              AllOf(HasSubstr("no endpoint can be reached"), HasSubstr("endpoint 127.0.0.1:1: connection refused"),
                    HasSubstr("endpoint unix:///does/not/exist.sock: no such socket file"),
                    HasSubstr(absl::StrCat("endpoint ", long_name, ": its host name cannot be resolved"))));
  EXPECT_LT(absl::Now() - start, kAtOnce);
}

TEST(UnreachableTest, OneGoodEndpointIsEnough) {
  KEEL_START_CLUSTER(cluster, 1);
  for (int i = 0; i < 5; ++i) {  // Each begins with another endpoint.
    const auto client = Connect({.endpoints = {"127.0.0.1:1", cluster->endpoint(0), "127.0.0.1:2"}});
    const auto put = client->kv().Put("k", "v", {}, {.fail_fast = true});
    EXPECT_TRUE(put.ok()) << put.status();
  }
}

TEST(UnreachableTest, TlsToAServerWithoutItSaysSo) {
  KEEL_START_CLUSTER(cluster, 1);
  const std::string endpoint = absl::StrCat("https://", cluster->endpoint(0));
  const auto client = Connect({.endpoints = {endpoint}, .timeout = kLong});
  const absl::Time start = absl::Now();
  const absl::Status put = client->kv().Put("k", "v").status();
  EXPECT_EQ(put.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(put.message()), HasSubstr(absl::StrCat("endpoint ", endpoint, ": ")));
  EXPECT_LT(absl::Now() - start, kAtOnce);
}

TEST(UnreachableTest, ACallSurvivesTheRestartOfTheOnlyMemberOnceTheClientWasConnected) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect({.endpoints = cluster->endpoints(), .timeout = kLong, .reconnect_patience = kLong});
  ASSERT_TRUE(client->kv().Put("k", "1").ok());
  cluster->Kill(0);
  absl::Notification done;
  absl::Status put;
  client->kv().PutAsync("k", "2", {}, {.repeat = Repeat::kAlways}, [&](const absl::StatusOr<PutResponse>& r) {
    put = r.status();
    done.Notify();
  });
  ASSERT_TRUE(cluster->Restart(0).ok());
  done.WaitForNotification();
  EXPECT_TRUE(put.ok()) << put;
}

TEST(UnreachableTest, ItsPatienceHasAnEnd) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client =
      Connect({.endpoints = cluster->endpoints(), .timeout = kLong, .reconnect_patience = absl::Milliseconds(200)});
  ASSERT_TRUE(client->kv().Put("k", "1").ok());
  cluster->Kill(0);
  const absl::Time start = absl::Now();
  // The first call may be sent on the connection that is just breaking; its outcome is then unknown.
  absl::Status put = client->kv().Put("k", "2").status();
  if (put.code() == absl::StatusCode::kUnknown) put = client->kv().Put("k", "2").status();
  EXPECT_EQ(put, absl::UnavailableError(absl::StrCat("endpoint ", cluster->endpoint(0), ": connection refused")));
  EXPECT_LT(absl::Now() - start, kAtOnce);
}

TEST(CancelTest, AStopRequestEndsACallThatWaitsForAConnection) {
  const auto client = Connect({.endpoints = {"127.0.0.1:1"}});
  std::stop_source stop;
  std::jthread canceller([&] { stop.request_stop(); });
  const auto put =
      client->kv().Put("k", "v", {}, {.timeout = kLong, .wait_for_ready = true, .cancel = stop.get_token()});
  EXPECT_EQ(put.status(), absl::CancelledError("cancelled by the caller; it was not executed"));
  // One that is begun afterwards does not even try.
  const auto get = client->kv().Get("k", {}, {.timeout = kLong, .wait_for_ready = true, .cancel = stop.get_token()});
  EXPECT_EQ(get.status(), absl::CancelledError("cancelled by the caller"));
}

TEST(CancelTest, ACancelledWriteThatWasSentSaysThatItMayHaveBeenExecuted) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect({.endpoints = cluster->endpoints()});
  ASSERT_TRUE(client->kv().Put("k", "1").ok());
  cluster->Pause(0);
  std::stop_source stop;
  absl::Notification done;
  absl::Status put;
  client->kv().PutAsync("k", "2", {}, {.timeout = kLong, .cancel = stop.get_token()},
                        [&](const absl::StatusOr<PutResponse>& r) {
                          put = r.status();
                          done.Notify();
                        });
  stop.request_stop();
  done.WaitForNotification();
  cluster->Resume(0);
  EXPECT_EQ(put, absl::CancelledError("cancelled by the caller after it was sent; it may have been executed"));
}

TEST(CancelTest, AStopRequestEndsAStreamedRange) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect({.endpoints = cluster->endpoints()});
  ASSERT_TRUE(client->kv().Put("k", "1").ok());
  std::stop_source stop;
  const RangeSink sink = [&](const std::vector<KeyValue>&) { return absl::OkStatus(); };
  cluster->Pause(0);
  std::jthread canceller([&] { stop.request_stop(); });
  const auto read = client->kv().GetStream("k", {}, sink, {.cancel = stop.get_token()});
  cluster->Resume(0);
  EXPECT_EQ(read.status(), absl::CancelledError("cancelled by the caller"));
}

TEST(InFlightTest, OneCallTooManyIsRefusedAndThereIsRoomWhenOneEnds) {
  const auto client = Connect({.endpoints = {"127.0.0.1:1"}, .in_flight_max = 2});
  std::stop_source stop;
  absl::Notification done[2];
  for (absl::Notification& n : done) {
    client->kv().PutAsync("k", "v", {}, {.timeout = kLong, .wait_for_ready = true, .cancel = stop.get_token()},
                          [&n](const absl::StatusOr<PutResponse>&) { n.Notify(); });
  }
  EXPECT_EQ(client->in_flight(), 2);
  const absl::Status third = client->kv().Get("k").status();
  EXPECT_EQ(third.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(third.message()), HasSubstr("2 calls are under way"));
  stop.request_stop();
  for (absl::Notification& n : done) n.WaitForNotification();
  EXPECT_EQ(client->kv().Get("k").status().code(), absl::StatusCode::kUnavailable);
}

TEST(ClientTest, AUserIsRefusedAsLongAsNobodyCanLogIn) {
  const absl::Status status = Client::Create({.endpoints = {"127.0.0.1:1"}, .user = "root", .password = "x"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("'root'"), ::testing::Not(HasSubstr("x;"))));
}

}  // namespace
}  // namespace keel
