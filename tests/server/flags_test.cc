#include "tools/keeld/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/keeld/flag_table.h"

namespace keel::keeld {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

server::Config Parsed(const std::vector<std::string>& args, const Environment& environment = {}) {
  auto line = ParseCommandLine(args, environment);
  EXPECT_TRUE(line.ok()) << line.status();
  return line.ok() ? line->config : server::Config{};
}

TEST(FlagsTest, OneOrTwoDashesWithOrWithoutEqualsAreTheSame) {
  for (const std::vector<std::string>& args : std::vector<std::vector<std::string>>{
           {"-name", "n1"}, {"--name", "n1"}, {"-name=n1"}, {"--name=n1"}, {"-name=x", "--name", "n1"}}) {
    EXPECT_EQ(Parsed(args).name, "n1");
  }
}

TEST(FlagsTest, AValueMayLookLikeAFlag) {
  EXPECT_EQ(Parsed({"--quota-backend-bytes", "-1"}).quota_backend_bytes, -1);
  EXPECT_EQ(Parsed({"--name", "--odd"}).name, "--odd");
  EXPECT_EQ(Parsed({"--initial-cluster-token="}).initial_cluster_token, "");
}

TEST(FlagsTest, BooleansTakeNoSeparateWord) {
  const auto line = ParseCommandLine({"--strict-reconfig-check", "false"}, {});
  EXPECT_EQ(line.status().message(), "'false' is not a valid flag");
  EXPECT_TRUE(ParseCommandLine({"--strict-reconfig-check=false"}, {}).ok());
  EXPECT_EQ(ParseCommandLine({"--strict-reconfig-check=maybe"}, {}).status().message(),
            "invalid boolean value \"maybe\" for -strict-reconfig-check: parse error");
}

TEST(FlagsTest, SetsEveryKindOfValue) {
  const server::Config config =
      Parsed({"--heartbeat-interval=50", "--election-timeout=500", "--watch-progress-notify-interval=1h30m",
              "--listen-client-urls=http://10.0.0.1:2,http://10.0.0.1:1", "--initial-cluster-state=existing",
              "--auto-compaction-mode=revision", "--log-level=debug", "--log-format=console",
              "--log-outputs=stdout,/tmp/x", "--max-concurrent-streams=7", "--metrics=extensive"});
  EXPECT_EQ(config.heartbeat_ms, 50);
  EXPECT_EQ(config.election_ms, 500);
  EXPECT_EQ(config.watch_progress_notify_interval, absl::Minutes(90));
  ASSERT_EQ(config.listen_client_urls.size(), 2u);
  EXPECT_EQ(config.listen_client_urls[0].port, 1);
  EXPECT_EQ(config.initial_cluster_state, server::InitialClusterState::kExisting);
  EXPECT_EQ(config.auto_compaction_mode, server::AutoCompactionMode::kRevision);
  EXPECT_EQ(config.log_level, LogLevel::kDebug);
  EXPECT_EQ(config.log_format, LogFormat::kConsole);
  EXPECT_THAT(config.log_outputs, ElementsAre("stdout", "/tmp/x"));
  EXPECT_EQ(config.max_concurrent_streams, 7u);
  EXPECT_EQ(config.metrics, server::MetricsDetail::kExtensive);
}

TEST(FlagsTest, WhatIsNotTheSyntaxOfFlagsIsTold) {
  struct Case {
    std::vector<std::string> args;
    const char* want;
  };
  const Case kCases[] = {
      {{"--no-such-flag"}, "flag provided but not defined: -no-such-flag"},
      {{"-no-such-flag=1", "x"}, "flag provided but not defined: -no-such-flag"},
      {{"--name"}, "flag needs an argument: -name"},
      {{"---name=x"}, "bad flag syntax: ---name=x"},
      {{"--heartbeat-interval=100ms"}, "invalid value \"100ms\" for -heartbeat-interval: parse error"},
      {{"--grpc-keepalive-timeout=20"}, "invalid value \"20\" for -grpc-keepalive-timeout: parse error"},
      {{"--initial-cluster-state=old"}, "invalid value \"old\" for -initial-cluster-state"},
      {{"--max-concurrent-streams=4294967296"}, "value out of range"},
      {{"--max-request-bytes=-1"}, "value out of range"},
      {{"--cors=https://a.example/page"}, "'https://a.example/page' is no origin"},
      {{"--cors=*,a.example"}, "'a.example' is no origin"},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.args.front());
    const auto line = ParseCommandLine(c.args, {});
    EXPECT_EQ(line.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(line.status().message()), HasSubstr(c.want));
  }
}

TEST(FlagsTest, WhatCannotBeDoneIsRefusedRatherThanIgnored) {
  struct Case {
    std::vector<std::string> args;
    const char* want;
  };
  const Case kCases[] = {
      {{"--cert-file=/x"}, "-cert-file=/x is not supported: TLS"},
      {{"--client-cert-auth"}, "-client-cert-auth=true is not supported: TLS"},
      {{"--auth-token=jwt"}, "authentication"},
      {{"--discovery-srv=example.com"}, "discovery"},
      {{"--unsafe-no-fsync"}, "never acknowledges"},
      {{"--enable-grpc-gateway=false"}, "Keel always does this"},
      {{"--config-file=/no/such/file"}, "configuration file /no/such/file: cannot be read"},
      {{"serve"}, "'serve' is not a valid flag"},
      {{"gateway", "start"}, "'gateway' is not available"},
      {{"--listen-client-urls=127.0.0.1:1"}, "127.0.0.1:1"},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.args.front());
    const auto line = ParseCommandLine(c.args, {});
    EXPECT_EQ(line.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(line.status().message()), HasSubstr(c.want));
  }
}

TEST(FlagsTest, ARefusedFlagAtItsDefaultIsFine) {
  const auto line =
      ParseCommandLine({"--client-cert-auth=false", "--auth-token=simple", "--pre-vote", "--cert-file=", "--vv"}, {});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_THAT(line->warnings, IsEmpty());
}

TEST(FlagsTest, WhatHasNoEffectIsSaid) {
  const auto line = ParseCommandLine({"--max-wals=9", "--backend-batch-limit=5"}, {});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_THAT(line->warnings,
              ElementsAre("-max-wals=9 has no effect in Keel", "-backend-batch-limit=5 has no effect in Keel"));
}

TEST(FlagsTest, TheInitialCorruptionCheckHasAGateAndAnOlderFlag) {
  EXPECT_FALSE(Parsed({}).initial_corrupt_check);
  EXPECT_TRUE(Parsed({"--feature-gates=LeaseCheckpoint=false, InitialCorruptCheck=true"}).initial_corrupt_check);
  EXPECT_FALSE(Parsed({"--feature-gates=InitialCorruptCheck=false"}).initial_corrupt_check);
  EXPECT_TRUE(Parsed({"--experimental-initial-corrupt-check"}).initial_corrupt_check);
  EXPECT_THAT(std::string(ParseCommandLine({"--feature-gates=Wings=true"}, {}).status().message()),
              HasSubstr("unrecognized feature gate: Wings"));
  EXPECT_THAT(std::string(ParseCommandLine({"--feature-gates=InitialCorruptCheck=maybe"}, {}).status().message()),
              HasSubstr("InitialCorruptCheck=true"));
}

TEST(FlagsTest, TheSpellingOfOlderReleasesIsUnderstood) {
  EXPECT_EQ(Parsed({"--experimental-watch-progress-notify-interval=5s"}).watch_progress_notify_interval,
            absl::Seconds(5));
  EXPECT_EQ(Parsed({}, {{"ETCD_EXPERIMENTAL_SNAPSHOT_CATCHUP_ENTRIES", "7"}}).snapshot_catchup_entries, 7u);
}

TEST(EnvironmentTest, StandsForAFlagThatIsNotGiven) {
  EXPECT_EQ(Parsed({}, {{"ETCD_NAME", "n1"}, {"ETCD_DATA_DIR", ""}}).name, "n1");
  EXPECT_EQ(ParseCommandLine({}, {{"ETCD_CERT_FILE", "/x"}}).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ParseCommandLine({}, {{"ETCD_ELECTION_TIMEOUT", "x"}}).status().message(),
            "invalid value \"x\" for ETCD_ELECTION_TIMEOUT: parse error");
}

TEST(EnvironmentTest, TheSameSettingTwiceIsAConflictEvenWhenEqual) {
  const auto line = ParseCommandLine({"--name=n1"}, {{"ETCD_NAME", "n1"}});
  EXPECT_EQ(line.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(line.status().message()),
              HasSubstr("conflicting environment variable is shadowed by corresponding command-line flag"));
}

TEST(EnvironmentTest, UnknownVariablesAreOnlyWarnedOf) {
  const auto line = ParseCommandLine({}, {{"ETCD_WHATEVER", "1"}, {"HOME", "/"}, {"ETCD_UNSUPPORTED_ARCH", "arm"}});
  ASSERT_TRUE(line.ok());
  EXPECT_THAT(line->warnings, ElementsAre("unrecognized environment variable: ETCD_WHATEVER=1"));
}

TEST(FlagsTest, HelpAndVersionNeedNothingElse) {
  EXPECT_EQ(ParseCommandLine({"--help"}, {})->action, CommandLine::Action::kHelp);
  EXPECT_EQ(ParseCommandLine({"-h"}, {})->action, CommandLine::Action::kHelp);
  EXPECT_EQ(ParseCommandLine({"--version"}, {})->action, CommandLine::Action::kVersion);
  EXPECT_THAT(VersionText(), HasSubstr("keeld Version: "));
}

TEST(FlagTableTest, TheDefaultsShownAreTheDefaults) {
  // Every honoured flag accepts its own default text, and that changes nothing of a configuration.
  for (const Flag& flag : FlagTable()) {
    if (flag.set == nullptr || flag.default_text.empty()) continue;
    SCOPED_TRACE(flag.name);
    server::Config config;
    EXPECT_TRUE(flag.set(flag.default_text, &config).ok());
    const server::Config untouched;
    EXPECT_EQ(config.name, untouched.name);
    EXPECT_EQ(config.heartbeat_ms, untouched.heartbeat_ms);
    EXPECT_EQ(config.election_ms, untouched.election_ms);
    EXPECT_EQ(config.snapshot_count, untouched.snapshot_count);
    EXPECT_EQ(config.snapshot_catchup_entries, untouched.snapshot_catchup_entries);
    EXPECT_EQ(config.max_txn_ops, untouched.max_txn_ops);
    EXPECT_EQ(config.max_request_bytes, untouched.max_request_bytes);
    EXPECT_EQ(config.max_concurrent_streams, untouched.max_concurrent_streams);
    EXPECT_EQ(config.max_reply_bytes, untouched.max_reply_bytes);
    EXPECT_EQ(config.reply_memory_bytes, untouched.reply_memory_bytes);
    EXPECT_EQ(config.quota_backend_bytes, untouched.quota_backend_bytes);
    EXPECT_EQ(config.initial_cluster_token, untouched.initial_cluster_token);
    EXPECT_EQ(config.watch_progress_notify_interval, untouched.watch_progress_notify_interval);
    EXPECT_EQ(config.grpc_keepalive_min_time, untouched.grpc_keepalive_min_time);
    EXPECT_EQ(config.grpc_keepalive_interval, untouched.grpc_keepalive_interval);
    EXPECT_EQ(config.grpc_keepalive_timeout, untouched.grpc_keepalive_timeout);
    EXPECT_EQ(config.auto_compaction_retention, untouched.auto_compaction_retention);
    EXPECT_EQ(config.auto_compaction_mode, untouched.auto_compaction_mode);
    EXPECT_EQ(config.log_level, untouched.log_level);
    EXPECT_EQ(config.log_format, untouched.log_format);
    EXPECT_EQ(config.log_outputs, untouched.log_outputs);
    EXPECT_EQ(config.metrics, untouched.metrics);
    EXPECT_EQ(config.cors, untouched.cors);
    EXPECT_EQ(config.host_whitelist, untouched.host_whitelist);
  }
}

}  // namespace
}  // namespace keel::keeld
