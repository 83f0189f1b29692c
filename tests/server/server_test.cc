// A whole member inside this process: starts, serves gRPC and HTTP on one port, keeps its data, stops.

#include "server/server.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "proto/etcdserver_kv.grpc.pb.h"
#include "proto/etcdserver_maintenance.grpc.pb.h"
#include "proto/etcdserver_watch.grpc.pb.h"
#include "tests/server/member_fixture.h"

namespace keel::server {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class ServerTest : public ::testing::Test {
 protected:
  void Start(Config config) {
    auto server = Server::Start(std::move(config), [](absl::Status status) { ADD_FAILURE() << "fatal: " << status; });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    url_ = server_->client_addresses().front();
    channel_ = grpc::CreateChannel(url_.Target(), grpc::InsecureChannelCredentials());
  }
  void WaitReady() {
    // The notification outlives a wait that gives up.
    auto ready = std::make_shared<absl::Notification>();
    server_->OnReady([ready] { ready->Notify(); });
    ASSERT_TRUE(ready->WaitForNotificationWithTimeout(absl::Seconds(60)));
  }
  void StartAndWait(Config config) {
    ASSERT_NO_FATAL_FAILURE(Start(std::move(config)));
    WaitReady();
  }
  void TearDown() override {
    channel_.reset();
    if (server_ != nullptr) server_->Stop();
  }

  static void Limit(grpc::ClientContext* context) {
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  }
  grpc::Status Put(const std::string& key, const std::string& value) {
    grpc::ClientContext context;
    Limit(&context);
    etcdserverpb::PutRequest request;
    request.set_key(key);
    request.set_value(value);
    etcdserverpb::PutResponse response;
    return etcdserverpb::KV::NewStub(channel_)->Put(&context, request, &response);
  }
  std::string Get(const std::string& key) {
    grpc::ClientContext context;
    Limit(&context);
    etcdserverpb::RangeRequest request;
    request.set_key(key);
    etcdserverpb::RangeResponse response;
    const grpc::Status status = etcdserverpb::KV::NewStub(channel_)->Range(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.kvs_size() == 1 ? response.kvs(0).value() : "(absent)";
  }
  void RaiseAlarm(etcdserverpb::AlarmType alarm) {
    grpc::ClientContext context;
    Limit(&context);
    etcdserverpb::AlarmRequest request;
    request.set_action(etcdserverpb::AlarmRequest::ACTIVATE);
    request.set_alarm(alarm);
    request.set_memberid(1);
    etcdserverpb::AlarmResponse response;
    const grpc::Status status = etcdserverpb::Maintenance::NewStub(channel_)->Alarm(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }

  TempDir dir_;
  std::unique_ptr<Server> server_;
  Url url_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(ServerTest, ServesGrpcAndHttpOnOnePortAndKeepsWhatWasWritten) {
  const Config config = OneMember(dir_.path());
  ASSERT_NO_FATAL_FAILURE(StartAndWait(config));
  ASSERT_TRUE(Put("k", "v").ok());
  EXPECT_EQ(Get("k"), "v");
  EXPECT_EQ(HttpCall(url_, "GET", "/health").status, 200);
  server_->Stop();
  server_.reset();

  ASSERT_NO_FATAL_FAILURE(StartAndWait(config));
  EXPECT_EQ(Get("k"), "v");
}

TEST_F(ServerTest, StopEndsOpenStreamsSoon) {
  ASSERT_NO_FATAL_FAILURE(StartAndWait(OneMember(dir_.path())));
  grpc::ClientContext context;
  Limit(&context);
  auto stream = etcdserverpb::Watch::NewStub(channel_)->Watch(&context);
  etcdserverpb::WatchRequest request;
  request.mutable_create_request()->set_key("k");
  ASSERT_TRUE(stream->Write(request));
  etcdserverpb::WatchResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(response.created());

  const absl::Time start = absl::Now();
  server_->Stop();
  server_->Stop();
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  while (stream->Read(&response)) {
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ServerTest, HealthBodiesAreExact) {
  ASSERT_NO_FATAL_FAILURE(StartAndWait(OneMember(dir_.path())));
  const HttpAnswer health = HttpCall(url_, "GET", "/health");
  EXPECT_EQ(health.status, 200);
  EXPECT_EQ(health.body, R"({"health":"true","reason":""})");
  EXPECT_THAT(health.headers, HasSubstr("Content-Type: text/plain; charset=utf-8\r\n"));
  EXPECT_THAT(health.headers, HasSubstr("Access-Control-Allow-Origin: *\r\n"));

  const HttpAnswer head = HttpCall(url_, "HEAD", "/health");
  EXPECT_EQ(head.status, 405);
  EXPECT_THAT(head.headers, HasSubstr("Allow: GET\r\n"));
  EXPECT_EQ(HttpCall(url_, "POST", "/health").body, "Method Not Allowed");

  EXPECT_EQ(HttpCall(url_, "GET", "/livez").body, "ok\n");
  EXPECT_EQ(HttpCall(url_, "GET", "/livez?verbose").body, "[+]serializable_read ok\nok\n");
  EXPECT_EQ(HttpCall(url_, "GET", "/readyz").body, "ok\n");
  const std::string verbose = HttpCall(url_, "GET", "/readyz?verbose&exclude=data_corruption").body;
  for (const char* line : {"[+]data_corruption excluded: ok\n", "[+]serializable_read ok\n",
                           "[+]linearizable_read ok\n", "[+]non_learner ok\n"}) {
    EXPECT_THAT(verbose, HasSubstr(line));
  }
  EXPECT_EQ(HttpCall(url_, "GET", "/readyz/linearizable_read?verbose").body, "[+]linearizable_read ok\nok\n");
  EXPECT_EQ(HttpCall(url_, "GET", "/livez/linearizable_read").status, 404);

  const HttpAnswer missing = HttpCall(url_, "GET", "/nothing");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.body, "404 page not found\n");
  const HttpAnswer options = HttpCall(url_, "OPTIONS", "/anything");
  EXPECT_EQ(options.status, 200);
  EXPECT_EQ(options.body, "");
  EXPECT_EQ(HttpCall(url_, "GET", "/version").body,
            R"({"etcdserver":"3.6.0","etcdcluster":"3.6.0","storage":"3.6.0"})");
}

TEST_F(ServerTest, AnAlarmIsBadHealthUnlessExcluded) {
  ASSERT_NO_FATAL_FAILURE(StartAndWait(OneMember(dir_.path())));
  RaiseAlarm(etcdserverpb::NOSPACE);
  const HttpAnswer health = HttpCall(url_, "GET", "/health");
  EXPECT_EQ(health.status, 503);
  EXPECT_EQ(health.body, "{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}\n");
  EXPECT_THAT(health.headers, HasSubstr("X-Content-Type-Options: nosniff\r\n"));
  EXPECT_EQ(HttpCall(url_, "GET", "/health?exclude=NOSPACE").status, 200);
  EXPECT_EQ(HttpCall(url_, "GET", "/health?serializable=true").status, 503);
  EXPECT_EQ(HttpCall(url_, "GET", "/readyz").status, 200);

  RaiseAlarm(etcdserverpb::CORRUPT);
  EXPECT_THAT(HttpCall(url_, "GET", "/readyz").body,
              HasSubstr("[-]data_corruption failed: alarm activated: CORRUPT\n"));
  EXPECT_EQ(HttpCall(url_, "GET", "/readyz/serializable_read").status, 200);
}

TEST_F(ServerTest, WithoutAQuorumItLivesButIsNotReady) {
  Config config = OneMember(dir_.path());
  for (const char* name : {"n2", "n3"}) {
    config.initial_cluster.push_back({.name = name, .peer_urls = {Url{.host = "127.0.0.1", .port = FreePort()}}});
  }
  ASSERT_NO_FATAL_FAILURE(Start(config));
  EXPECT_EQ(HttpCall(url_, "GET", "/livez").status, 200);
  const HttpAnswer health = HttpCall(url_, "GET", "/health");
  EXPECT_EQ(health.status, 503);
  EXPECT_EQ(health.body, "{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}\n");
  EXPECT_EQ(HttpCall(url_, "GET", "/health?serializable=true").status, 200);
  const HttpAnswer ready = HttpCall(url_, "GET", "/readyz");
  EXPECT_EQ(ready.status, 503);
  EXPECT_THAT(ready.body, HasSubstr("[-]linearizable_read failed: etcdserver: request timed out\n"));
  EXPECT_THAT(HttpCall(url_, "GET", "/version").body, HasSubstr(R"("etcdcluster":"not_decided")"));
}

TEST_F(ServerTest, MetricsExistBeforeTheFirstCallAndCountIt) {
  ASSERT_NO_FATAL_FAILURE(StartAndWait(OneMember(dir_.path())));
  const HttpAnswer before = HttpCall(url_, "GET", "/metrics");
  EXPECT_EQ(before.status, 200);
  EXPECT_THAT(before.headers, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  for (const char* name :
       {"etcd_server_has_leader 1", "etcd_server_is_leader 1", "etcd_server_leader_changes_seen_total 1",
        "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.001\"}", "etcd_mvcc_db_total_size_in_bytes ",
        "etcd_debugging_mvcc_current_revision 1", "process_resident_memory_bytes ", "etcd_server_version{",
        "etcd_cluster_version{cluster_version=\"3.6\"} 1"}) {
    EXPECT_THAT(before.body, HasSubstr(name));
  }
  const std::string label = "grpc_code=\"OK\",grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"";
  EXPECT_THAT(before.body, HasSubstr("grpc_server_handled_total{" + label + "} 0"));
  ASSERT_TRUE(Put("k", "v").ok());
  EXPECT_TRUE(Eventually([&] {
    return HttpCall(url_, "GET", "/metrics").body.find("grpc_server_handled_total{" + label + "} 1") !=
           std::string::npos;
  }));
}

TEST_F(ServerTest, TheMetricsPortServesProbesAndMetricsOnly) {
  Config config = OneMember(dir_.path());
  const Url metrics{.host = "127.0.0.1", .port = FreePort()};
  config.listen_metrics_urls = {metrics};
  ASSERT_NO_FATAL_FAILURE(StartAndWait(config));
  EXPECT_EQ(HttpCall(metrics, "GET", "/health").body, R"({"health":"true","reason":""})");
  EXPECT_EQ(HttpCall(metrics, "GET", "/readyz").body, "ok\n");
  EXPECT_THAT(HttpCall(metrics, "GET", "/metrics").body, HasSubstr("etcd_server_has_leader 1"));
  EXPECT_EQ(HttpCall(metrics, "GET", "/version").status, 404);
  EXPECT_THAT(HttpCall(metrics, "GET", "/health").headers, Not(HasSubstr("Access-Control")));
}

TEST_F(ServerTest, APortInUseLeavesTheDiskAlone) {
  const Config config = OneMember(dir_.path());
  ASSERT_NO_FATAL_FAILURE(StartAndWait(config));
  for (const bool client_port : {true, false}) {
    Config other = OneMember(dir_.path());
    other.data_dir = dir_.path() + "/other";
    if (client_port) {
      other.listen_client_urls = config.listen_client_urls;
    } else {
      other.listen_peer_urls = config.listen_peer_urls;
      other.initial_advertise_peer_urls = config.listen_peer_urls;
      other.initial_cluster[0].peer_urls = config.listen_peer_urls;
    }
    const auto second = Server::Start(other, [](absl::Status) {});
    EXPECT_THAT(std::string(second.status().message()), HasSubstr("bind: address already in use"));
    EXPECT_FALSE(fs::exists(other.data_dir));
  }
}

class BootstrapRefusalTest : public ServerTest {
 protected:
  absl::Status Refusal(const Config& config) {
    auto server = Server::Start(config, [](absl::Status) {});
    return server.ok() ? absl::OkStatus() : server.status();
  }
};

TEST_F(BootstrapRefusalTest, FlagsThatDoNotFitLeaveNoTrace) {
  Config config = OneMember(dir_.path());
  config.name = "x";
  EXPECT_EQ(Refusal(config).code(), absl::StatusCode::kInvalidArgument);
  config = OneMember(dir_.path());
  config.initial_cluster_state = InitialClusterState::kExisting;
  EXPECT_THAT(std::string(Refusal(config).message()), HasSubstr("could not retrieve cluster information"));
  EXPECT_FALSE(fs::exists(config.data_dir));
}

TEST_F(BootstrapRefusalTest, TheDirectoryOfAnotherClusterOrMember) {
  Config config = OneMember(dir_.path());
  config.initial_cluster.push_back({.name = "n2", .peer_urls = {Url{.host = "127.0.0.1", .port = FreePort()}}});
  ASSERT_NO_FATAL_FAILURE(Start(config));
  server_->Stop();
  server_.reset();

  Config other_cluster = config;
  other_cluster.initial_cluster_token = "another";
  const absl::Status cluster = Refusal(other_cluster);
  EXPECT_EQ(cluster.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(cluster.message()), HasSubstr("belongs to cluster"));

  Config other_member = config;
  other_member.name = "n2";
  const absl::Status member = Refusal(other_member);
  EXPECT_EQ(member.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(member.message()), HasSubstr("belongs to member"));

  // With data of its own a member does not look at these flags, unless they ask for a new cluster.
  other_cluster.initial_cluster_state = InitialClusterState::kExisting;
  EXPECT_TRUE(Refusal(other_cluster).ok());
  Config bare = config;
  bare.initial_cluster.clear();
  EXPECT_TRUE(Refusal(bare).ok());
}

TEST_F(BootstrapRefusalTest, ADirectoryThatLostItsIdentityKeepsItsData) {
  const Config config = OneMember(dir_.path());
  ASSERT_NO_FATAL_FAILURE(StartAndWait(config));
  ASSERT_TRUE(Put("k", "v").ok());
  server_->Stop();
  server_.reset();
  fs::rename(config.data_dir + "/MEMBER", config.data_dir + "/saved");
  EXPECT_EQ(Refusal(config).code(), absl::StatusCode::kDataLoss);
  fs::rename(config.data_dir + "/saved", config.data_dir + "/MEMBER");
  ASSERT_NO_FATAL_FAILURE(StartAndWait(config));
  EXPECT_EQ(Get("k"), "v");
}

TEST_F(BootstrapRefusalTest, AnInterruptedFirstStartBeginsAnew) {
  Config config = OneMember(dir_.path());
  config.initial_cluster.push_back({.name = "n2", .peer_urls = {Url{.host = "127.0.0.1", .port = FreePort()}}});
  ASSERT_NO_FATAL_FAILURE(Start(config));  // No quorum, so nothing is written to the log.
  server_->Stop();
  server_.reset();
  fs::remove(config.data_dir + "/MEMBER");
  // With other flags, too: the operator may have corrected them.
  config.initial_cluster_token = "another";
  config.initial_cluster.pop_back();
  ASSERT_NO_FATAL_FAILURE(StartAndWait(config));
  EXPECT_TRUE(Put("k", "v").ok());
}

TEST_F(BootstrapRefusalTest, TheDataOfAnEtcdMemberIsLeftAlone) {
  const Config config = OneMember(dir_.path());
  fs::create_directories(config.data_dir + "/member/wal");
  EXPECT_THAT(std::string(Refusal(config).message()), HasSubstr("holds the data of an etcd member"));
}

}  // namespace
}  // namespace keel::server
