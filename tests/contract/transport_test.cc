// The client port itself: HTTP beside gRPC, streams, pings, stopping.

#include <signal.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/contract/cluster_fixture.h"
#include "tests/contract/fixture.h"
#include "tests/gateway/http_client.h"

namespace keel::contract {
namespace {

using server::HttpClient;
using ::testing::AnyOf;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::StartsWith;

HttpClient Http(const std::string& endpoint) { return HttpClient(*ParseEndpoint(endpoint)); }

TEST_F(Contract, B065_AWatchWithoutARequestThatIsGivenUpHarmsNobody) {
  for (int i = 0; i < 20; ++i) {
    HttpClient client = Http(server().endpoint());
    client.Send("POST", "/v3/watch", "");
    // Some are cut off at once, some when the server has surely seen them.
    if (i % 4 == 0) {
      EXPECT_EQ(Http(server().endpoint()).Call("GET", "/version").status, 200u);
    }
  }
  Put("a");
  EXPECT_EQ(Http(server().endpoint()).Post("/v3/kv/range", R"({"key":"YQ=="})").json()["count"], "1");
  EXPECT_TRUE(server().Running());
}

TEST_F(Contract, B121_HealthIsBadUnderAnAlarmUnlessItIsExcluded) {
  HttpClient client = Http(server().endpoint());
  const auto health = [&](const std::string& query = "") {
    const server::Answer answer = client.Call("GET", "/health" + query);
    return absl::StrCat(answer.status, " ", answer.json()["health"].get<std::string>());
  };
  EXPECT_EQ(health(), "200 true");
  for (const char* alarm : {"NOSPACE", "CORRUPT"}) {
    const std::string which = absl::StrCat("alarm: ", alarm, " memberID: 7");
    Ok<etcdserverpb::AlarmResponse>("alarm action: ACTIVATE " + which);
    EXPECT_EQ(health(), "503 false");
    if (!is_etcd()) {
      // Newer than 3.4.23.
      EXPECT_EQ(client.Call("GET", "/health").json()["reason"], absl::StrCat("ALARM ", alarm));
      EXPECT_EQ(client.Call("GET", "/livez").status, 200u);
      EXPECT_EQ(client.Call("GET", "/readyz").status, std::string(alarm) == "CORRUPT" ? 503u : 200u);
      EXPECT_EQ(client.Call("GET", "/readyz?exclude=data_corruption").status, 200u);
    }
    EXPECT_EQ(health(absl::StrCat("?exclude=", alarm)), "200 true");
    EXPECT_EQ(health("?exclude=OTHER"), "503 false");
    Ok<etcdserverpb::AlarmResponse>("alarm action: DEACTIVATE " + which);
  }
  EXPECT_EQ(health(), "200 true");
  EXPECT_EQ(client.Call("POST", "/health").status, 405u);
}

TEST_F(ClusterContract, B121_WithoutAQuorumAMemberLivesAndIsNotReady) {
  const int alone = AnyFollower();
  PauseOthers(alone);
  HttpClient client = Http(members().processes().endpoint(alone));
  Await([&] { return absl::StrContains(client.Call("GET", "/metrics").body, "\netcd_server_has_leader 0"); },
        "a member alone believes in a leader");
  const server::Answer health = client.Call("GET", "/health");
  EXPECT_EQ(health.status, 503u);
  EXPECT_EQ(health.json()["health"], "false");
  if (is_etcd()) return;  // The rest is newer than 3.4.23.
  EXPECT_EQ(health.json()["reason"], "RAFT NO LEADER");
  EXPECT_EQ(client.Call("GET", "/health?serializable=true").status, 200u);
  EXPECT_EQ(client.Call("GET", "/livez").status, 200u);
  EXPECT_EQ(client.Call("GET", "/readyz?exclude=linearizable_read").status, 200u);
}

TEST_F(Contract, B122_OnePortSpeaksGrpcJsonAndPlainHttp) {
  Put("a", "v");
  HttpClient client = Http(server().endpoint());
  for (const HttpClient::Headers& headers :
       {HttpClient::Headers{},
        // Would like to go on in HTTP/2, which nobody has to grant.
        HttpClient::Headers{
            {"Connection", "Upgrade, HTTP2-Settings"}, {"Upgrade", "h2c"}, {"HTTP2-Settings", "AAMAAABkAAQAAP__"}}}) {
    HttpClient fresh = Http(server().endpoint());
    EXPECT_TRUE(fresh.Call("GET", "/version", "", headers).json().contains("etcdserver"));
    EXPECT_THAT(Http(server().endpoint()).Call("GET", "/metrics", "", headers).body,
                HasSubstr("etcd_server_has_leader 1"));
    EXPECT_EQ(
        Http(server().endpoint()).Call("POST", "/v3/kv/range", R"({"key":"YQ=="})", headers).json()["kvs"][0]["value"],
        "dg==");
  }
  WatchStream watch = Watch();
  watch.Create("key: 'b'");
  EXPECT_TRUE(client.Post("/v3/kv/put", R"({"key":"Yg==","value":"dg=="})").json().contains("header"));
  EXPECT_EQ(watch.NextMessage().events(0).kv().value(), "v");
}

class GuardedContract : public Contract {
 protected:
  GuardedContract() : Contract({"--cors=http://pages.example:80", "--host-whitelist=keel,localhost"}) {}
};

// Of the port as rpc.md section 5.5 and operations.md section 2 have it; these have no number.
TEST_F(GuardedContract, PagesOfOtherOriginsMayNotReadAnswers) {
  HttpClient client = Http(server().endpoint());
  const auto allowed = [&](const std::string& method, const HttpClient::Headers& headers) {
    const server::Answer answer = client.Call(method, "/version", "", headers);
    EXPECT_EQ(answer.status, 200u);
    return std::string(answer.headers["Access-Control-Allow-Origin"]);
  };
  for (const char* method : {"GET", "OPTIONS"}) {
    EXPECT_EQ(allowed(method, {{"Origin", "http://pages.example:80"}}), "http://pages.example:80");
    EXPECT_EQ(allowed(method, {{"Origin", "http://elsewhere.example:80"}}), "");
    EXPECT_EQ(allowed(method, {}), "");
  }
}

TEST_F(GuardedContract, RequestsForOtherNamesAreMisdirected) {
  HttpClient client = Http(server().endpoint());
  const auto status = [&](const std::string& host) {
    return client.Call("GET", "/version", "", {{"Host", host}}).status;
  };
  EXPECT_EQ(status("keel"), 200u);
  EXPECT_EQ(status("keel:2379"), 200u);
  EXPECT_EQ(status("localhost:1"), 200u);
  EXPECT_EQ(status("evil.example"), 421u);
  EXPECT_EQ(status("evil.example:2379"), 421u);
  EXPECT_EQ(status("notkeel"), 421u);
  EXPECT_EQ(client.Call("POST", "/v3/kv/range", "{}", {{"Host", "evil.example"}}).status, 421u);
  Put("a");  // Meant for pages only.
}

class FewStreamsContract : public Contract {
 protected:
  FewStreamsContract() : Contract({"--max-concurrent-streams=3"}) {}
};

TEST_F(FewStreamsContract, B123_StreamsBeyondTheLimitOfAConnectionWait) {
  std::vector<WatchStream> open;
  for (int i = 0; i < 3; ++i) {
    open.push_back(Watch());
    open.back().Create("key: 'a'");
  }
  WatchStream waiting = Watch();
  waiting.Send("create_request { key: 'a' }");
  // Another connection has a limit of its own.
  Endpoint other;
  other.Connect(server().endpoint());
  other.Put("a");
  for (WatchStream& stream : open) EXPECT_EQ(stream.NextMessage().events_size(), 1);
  EXPECT_EQ(waiting.stream().size(), 0u);
  EXPECT_FALSE(waiting.stream().ended());
  open.pop_back();
  EXPECT_TRUE(waiting.NextMessage().created());
}

// A client's half of an HTTP/2 connection, as far as pings go.
class Http2Pings {
 public:
  explicit Http2Pings(const std::string& endpoint) : socket_(context_) {
    const Url url = *ParseEndpoint(endpoint);
    socket_.connect({boost::asio::ip::make_address(url.host), url.port});
    Write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Frame(kSettings, 0, ""));
  }

  // False: the connection has ended.
  bool Ping(const std::string& payload) { return Write(Frame(kPing, 0, payload)); }
  struct Received {
    int type = -1;  // -1: the connection has ended.
    int flags = 0;
    std::string payload;
  };
  // The next answer to a ping, or farewell.
  Received Next() {
    while (true) {
      unsigned char head[9];
      boost::system::error_code error;
      boost::asio::read(socket_, boost::asio::buffer(head), error);
      if (error) return {};
      Received frame{.type = head[3], .flags = head[4], .payload = {}};
      frame.payload.resize((size_t{head[0]} << 16) | (size_t{head[1]} << 8) | head[2]);
      boost::asio::read(socket_, boost::asio::buffer(frame.payload), error);
      if (error) return {};
      if (frame.type == kSettings && frame.flags == 0) Write(Frame(kSettings, kAck, ""));
      if (frame.type == kGoAway || (frame.type == kPing && frame.flags == kAck)) return frame;
    }
  }

  static constexpr int kSettings = 4;
  static constexpr int kPing = 6;
  static constexpr int kGoAway = 7;
  static constexpr int kAck = 1;

 private:
  static std::string Frame(int type, int flags, const std::string& payload) {
    std::string frame = {
        0, 0, static_cast<char>(payload.size()), static_cast<char>(type), static_cast<char>(flags), 0, 0, 0, 0};
    return frame + payload;
  }
  bool Write(const std::string& bytes) {
    boost::system::error_code error;
    boost::asio::write(socket_, boost::asio::buffer(bytes), error);
    return !error;
  }

  boost::asio::io_context context_;
  boost::asio::ip::tcp::socket socket_;
};

TEST_F(Contract, B124_PingsAreAnsweredAndTooManyEndTheConnection) {
  Http2Pings connection(server().endpoint());
  ASSERT_TRUE(connection.Ping("12345678"));
  const Http2Pings::Received answer = connection.Next();
  EXPECT_EQ(answer.type, Http2Pings::kPing);
  EXPECT_EQ(answer.payload, "12345678");
  // Without a call, and far more often than every five seconds.
  Http2Pings::Received last;
  for (int i = 0; i < 10 && last.type != Http2Pings::kGoAway; ++i) {
    connection.Ping("abcdefgh");
    last = connection.Next();
  }
  ASSERT_EQ(last.type, Http2Pings::kGoAway);
  ASSERT_GE(last.payload.size(), 8u);
  EXPECT_EQ(last.payload[7], 11);  // ENHANCE_YOUR_CALM
  EXPECT_EQ(last.payload.substr(8), "too_many_pings");
  // The others are not meant.
  Put("a");
}

TEST_F(ClusterContract, B124_AWatchLeavesAMemberThatFallsSilent) {
  const auto client =
      NewClient({0, 1, 2}, {.keepalive_time = absl::Seconds(1), .keepalive_timeout = absl::Milliseconds(500)});
  const auto watcher = client->Watch(Key(), {.created_notify = true});
  const auto created = watcher->Next(absl::Now() + kPatience);
  ASSERT_TRUE(created.ok()) << created.status();
  int silent = 0;
  while (IdOf(silent) != created->header.member_id) ++silent;
  members().Pause(silent);
  const int other = (silent + 1) % kMembers;
  // Only a write that was surely done is waited for.
  Await([&] { return at(other).Call(absl::StrCat("put key: '", Key(), "'"), absl::Seconds(5)).status.ok(); },
        "the others do not go on");
  while (true) {
    const auto next = watcher->Next(absl::Now() + kPatience);
    ASSERT_TRUE(next.ok()) << next.status();
    if (next->events.empty()) continue;
    EXPECT_NE(next->header.member_id, created->header.member_id);
    break;
  }
}

TEST_F(ClusterContract, B125_WhoStopsEndsItsCallsOrSaysThatItIsGone) {
  const int stopping = AnyFollower();
  const auto client = NewClient();
  std::atomic<bool> stop = false;
  std::atomic<int> answered = 0;
  std::vector<std::string> wrong[3];
  std::vector<std::thread> callers;
  // Through the one that stops, and through whoever is there.
  for (const char* line : {"put key: '", "range key: '"}) {
    callers.emplace_back([&, line, &faults = wrong[callers.size()]] {
      Endpoint endpoint;
      endpoint.Connect(members().processes().endpoint(stopping));
      while (!stop) {
        const grpc::Status status = endpoint.Call(absl::StrCat(line, Key(), "'")).status;
        answered += status.ok();
        if (!status.ok() && status.error_code() != grpc::StatusCode::UNAVAILABLE) faults.push_back(Shown(status));
      }
    });
  }
  callers.emplace_back([&, &faults = wrong[2]] {
    while (!stop) {
      const auto got = client->kv().Get(Key());
      if (!got.ok()) faults.push_back(got.status().ToString());
    }
  });
  WatchStream watch = at(stopping).Watch();
  watch.Create(absl::StrCat("key: '", Key("other"), "'"));
  Await([&] { return answered >= 50; }, "nothing is answered");
  members().processes().Signal(stopping, SIGTERM);
  EXPECT_TRUE(members().processes().process(stopping).Wait(kPatience).has_value());
  ASSERT_TRUE(watch.stream().AwaitEnd(kPatience));
  EXPECT_EQ(watch.stream().status().error_code(), grpc::StatusCode::UNAVAILABLE) << Shown(watch.stream().status());
  stop = true;
  for (std::thread& caller : callers) caller.join();
  for (const auto& faults : wrong) EXPECT_THAT(faults, testing::IsEmpty());
}

}  // namespace
}  // namespace keel::contract
