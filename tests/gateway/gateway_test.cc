// The gateway of a whole member: every path, its errors, and beside gRPC on the same data.

#include "server/gateway/gateway.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <map>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "proto/etcdserver_kv.grpc.pb.h"
#include "server/server.h"
#include "tests/gateway/gateway_fixture.h"

namespace keel::server {
namespace {

using nlohmann::json;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST_F(GatewayTest, KeysWrittenHereAreReadThereAndTheOtherWayRound) {
  const json put = Put("foo", "bar");
  EXPECT_EQ(put["header"]["revision"], "2");
  auto kv = etcdserverpb::KV::NewStub(grpc::CreateChannel(url_.Target(), grpc::InsecureChannelCredentials()));
  etcdserverpb::RangeRequest range;
  range.set_key("foo");
  etcdserverpb::RangeResponse ranged;
  grpc::ClientContext read;
  ASSERT_TRUE(kv->Range(&read, range, &ranged).ok());
  ASSERT_EQ(ranged.kvs_size(), 1);
  EXPECT_EQ(ranged.kvs(0).value(), "bar");
  etcdserverpb::PutRequest request;
  request.set_key("foo");
  request.set_value(std::string("\0\xff", 2));
  etcdserverpb::PutResponse response;
  grpc::ClientContext write;
  ASSERT_TRUE(kv->Put(&write, request, &response).ok());
  const json seen = Ask("/v3/kv/range", {{"key", Base64("foo")}});
  EXPECT_EQ(seen["kvs"][0]["value"], "AP8=");
  EXPECT_EQ(seen["kvs"][0]["version"], "2");
  EXPECT_EQ(seen["count"], "1");
  EXPECT_FALSE(seen.contains("more"));
}

TEST_F(GatewayTest, EveryUnaryPathReachesItsCall) {
  Put("a", "1");
  EXPECT_EQ(Ask("/v3/kv/deleterange", {{"key", Base64("a")}})["deleted"], "1");
  EXPECT_EQ(
      Ask("/v3/kv/txn", {{"compare", {{{"key", Base64("a")}, {"target", "VERSION"}, {"version", "0"}}}},
                         {"success", {{{"requestPut", {{"key", Base64("a")}, {"value", Base64("2")}}}}}}})["succeeded"],
      true);
  EXPECT_TRUE(Ask("/v3/kv/compaction", {{"revision", "3"}, {"physical", true}}).contains("header"));
  EXPECT_EQ(Ask("/v3/lease/grant", {{"ID", "7"}, {"TTL", 60}})["TTL"], "60");
  EXPECT_EQ(Ask("/v3/lease/timetolive", {{"ID", 7}, {"keys", true}})["grantedTTL"], "60");
  EXPECT_EQ(Ask("/v3/kv/lease/timetolive", {{"ID", 7}})["grantedTTL"], "60");
  EXPECT_EQ(Ask("/v3/lease/leases", json::object())["leases"][0]["ID"], "7");
  EXPECT_EQ(Ask("/v3/kv/lease/leases", json::object())["leases"][0]["ID"], "7");
  const json locked = Ask("/v3/lock/lock", {{"name", Base64("l")}, {"lease", "7"}});
  EXPECT_EQ(locked["key"], Base64("l/7"));
  EXPECT_TRUE(Ask("/v3/lock/unlock", {{"key", locked["key"]}}).contains("header"));
  const json campaign = Ask("/v3/election/campaign", {{"name", Base64("e")}, {"lease", "7"}, {"value", Base64("me")}});
  EXPECT_EQ(campaign["leader"]["name"], Base64("e"));
  EXPECT_TRUE(
      Ask("/v3/election/proclaim", {{"leader", campaign["leader"]}, {"value", Base64("we")}}).contains("header"));
  EXPECT_EQ(Ask("/v3/election/leader", {{"name", Base64("e")}})["kv"]["value"], Base64("we"));
  EXPECT_TRUE(Ask("/v3/election/resign", {{"leader", campaign["leader"]}}).contains("header"));
  EXPECT_TRUE(Ask("/v3/lease/revoke", {{"ID", "7"}}).contains("header"));
  Ask("/v3/lease/grant", {{"ID", "8"}, {"TTL", 60}});
  EXPECT_TRUE(Ask("/v3/kv/lease/revoke", {{"ID", "8"}}).contains("header"));

  const json list = Ask("/v3/cluster/member/list", json::object());
  ASSERT_EQ(list["members"].size(), 1u);
  EXPECT_EQ(list["members"][0]["name"], "n1");
  const std::string id = list["members"][0]["ID"];
  EXPECT_TRUE(
      Ask("/v3/cluster/member/update", {{"ID", id}, {"peerURLs", list["members"][0]["peerURLs"]}}).contains("header"));
  const json added = Ask("/v3/cluster/member/add", {{"peerURLs", {"http://127.0.0.1:1"}}, {"isLearner", true}});
  const std::string learner = added["member"]["ID"];
  EXPECT_EQ(Post("/v3/cluster/member/promote", {{"ID", learner}}).body,
            ErrorBody(9, "etcdserver: can only promote a learner member which is in sync with leader"));
  EXPECT_EQ(Ask("/v3/cluster/member/remove", {{"ID", learner}})["members"].size(), 1u);

  EXPECT_FALSE(Ask("/v3/maintenance/alarm", json::object()).contains("alarms"));
  EXPECT_EQ(Ask("/v3/maintenance/status", json::object())["leader"], id);
  EXPECT_EQ(Post("/v3/maintenance/defragment", json::object()).body, "{}");
  EXPECT_TRUE(Ask("/v3/maintenance/hash", json::object())["hash"].is_number_unsigned());
  EXPECT_TRUE(Ask("/v3/maintenance/hashkv", json::object())["hash"].is_number_unsigned());
  EXPECT_EQ(Post("/v3/maintenance/transfer-leadership", {{"targetID", "1"}}).body,
            ErrorBody(9, "etcdserver: bad leader transferee"));
  EXPECT_EQ(Post("/v3/maintenance/downgrade", {{"action", "VALIDATE"}, {"version", "3.6"}}).status, 501u);
}

TEST_F(GatewayTest, EveryStreamPathReachesItsCall) {
  Put("a", "1");
  Ask("/v3/lease/grant", {{"ID", "7"}, {"TTL", 60}});
  HttpClient keepalive(url_);
  keepalive.Open("/v3/lease/keepalive", R"({"ID":"7"}{"ID":"8"})");
  EXPECT_EQ(keepalive.NextJson()["result"]["TTL"], "60");
  const json gone = keepalive.NextJson();
  EXPECT_EQ(gone["result"]["ID"], "8");
  EXPECT_FALSE(gone["result"].contains("TTL"));
  EXPECT_FALSE(keepalive.NextLine().has_value());

  HttpClient snapshot(url_);
  snapshot.Open("/v3/maintenance/snapshot", "");
  json last;
  while (auto line = snapshot.NextLine()) {
    last = nlohmann::ordered_json::parse(*line);
    ASSERT_TRUE(last["result"].contains("blob")) << *line;
  }
  EXPECT_FALSE(last["result"].contains("remaining_bytes"));

  Ask("/v3/election/campaign", {{"name", Base64("e")}, {"lease", "7"}, {"value", Base64("me")}});
  HttpClient observe(url_);
  observe.Open("/v3/election/observe", json({{"name", Base64("e")}}).dump());
  EXPECT_EQ(observe.NextJson()["result"]["kv"]["value"], Base64("me"));
}

TEST_F(GatewayTest, AWatchRunsAfterTheEndOfItsBody) {
  HttpClient watch(url_);
  // The second request stands in the same body.
  watch.Open("/v3/watch", R"({"create_request":{"key":"YQ=="}} {"createRequest":{"key":"Yg==","watch_id":"9"}})");
  const std::string created = watch.NextLine().value_or("");
  EXPECT_EQ(watch.stream_status(), 200u);
  EXPECT_THAT(created, StartsWith(R"({"result":{"header":{"cluster_id":)"));
  EXPECT_THAT(created, EndsWith(R"("created":true}})"));
  EXPECT_FALSE(json::parse(created)["result"].contains("watch_id"));
  EXPECT_EQ(watch.NextJson()["result"]["watch_id"], "9");
  for (int i = 0; i < 20; ++i) {
    const std::string key = i % 2 == 0 ? "a" : "b";
    const json put = Put(key, absl::StrCat(i));
    const json event = watch.NextJson()["result"];
    EXPECT_EQ(event["header"]["revision"], put["header"]["revision"]);
    ASSERT_EQ(event["events"].size(), 1u);
    EXPECT_FALSE(event["events"][0].contains("type"));
    EXPECT_EQ(event["events"][0]["kv"]["value"], Base64(absl::StrCat(i)));
  }
  Ask("/v3/kv/deleterange", {{"key", Base64("a")}});
  EXPECT_EQ(watch.NextJson()["result"]["events"][0]["type"], "DELETE");
}

TEST_F(GatewayTest, ErrorsHaveTheirBodyAndStatus) {
  struct Case {
    std::string path;
    std::string body;
    unsigned status;
    std::string answer;
  };
  const std::vector<Case> cases = {
      {"/v3/kv/range", "", 400, ErrorBody(3, "etcdserver: key is not provided")},
      {"/v3/kv/range", R"({"key":"YQ==","revision":99})", 400,
       ErrorBody(11, "etcdserver: mvcc: required revision is a future revision")},
      {"/v3/lease/revoke", R"({"ID":5})", 404, ErrorBody(5, "etcdserver: requested lease not found")},
      {"/v3/election/leader", R"({"name":"eA=="})", 500, ErrorBody(2, "election: no leader")},
      {"/v3/election/proclaim", "{}", 500, ErrorBody(2, "\"leader\" field must be provided")},
      {"/v3/cluster/member/remove", R"({"ID":5})", 404, ErrorBody(5, "etcdserver: member not found")},
      {"/v3/auth/status", "{}", 501, ErrorBody(12, "unknown service etcdserverpb.Auth")},
      {"/v3/kv/nothing", "{}", 404, ErrorBody(5, "Not Found")},
  };
  for (const Case& c : cases) {
    const Answer answer = client_->Post(c.path, c.body);
    EXPECT_EQ(answer.status, c.status) << c.path;
    EXPECT_EQ(answer.body, c.answer) << c.path;
  }
  const Answer taken_twice = [&] {
    Ask("/v3/lease/grant", {{"ID", "7"}, {"TTL", 60}});
    return Post("/v3/lease/grant", {{"ID", "7"}, {"TTL", 60}});
  }();
  EXPECT_EQ(taken_twice.status, 400u);
  EXPECT_EQ(taken_twice.body, ErrorBody(9, "etcdserver: lease already exists"));
  const Answer malformed = client_->Post("/v3/kv/range", R"({"key":)");
  EXPECT_EQ(malformed.status, 400u);
  EXPECT_EQ(malformed.json()["code"], 3);
  for (const char* method : {"GET", "PUT", "HEAD", "DELETE"}) {
    EXPECT_EQ(client_->Call(method, "/v3/kv/range").status, 501u) << method;
  }
  EXPECT_EQ(client_->Call("GET", "/v3/kv/range").body, ErrorBody(12, "Method Not Allowed"));
  EXPECT_EQ(client_->Call("POST", "/v3alpha/kv/range", "{}").status, 404u);
  EXPECT_EQ(client_->Call("POST", "/v3beta/kv/range", R"({"key":"YQ=="})").status, 200u);
}

TEST_F(GatewayTest, AStreamThatFailsBeforeItsFirstMessageHasTheStatusOfItsError) {
  const Answer answer = client_->Post("/v3/watch", R"({"create_request":{"key":"YQ=="}})", {{"Grpc-Timeout", "1n"}});
  EXPECT_EQ(answer.status, 504u);
  EXPECT_EQ(answer.body, R"({"error":{"grpc_code":4,"http_code":504,"message":"context deadline exceeded",)"
                         R"("http_status":"Gateway Timeout","code":4,"details":[]}})"
                         "\n");
  const Answer malformed = client_->Post("/v3/watch", "{");
  EXPECT_EQ(malformed.status, 400u);
  EXPECT_EQ(malformed.json()["code"], 3);
}

TEST_F(GatewayTest, ADeadlineEndsAStreamWithAnErrorLine) {
  HttpClient watch(url_);
  watch.Open("/v3/watch", R"({"create_request":{"key":"YQ=="}})", {{"Grpc-Timeout", "300m"}});
  EXPECT_TRUE(watch.NextJson()["result"]["created"].get<bool>());
  const json error = watch.NextJson()["error"];
  EXPECT_EQ(error["grpc_code"], 4);
  EXPECT_EQ(error["http_code"], 504);
  EXPECT_FALSE(watch.NextLine().has_value());
}

TEST_F(GatewayTest, HeadersReachTheCall) {
  EXPECT_EQ(client_->Post("/v3/kv/range", R"({"key":"YQ=="})", {{"Grpc-Metadata-hasleader", "true"}}).status, 200u);
  // Only what arrives there can be refused there.
  const Answer bad_version =
      client_->Post("/v3/kv/range", R"({"key":"YQ=="})", {{"Grpc-Metadata-Client-Api-Version", "3.6"}});
  EXPECT_EQ(bad_version.status, 200u);
  const Answer bad_timeout = client_->Post("/v3/kv/range", R"({"key":"YQ=="})", {{"Grpc-Timeout", "soon"}});
  EXPECT_EQ(bad_timeout.status, 400u);
  EXPECT_EQ(bad_timeout.body, ErrorBody(3, "invalid grpc-timeout: soon"));
  for (const char* name : {"Grpc-Metadata-grpc-timeout", "Grpc-Metadata-te", "Grpc-Metadata-content-type",
                           "Grpc-Metadata-", "Grpc-Metadata-grpc-encoding", "Grpc-Metadata-X!"}) {
    EXPECT_EQ(client_->Post("/v3/kv/range", R"({"key":"YQ=="})", {{name, "1n"}}).status, 200u) << name;
  }
  EXPECT_EQ(client_->Post("/v3/kv/range", R"({"key":"YQ=="})", {{"Grpc-Metadata-X", "\xff"}}).status, 400u);
  EXPECT_EQ(client_->Post("/v3/kv/range", R"({"key":"YQ=="})", {{"User-Agent", "caf\xc3\xa9"}}).status, 200u);
}

TEST_F(GatewayTest, AClientThatGoesEndsItsWaitForALock) {
  Ask("/v3/lease/grant", {{"ID", "7"}, {"TTL", 60}});
  Ask("/v3/lease/grant", {{"ID", "8"}, {"TTL", 60}});
  Ask("/v3/lease/grant", {{"ID", "9"}, {"TTL", 60}});
  const json held = Ask("/v3/lock/lock", {{"name", Base64("l")}, {"lease", "7"}});
  const auto waiters = [&] {
    return Ask("/v3/kv/range", {{"key", Base64("l/")}, {"range_end", Base64("l0")}})["count"];
  };
  {
    HttpClient impatient(url_);
    impatient.Open("/v3/lock/lock", json({{"name", Base64("l")}, {"lease", "8"}}).dump());
    ASSERT_TRUE(Eventually([&] { return waiters() == "2"; }));
  }
  EXPECT_TRUE(Eventually([&] { return waiters() == "1"; }));
  Ask("/v3/lock/unlock", {{"key", held["key"]}});
  EXPECT_EQ(Ask("/v3/lock/lock", {{"name", Base64("l")}, {"lease", "9"}})["key"], Base64("l/9"));
}

TEST_F(GatewayTest, AClientThatGoesEndsItsWatch) {
  const auto streams = [&] {
    const std::string metrics = client_->Call("GET", "/metrics").body;
    const size_t at = metrics.find("\netcd_debugging_mvcc_watch_stream_total ");
    return std::strtod(metrics.c_str() + at + std::strlen("\netcd_debugging_mvcc_watch_stream_total "), nullptr);
  };
  const double before = streams();
  for (int round = 0; round < 20; ++round) {
    HttpClient watch(url_);
    // Every other one asks for nothing.
    watch.Open("/v3/watch", round % 2 == 0 ? R"({"create_request":{"key":"YQ=="}})" : "");
    if (round % 2 == 0) {
      EXPECT_TRUE(watch.NextJson()["result"]["created"].get<bool>());
    }
    EXPECT_TRUE(Eventually([&] { return streams() == before + 1; }));
  }
  EXPECT_TRUE(Eventually([&] { return streams() == before; }));
}

TEST_F(GatewayTest, ARequestTooLargeForGrpcIsRefusedAsThere) {
  // Fits the connection's limit as JSON, not the log's as a request.
  const Answer entry = Post("/v3/kv/put", {{"key", "YQ=="}, {"value", Base64(std::string(1600000, 'x'))}});
  EXPECT_EQ(entry.status, 400u);
  EXPECT_EQ(entry.body, ErrorBody(3, "etcdserver: request is too large"));
  const Answer message = Post("/v3/kv/put", {{"key", "YQ=="}, {"value", Base64(std::string(2097152, 'x'))}});
  EXPECT_EQ(message.status, 429u);
  EXPECT_EQ(message.json()["code"], 8);
  EXPECT_THAT(message.json()["message"].get<std::string>(), HasSubstr("larger than max"));
  // Refused by its header, before there is a body.
  HttpClient big(url_);
  big.Send("POST", "/v3/kv/put", std::string(4u << 20, 'x'));
  EXPECT_EQ(big.NextLine(), std::nullopt);
  EXPECT_EQ(big.stream_status(), 413u);
  EXPECT_EQ(Ask("/v3/kv/range", {{"key", "YQ=="}}).contains("kvs"), false);
}

TEST_F(GatewayTest, OptionsAreAnsweredForBrowsersOnEveryPath) {
  const Answer answer = client_->Call("OPTIONS", "/v3/kv/put");
  EXPECT_EQ(answer.status, 200u);
  EXPECT_EQ(answer.body, "");
  EXPECT_EQ(answer.headers["Access-Control-Allow-Origin"], "*");
  EXPECT_EQ(answer.headers["Access-Control-Allow-Methods"], "POST, GET, OPTIONS, PUT, DELETE");
  EXPECT_EQ(answer.headers["Access-Control-Allow-Headers"], "accept, content-type, authorization");
}

TEST_F(GatewayTest, StoppingEndsOpenStreamsAndWaitingCalls) {
  Ask("/v3/lease/grant", {{"ID", "7"}, {"TTL", 60}});
  Ask("/v3/lease/grant", {{"ID", "8"}, {"TTL", 60}});
  Ask("/v3/lock/lock", {{"name", Base64("l")}, {"lease", "7"}});
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(std::make_unique<HttpClient>(url_));
    clients.back()->Open("/v3/watch", R"({"create_request":{"key":"YQ=="}})");
    EXPECT_TRUE(clients.back()->NextJson()["result"]["created"].get<bool>());
  }
  HttpClient waiting(url_);
  waiting.Open("/v3/lock/lock", json({{"name", Base64("l")}, {"lease", "8"}}).dump());
  const absl::Time begin = absl::Now();
  server_->Stop();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(20));
  for (const auto& client : clients) EXPECT_FALSE(client->NextLine().has_value());
  EXPECT_FALSE(waiting.NextLine().has_value());
}

}  // namespace
}  // namespace keel::server
