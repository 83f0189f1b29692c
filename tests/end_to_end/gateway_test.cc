// The JSON gateway of real processes, driven by curl.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/end_to_end/fixture.h"

namespace keel::test {
namespace {

using nlohmann::json;

class GatewayEndToEndTest : public ClusterTest {
 protected:
  void SetUp() override {
    const auto version = tools::RunCommand({.argv = {"curl", "--version"}});
    if (!version.ok() || version->exit_code != 0) GTEST_SKIP() << "no curl on PATH";
  }
  std::string UrlOf(int member, const std::string& path) {
    return absl::StrCat("http://", cluster_->endpoint(member), path);
  }
  // The answer to a POST, which must have the HTTP status `status`.
  json Curl(int member, const std::string& path, const std::string& body, int status = 200) {
    const auto result = tools::RunCommand({.argv = {"curl", "-s", "--max-time", "30", "-w", "\n%{http_code}", "-X",
                                                    "POST", UrlOf(member, path), "-d", "@-"},
                                           .stdin_text = body});
    EXPECT_TRUE(result.ok()) << result.status();
    const std::string out = result.ok() ? result->out : "\n0";
    const size_t end = out.rfind('\n');
    EXPECT_EQ(out.substr(end + 1), std::to_string(status)) << path << ": " << out;
    return json::parse(out.substr(0, end), nullptr, false);
  }
};

TEST_F(GatewayEndToEndTest, CurlWritesOnOneMemberReadsAndWatchesOnAnother) {
  StartCluster(3);
  auto watch = tools::ChildProcess::Start(
      {.argv = {"curl", "-sN", "-X", "POST", UrlOf(1, "/v3/watch"), "-d", R"({"create_request":{"key":"Zm9v"}})"},
       .output_file = dir_.path() + "/watch"});
  ASSERT_TRUE(watch.ok()) << watch.status();
  WaitFor("watch", R"("created":true)");
  EXPECT_TRUE(Curl(0, "/v3/kv/put", R"({"key":"Zm9v","value":"YmFy"})").contains("header"));
  for (int member = 0; member < 3; ++member) {
    EXPECT_EQ(Curl(member, "/v3/kv/range", R"({"key":"Zm9v"})")["kvs"][0]["value"], "YmFy");
    EXPECT_EQ(Curl(member, "/v3beta/kv/range", R"({"key":"Zm9v"})")["kvs"][0]["value"], "YmFy");
    EXPECT_EQ(Curl(member, "/v3/cluster/member/list", "")["members"].size(), 3u);
  }
  WaitFor("watch", R"("value":"YmFy")");
  const json granted = Curl(2, "/v3/lease/grant", R"({"TTL":60})");
  EXPECT_EQ(Curl(1, "/v3/lease/keepalive", json({{"ID", granted["ID"]}}).dump())["result"]["TTL"], "60");
  EXPECT_EQ(Curl(0, "/v3/kv/range", R"({"key":"Zm9v","revision":"99"})", 400)["code"], 11);
  EXPECT_EQ(Curl(0, "/v3/kv/range", "{", 400)["code"], 3);
  EXPECT_EQ(Curl(0, "/v3/no/such/path", "{}", 404)["code"], 5);
  // Larger than curl sends without asking first (Expect: 100-continue).
  const std::string large(1200000, 'A');
  Curl(0, "/v3/kv/put", absl::StrCat(R"({"key":"bGFyZ2U=","value":")", large, "\"}"));
  EXPECT_EQ(Curl(1, "/v3/kv/range", R"({"key":"bGFyZ2U="})")["kvs"][0]["value"], large);
}

TEST_F(GatewayEndToEndTest, WithoutQuorumWritesEndAndLocalReadsGoOn) {
  StartCluster(3, {"--election-timeout=500"});
  Curl(2, "/v3/kv/put", R"({"key":"Zm9v","value":"YmFy"})");
  Curl(2, "/v3/kv/range", R"({"key":"Zm9v"})");
  cluster_->Kill(0);
  cluster_->Kill(1);
  // What a write is told depends on whether the member knows of a leader when it comes.
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (!absl::StrContains(HttpGet(2, "/metrics").second, "\netcd_server_has_leader 0")) {
    ASSERT_LT(absl::Now(), deadline) << "a member alone still believes in a leader";
  }
  const json put = Curl(2, "/v3/kv/put", R"({"key":"Zm9v"})", 504);
  EXPECT_EQ(put["code"], 4);
  EXPECT_EQ(put["message"], "context deadline exceeded");
  EXPECT_EQ(Curl(2, "/v3/kv/range", R"({"key":"Zm9v","serializable":true})")["kvs"][0]["value"], "YmFy");
}

}  // namespace
}  // namespace keel::test
