#include "server/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace keel::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<Url> Urls(std::string_view text) { return ParseUrlList(text).value(); }

// What members of clusters out there are called; scripts, dashboards and member lists hold these ids.
TEST(MemberIdTest, IsWhatExistingClustersCompute) {
  EXPECT_EQ(ComputeMemberId(Urls("http://localhost:2380"), "etcd-cluster"), 0x8e9e05c52164694du);
  EXPECT_EQ(ComputeClusterId({0x8e9e05c52164694du}), 0xcdf818194e3a8c32u);

  const uint64_t infra1 = ComputeMemberId(Urls("http://127.0.0.1:12380"), "etcd-cluster-1");
  const uint64_t infra2 = ComputeMemberId(Urls("http://127.0.0.1:22380"), "etcd-cluster-1");
  const uint64_t infra3 = ComputeMemberId(Urls("http://127.0.0.1:32380"), "etcd-cluster-1");
  EXPECT_EQ(infra1, 0x8211f1d0f64f3269u);
  EXPECT_EQ(infra2, 0x91bc3c398fb3c146u);
  EXPECT_EQ(infra3, 0xfd422379fda50e48u);
  EXPECT_EQ(ComputeClusterId({infra3, infra1, infra2}), 0xef37ad9dc622a7c4u);
}

TEST(MemberIdTest, DoesNotDependOnTheOrderOfUrls) {
  const std::vector<Url> urls = Urls("http://10.0.0.1:2380,http://10.0.0.2:2380");
  EXPECT_EQ(ComputeMemberId(urls, "t"), ComputeMemberId({urls[1], urls[0]}, "t"));
  EXPECT_NE(ComputeMemberId(urls, "t"), ComputeMemberId(urls, "u"));
}

TEST(InitialClusterTest, ARepeatedNameIsOneMemberWithSeveralUrls) {
  const auto members = ParseInitialCluster("b=http://10.0.0.2:2,a=http://10.0.0.1:1,b=http://10.0.0.2:1");
  ASSERT_TRUE(members.ok()) << members.status();
  ASSERT_EQ(members->size(), 2u);
  EXPECT_EQ((*members)[0].name, "b");
  EXPECT_THAT((*members)[0].peer_urls,
              ElementsAre(Urls("http://10.0.0.2:1").front(), Urls("http://10.0.0.2:2").front()));
  EXPECT_EQ(FormatInitialCluster(*members), "b=http://10.0.0.2:1,b=http://10.0.0.2:2,a=http://10.0.0.1:1");
}

TEST(InitialClusterTest, RefusesWhatHasNoNameOrNoUrl) {
  EXPECT_FALSE(ParseInitialCluster("http://10.0.0.1:1").ok());
  EXPECT_FALSE(ParseInitialCluster("=http://10.0.0.1:1").ok());
  EXPECT_FALSE(ParseInitialCluster("a=10.0.0.1:1").ok());
}

TEST(ConfigTest, WithoutAnyFlagItIsOneMemberOnTheUsualPorts) {
  Config config;
  ASSERT_TRUE(config.Validate().ok());
  EXPECT_EQ(config.data_dir, "default.keel");
  EXPECT_EQ(config.listen_client_urls, Urls("http://localhost:2379"));
  EXPECT_EQ(config.advertise_client_urls, Urls("http://localhost:2379"));
  EXPECT_EQ(config.listen_peer_urls, Urls("http://localhost:2380"));
  EXPECT_EQ(FormatInitialCluster(config.initial_cluster), "default=http://localhost:2380");
  EXPECT_FALSE(config.initial_cluster_given);
  EXPECT_TRUE(config.ValidateFirstStart().ok());
}

TEST(ConfigTest, RefusalsNameTheFlag) {
  struct Case {
    const char* name;
    std::function<void(Config*)> change;
    const char* want;
  };
  const Case kCases[] = {
      {"no name", [](Config* c) { c->name.clear(); }, "--name"},
      {"listen without advertise", [](Config* c) { c->listen_client_urls = Urls("http://127.0.0.1:1"); },
       "--advertise-client-urls is required when --listen-client-urls is set explicitly"},
      {"listen on a DNS name",
       [](Config* c) {
         c->listen_client_urls = Urls("http://example.com:1");
         c->advertise_client_urls = c->listen_client_urls;
       },
       "expected IP in URL for binding (http://example.com:1)"},
      {"TLS", [](Config* c) { c->listen_peer_urls = Urls("https://127.0.0.1:1"); }, "TLS"},
      {"TLS of others", [](Config* c) { c->initial_cluster = ParseInitialCluster("n=https://10.0.0.1:1").value(); },
       "TLS"},
      {"election too short", [](Config* c) { c->election_ms = 499; },
       "--election-timeout[499ms] should be at least as 5 times as --heartbeat-interval[100ms]"},
      {"election too long", [](Config* c) { c->election_ms = 50001; },
       "--election-timeout[50001ms] is too long, and should be set less than 50000ms"},
      {"no heartbeat", [](Config* c) { c->heartbeat_ms = 0; }, "--heartbeat-interval must be >0 (set to 0ms)"},
      {"no election", [](Config* c) { c->election_ms = -1; }, "--election-timeout must be >0"},
      {"two members at one URL",
       [](Config* c) { c->initial_cluster = ParseInitialCluster("a=http://10.0.0.1:1,b=http://10.0.0.1:1").value(); },
       "has duplicate url http://10.0.0.1:1"},
      {"one URL twice",
       [](Config* c) { c->initial_cluster = ParseInitialCluster("a=http://10.0.0.1:1,a=http://10.0.0.1:1").value(); },
       "has duplicate url"},
      {"no request fits", [](Config* c) { c->max_request_bytes = 0; }, "--max-request-bytes"},
      {"a pair may not fit a reply", [](Config* c) { c->max_reply_bytes = 3000000; },
       "--max-reply-bytes=3000000 must be at least twice --max-request-bytes=1572864"},
      {"one reply may take more than all", [](Config* c) { c->reply_memory_bytes = 100 << 20; },
       "--reply-memory-bytes=104857600 must not be below --max-reply-bytes=134217728"},
      {"retention that is none", [](Config* c) { c->auto_compaction_retention = "often"; },
       "--auto-compaction-retention=often"},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    Config config;
    c.change(&config);
    const absl::Status status = config.Validate();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.want));
  }
}

TEST(ConfigTest, TheLimitsOfTimersAreAllowed) {
  Config config;
  config.heartbeat_ms = 10000;
  config.election_ms = 50000;
  EXPECT_TRUE(config.Validate().ok());
}

TEST(ConfigTest, AFirstStartNeedsThisMemberInItsCluster) {
  Config config;
  config.name = "x";
  config.initial_cluster = ParseInitialCluster("y=http://localhost:2380").value();
  ASSERT_TRUE(config.Validate().ok());
  EXPECT_EQ(config.ValidateFirstStart().message(),
            "couldn't find local name \"x\" in the initial cluster configuration");

  config.name = "y";
  EXPECT_TRUE(config.ValidateFirstStart().ok());
  config.initial_advertise_peer_urls = Urls("http://10.0.0.9:2380");
  EXPECT_THAT(std::string(config.ValidateFirstStart().message()),
              HasSubstr("--initial-cluster has y=http://localhost:2380 but missing from "
                        "--initial-advertise-peer-urls=http://10.0.0.9:2380"));
}

}  // namespace
}  // namespace keel::server
