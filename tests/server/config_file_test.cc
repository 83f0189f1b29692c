#include "tools/keeld/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tools/keeld/flags.h"

namespace keel::keeld {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(ConfigFileTest, KeysAreFlagNames) {
  const auto settings = ParseConfigFile(
      "# A member.\n"
      "name: n1\n"
      "heartbeat-interval: 50\n"
      "log-outputs: [stderr, /tmp/x]\n"
      "strict-reconfig-check: true\n"
      "data-dir:\n"
      "no-such-setting: 1\n"
      "grpc-keepalive-timeout: 5000000000\n");
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_THAT(*settings,
              ElementsAre(Pair("name", "n1"), Pair("heartbeat-interval", "50"), Pair("log-outputs", "stderr,/tmp/x"),
                          Pair("strict-reconfig-check", "true"), Pair("grpc-keepalive-timeout", "5000000000ns")));
}

TEST(ConfigFileTest, BlocksStandForTheirFlags) {
  const auto settings = ParseConfigFile(
      "client-transport-security: {cert-file: /c, allowed-hostname: [a, b]}\n"
      "peer-transport-security:\n"
      "  cert-file: /p\n"
      "  allowed-cn: x\n"
      "socket-options: {reuse-port: true}\n");
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_THAT(*settings, ElementsAre(Pair("cert-file", "/c"), Pair("client-cert-allowed-hostname", "a,b"),
                                     Pair("peer-cert-file", "/p"), Pair("peer-cert-allowed-cn", "x"),
                                     Pair("socket-reuse-port", "true")));
}

TEST(ConfigFileTest, WhatIsNotUnderstoodIsNamed) {
  EXPECT_THAT(std::string(ParseConfigFile("grpc-keepalive-timeout: 5s").status().message()),
              HasSubstr("grpc-keepalive-timeout: '5s' is not a whole number of nanoseconds"));
  EXPECT_THAT(std::string(ParseConfigFile("name: [unclosed").status().message()), HasSubstr("line"));
  EXPECT_FALSE(ParseConfigFile("just words").ok());
  EXPECT_FALSE(ParseConfigFile("name: {a: b}").ok());
  EXPECT_THAT(*ParseConfigFile(""), IsEmpty());
}

TEST(ConfigFileTest, ReplacesFlagsAndEnvironment) {
  const std::string path = absl::StrCat(::testing::TempDir(), "keel-config-", getpid(), ".yaml");
  std::ofstream(path) << "name: filed\nelection-timeout: 2000\n";
  for (const bool by_flag : {true, false}) {
    const auto line = by_flag ? ParseCommandLine({"--config-file", path, "--name=flagged"}, {{"ETCD_NAME", "x"}})
                              : ParseCommandLine({"--name=flagged"}, {{"ETCD_CONFIG_FILE", path}});
    ASSERT_TRUE(line.ok()) << line.status();
    EXPECT_EQ(line->config.name, "filed");
    EXPECT_EQ(line->config.election_ms, 2000);
  }
  std::ofstream(path) << "cert-file: /x\n";
  EXPECT_EQ(ParseCommandLine({"--config-file", path}, {}).status().code(), absl::StatusCode::kFailedPrecondition);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace keel::keeld
