// The same requests to a real etcd and to a member of ours, over HTTP, and every body compared.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/notification.h"
#include "server/server.h"
#include "tests/gateway/http_client.h"
#include "tests/server/member_fixture.h"
#include "tools/local_cluster/child_process.h"

namespace keel::server {
namespace {

using nlohmann::json;

std::string EtcdPath() {
  for (absl::string_view dir : absl::StrSplit(std::getenv("PATH") != nullptr ? std::getenv("PATH") : "", ':')) {
    const std::string path = absl::StrCat(dir, "/etcd");
    if (std::filesystem::exists(path)) return path;
  }
  return "";
}

// What differs between any two clusters, and what is newer than the etcd at hand: "details" of an error, and the status
// fields that came later.
void Normalise(json* value) {
  if (value->is_array()) {
    for (json& element : *value) Normalise(&element);
  }
  if (!value->is_object()) return;
  for (const char* name : {"cluster_id", "member_id", "raft_term", "details"}) value->erase(name);
  for (auto& [name, element] : value->items()) Normalise(&element);
}

struct Request {
  std::string path;
  std::string body;
  HttpClient::Headers headers = {};
};

class EtcdComparisonTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string etcd = EtcdPath();
    if (etcd.empty()) GTEST_SKIP() << "no etcd on PATH to compare with (Debian package etcd-server)";
    Config config = OneMember(dir_.path());
    auto server = Server::Start(std::move(config), [](absl::Status status) { ADD_FAILURE() << "fatal: " << status; });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    auto ready = std::make_shared<absl::Notification>();
    server_->OnReady([ready] { ready->Notify(); });
    ASSERT_TRUE(ready->WaitForNotificationWithTimeout(absl::Seconds(60)));

    const Url client{.host = "127.0.0.1", .port = FreePort()};
    const Url peer{.host = "127.0.0.1", .port = FreePort()};
    auto process = tools::ChildProcess::Start(
        {.argv = {etcd, "--name=e", "--data-dir", dir_.path() + "/etcd", "--listen-client-urls", client.ToString(),
                  "--advertise-client-urls", client.ToString(), "--listen-peer-urls", peer.ToString(),
                  "--initial-advertise-peer-urls", peer.ToString(), "--initial-cluster", "e=" + peer.ToString()},
         .output_file = dir_.path() + "/etcd.log"});
    ASSERT_TRUE(process.ok()) << process.status();
    etcd_.emplace(*std::move(process));
    ASSERT_TRUE(Eventually([&] { return HttpCall(client, "GET", "/health").status == 200; })) << "etcd does not start";
    ours_url_ = server_->client_addresses().front();
    theirs_url_ = client;
    ours_.emplace(ours_url_);
    theirs_.emplace(theirs_url_);
  }
  void TearDown() override {
    if (server_ != nullptr) server_->Stop();
  }

  // Sends both the same. Stream answers are compared line by line.
  void Compare(const Request& request) {
    SCOPED_TRACE(absl::StrCat(request.path, " ", request.body));
    const Answer ours = ours_->Post(request.path, request.body, request.headers);
    const Answer theirs = theirs_->Post(request.path, request.body, request.headers);
    EXPECT_EQ(ours.status, theirs.status) << ours.body << "\n" << theirs.body;
    EXPECT_EQ(ours.headers["Content-Type"], theirs.headers["Content-Type"]);
    ExpectEqualLines(ours.body, theirs.body);
    ++compared_;
  }
  static void ExpectEqualLines(const std::string& ours, const std::string& theirs) {
    const std::vector<std::string> our_lines = absl::StrSplit(ours, '\n');
    const std::vector<std::string> their_lines = absl::StrSplit(theirs, '\n');
    ASSERT_EQ(our_lines.size(), their_lines.size()) << ours << "\n" << theirs;
    for (size_t i = 0; i < our_lines.size(); ++i) {
      if (our_lines[i].empty() && their_lines[i].empty()) continue;
      json ours_json = json::parse(our_lines[i], nullptr, false);
      json theirs_json = json::parse(their_lines[i], nullptr, false);
      Normalise(&ours_json);
      Normalise(&theirs_json);
      EXPECT_FALSE(theirs_json.is_discarded()) << their_lines[i];
      EXPECT_EQ(ours_json, theirs_json);
    }
  }
  // Both say it is bad, each in its own words.
  void CompareRefusal(const Request& request) {
    SCOPED_TRACE(absl::StrCat(request.path, " ", request.body));
    const Answer ours = ours_->Post(request.path, request.body, request.headers);
    const Answer theirs = theirs_->Post(request.path, request.body, request.headers);
    EXPECT_EQ(ours.status, 400u) << ours.body;
    EXPECT_EQ(theirs.status, 400u) << theirs.body;
    EXPECT_EQ(ours.json()["code"], theirs.json()["code"]);
    EXPECT_EQ(ours.json()["error"], ours.json()["message"]);
    EXPECT_TRUE(theirs.json().contains("error") && theirs.json().contains("message"));
    ++compared_;
  }

  TempDir dir_;
  std::unique_ptr<Server> server_;
  std::optional<tools::ChildProcess> etcd_;
  Url ours_url_;
  Url theirs_url_;
  std::optional<HttpClient> ours_;
  std::optional<HttpClient> theirs_;
  int compared_ = 0;
};

TEST_F(EtcdComparisonTest, AnswersAreTheSameBodyByBody) {
  const std::vector<Request> requests = {
      {"/v3/kv/put", R"({"key":"Zm9v","value":"YmFy"})"},
      {"/v3/kv/put", R"({"key":"Zm9v","value":"AP8=","prev_kv":true})"},
      {"/v3/kv/put", R"({"key":"Zm9v","prevKv":true,"value":""})"},
      {"/v3/kv/put", R"({"key":"+/8=","value":"PD4m"})"},
      {"/v3/kv/range", R"({"key":"Zm9v"})"},
      {"/v3/kv/range", R"({"key":"AA==","range_end":"AA==","sort_order":"DESCEND","sort_target":"KEY"})"},
      {"/v3/kv/range", R"({"key":"AA==","rangeEnd":"AA==","sortOrder":2,"sortTarget":3,"limit":1})"},
      {"/v3/kv/range", R"({"key":"AA==","range_end":"AA==","count_only":true})"},
      {"/v3/kv/range", R"({"key":"AA==","range_end":"AA==","keys_only":true,"limit":"1"})"},
      {"/v3/kv/range", R"({"key":"Zm9v","revision":2})"},
      {"/v3/kv/range", R"({"key":"Zm9v","revision":"99"})"},
      {"/v3/kv/range", R"({"key":"bm9uZQ=="})"},
      {"/v3/kv/range", R"({"key":"Zm9v","unknown":{"x":[1]}})"},
      {"/v3/kv/range", R"({"key":"Zm9v"} and more)"},
      {"/v3/kv/range", R"({"key":null})"},
      {"/v3/kv/range", ""},
      {"/v3/kv/range", "{}"},
      {"/v3beta/kv/range", R"({"key":"Zm9v"})"},
      {"/v3/kv/txn",
       R"({"compare":[{"key":"Zm9v","target":"VERSION","version":"3"}],)"
       R"("success":[{"request_range":{"key":"Zm9v"}},{"requestPut":{"key":"YQ==","value":"MQ==","prev_kv":true}},)"
       R"({"request_txn":{"failure":[],"success":[{"request_delete_range":{"key":"YQ==","prev_kv":true}}]}}]})"},
      {"/v3/kv/txn", R"({"compare":[{"key":"Zm9v","target":3,"result":"NOT_EQUAL","value":""}],"failure":[]})"},
      {"/v3/kv/txn", R"({"success":[{"request_put":{"key":"YQ=="}},{"request_put":{"key":"YQ=="}}]})"},
      {"/v3/kv/txn", "{}"},
      {"/v3/kv/deleterange", R"({"key":"Zm9v","prev_kv":true})"},
      {"/v3/kv/deleterange", R"({"key":"Zm9v"})"},
      {"/v3/kv/compaction", R"({"revision":"3"})"},
      {"/v3/kv/compaction", R"({"revision":"3"})"},
      {"/v3/kv/compaction", R"({"revision":"300"})"},
      {"/v3/kv/range", R"({"key":"Zm9v","revision":1})"},
      {"/v3/lease/grant", R"({"ID":"7","TTL":"600"})"},
      {"/v3/lease/grant", R"({"ID":"8","TTL":9000000001})"},
      {"/v3/kv/put", R"({"key":"bA==","lease":"7"})"},
      {"/v3/kv/put", R"({"key":"bA==","lease":"99"})"},
      {"/v3/kv/range", R"({"key":"bA=="})"},
      {"/v3/lease/keepalive", R"({"ID":"7"})"},
      {"/v3/lease/keepalive", R"({"ID":"7"}{"ID":9}{"ID":"7"})"},
      {"/v3/lease/keepalive", ""},
      {"/v3/lease/timetolive", R"({"ID":"9"})"},
      {"/v3/kv/lease/timetolive", R"({"ID":"9","keys":true})"},
      {"/v3/lease/leases", "{}"},
      {"/v3/kv/lease/leases", "{}"},
      {"/v3/lease/revoke", R"({"ID":"9"})"},
      {"/v3/lock/lock", R"({"name":"bG9jaw==","lease":"7"})"},
      {"/v3/lock/unlock", R"({"key":"bG9jay83"})"},
      {"/v3/election/campaign", R"({"name":"ZQ==","lease":"7","value":"bWU="})"},
      {"/v3/election/leader", R"({"name":"ZQ=="})"},
      {"/v3/election/leader", R"({"name":"bm9uZQ=="})"},
      {"/v3/election/proclaim", "{}"},
      {"/v3/election/resign", "{}"},
      {"/v3/kv/lease/revoke", R"({"ID":"7"})"},
      {"/v3/maintenance/defragment", "{}"},
      {"/v3/cluster/member/remove", R"({"ID":"5"})"},
      {"/v3/cluster/member/promote", R"({"ID":"5"})"},
      {"/v3/cluster/member/add", R"({"peerURLs":["nonsense"]})"},
      {"/v3/kv/range", R"({"key":"Zm9v"})", {{"Grpc-Timeout", "soon"}}},
      {"/v3/kv/range", R"({"key":"Zm9v"})", {{"Grpc-Timeout", "1n"}}},
      {"/v3/kv/range", R"({"key":"Zm9v"})", {{"Grpc-Timeout", "5S"}, {"Grpc-Metadata-hasleader", "true"}}},
  };
  for (const Request& request : requests) Compare(request);
  std::printf("compared %d answers\n", compared_);
}

// Where the etcd at hand is older than the protocol as it is now (rpc.md sections 2.11, 2.12, 5.2 and 5.3), both are
// pinned down, so that a newer etcd shows up here.
TEST_F(EtcdComparisonTest, KnownDifferencesAreThoseOfTheOlderRelease) {
  Compare({"/v3/lease/grant", R"({"ID":"7","TTL":"600"})"});
  const Request taken = {"/v3/lease/grant", R"({"ID":"7","TTL":"600"})"};
  EXPECT_EQ(theirs_->Post(taken.path, taken.body).status, 412u);
  EXPECT_EQ(ours_->Post(taken.path, taken.body).status, 400u);
  const Request alarms = {"/v3/maintenance/alarm", R"({"action":"GET","memberID":"0","alarm":"NOSPACE"})"};
  EXPECT_EQ(theirs_->Post(alarms.path, alarms.body).body, "{}");
  EXPECT_EQ(ours_->Post(alarms.path, alarms.body).json().size(), 1u);
  EXPECT_TRUE(ours_->Post(alarms.path, alarms.body).json().contains("header"));
  // Without users nobody asks who somebody is.
  const Request token = {"/v3/kv/range", R"({"key":"Zm9v"})", {{"Authorization", "nobody"}}};
  EXPECT_EQ(theirs_->Post(token.path, token.body, token.headers).status, 401u);
  EXPECT_EQ(ours_->Post(token.path, token.body, token.headers).status, 200u);
  const Request url_alphabet = {"/v3/kv/range", R"({"key":"-_8="})"};
  EXPECT_EQ(theirs_->Post(url_alphabet.path, url_alphabet.body).status, 400u);
  EXPECT_EQ(ours_->Post(url_alphabet.path, url_alphabet.body).status, 200u);
  EXPECT_EQ(theirs_->Call("GET", "/v3/kv/range").status, 405u);
  EXPECT_EQ(ours_->Call("GET", "/v3/kv/range").status, 501u);
}

TEST_F(EtcdComparisonTest, WhatOneRefusesTheOtherRefusesToo) {
  for (const char* body :
       {"{", R"({"key":"Zm9v")", R"({"key":"!!"})", R"({"key":5})", R"({"sort_order":"BOGUS","key":"YQ=="})",
        R"({"key":"YQ==","limit":"x"})", R"({"key":"YQ==","limit":1.5})", R"({"key":"YQ==","serializable":"x"})",
        R"({'key':'YQ=='})", "nonsense", "[]", "1", "\"x\"", R"({"key":"YQ==","limit":9223372036854775808})",
        R"({"key":{}})", R"({"key":"YQ==",})", "{\"key\":\"YQ==\",\"x\":\"\n\"}"}) {
    CompareRefusal({"/v3/kv/range", body});
  }
  for (const char* body : {R"({"compare":{}})", R"({"compare":"x"})", R"({"success":[1]})", R"({"success":[[]]})"}) {
    CompareRefusal({"/v3/kv/txn", body});
  }
}

TEST_F(EtcdComparisonTest, AWatchTellsTheSameLines) {
  const std::string watch =
      R"({"create_request":{"key":"YQ==","range_end":"Yg==","prev_kv":true,"progress_notify":true}})";
  HttpClient our_watch(ours_url_);
  HttpClient their_watch(theirs_url_);
  our_watch.Open("/v3/watch", watch);
  their_watch.Open("/v3/watch", watch);
  const auto next = [&] {
    const std::string ours = our_watch.NextLine().value_or("ended");
    const std::string theirs = their_watch.NextLine().value_or("ended");
    ExpectEqualLines(ours, theirs);
  };
  next();
  for (const Request& request : std::vector<Request>{
           {"/v3/kv/put", R"({"key":"YQ==","value":"MQ=="})"},
           {"/v3/kv/put", R"({"key":"YQ==","value":"Mg=="})"},
           {"/v3/kv/put", R"({"key":"YWE="})"},
           {"/v3/kv/txn", R"({"success":[{"request_put":{"key":"YWI="}},{"request_delete_range":{"key":"YQ=="}}]})"},
           {"/v3/kv/deleterange", R"({"key":"YWE="})"}}) {
    Compare(request);
    next();
  }
  Compare({"/v3/kv/compaction", R"({"revision":4})"});
  // Refused by the watch itself, not by its call: created, cancelled, and the stream stays.
  HttpClient our_late(ours_url_);
  HttpClient their_late(theirs_url_);
  for (HttpClient* late : {&our_late, &their_late}) {
    late->Open("/v3/watch", R"({"create_request":{"key":"YQ==","start_revision":"2"}})");
  }
  for (int line = 0; line < 2; ++line) {
    ExpectEqualLines(our_late.NextLine().value_or("ended"), their_late.NextLine().value_or("ended"));
  }
}

}  // namespace
}  // namespace keel::server
