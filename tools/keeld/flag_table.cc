#include "tools/keeld/flag_table.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "base/string_view.h"

namespace keel::keeld {
namespace {

using server::Config;

absl::Status Bad(std::string_view why) { return absl::InvalidArgumentError(ToAbsl(why)); }

template <std::string Config::*field>
absl::Status SetText(std::string_view text, Config* config) {
  config->*field = std::string(text);
  return absl::OkStatus();
}

template <auto field>
absl::Status SetNumber(std::string_view text, Config* config) {
  using Number = std::remove_reference_t<decltype(config->*field)>;
  int64_t number = 0;
  if (!absl::SimpleAtoi(ToAbsl(text), &number)) return Bad("parse error");
  if (number < 0 && std::is_unsigned_v<Number>) return Bad("value out of range");
  if (number > 0 && static_cast<uint64_t>(number) > static_cast<uint64_t>(std::numeric_limits<Number>::max())) {
    return Bad("value out of range");
  }
  config->*field = static_cast<Number>(number);
  return absl::OkStatus();
}

template <bool Config::*field>
absl::Status SetBool(std::string_view text, Config* config) {
  return absl::SimpleAtob(ToAbsl(text), &(config->*field)) ? absl::OkStatus() : Bad("parse error");
}

template <absl::Duration Config::*field>
absl::Status SetDuration(std::string_view text, Config* config) {
  absl::Duration duration;
  if (!absl::ParseDuration(ToAbsl(text), &duration) || duration == absl::InfiniteDuration() ||
      duration == -absl::InfiniteDuration()) {
    return Bad("parse error");
  }
  config->*field = duration;
  return absl::OkStatus();
}

template <std::vector<Url> Config::*field>
absl::Status SetUrls(std::string_view text, Config* config) {
  auto urls = ParseUrlList(text);
  if (!urls.ok()) return urls.status();
  if (urls->empty()) return Bad("no valid URLs given");
  config->*field = *std::move(urls);
  return absl::OkStatus();
}

template <std::vector<std::string> Config::*field>
absl::Status SetNames(std::string_view text, Config* config) {
  config->*field = absl::StrSplit(ToAbsl(text), ',', absl::SkipEmpty());
  return absl::OkStatus();
}

// A path or a missing scheme would make it match no page at all.
absl::Status SetOrigins(std::string_view text, Config* config) {
  const std::vector<std::string> origins = absl::StrSplit(ToAbsl(text), ',', absl::SkipEmpty());
  for (const std::string& origin : origins) {
    const size_t scheme = origin.find("://");
    const bool is_origin = scheme != std::string::npos && scheme > 0 && scheme + 3 < origin.size() &&
                           origin.find_first_of("/ *?#", scheme + 3) == std::string::npos;
    if (origin != "*" && !is_origin) {
      return Bad(absl::StrCat("'", origin, "' is no origin; write it as https://host or https://host:port"));
    }
  }
  config->cors = origins;
  return absl::OkStatus();
}

absl::Status SetInitialCluster(std::string_view text, Config* config) {
  auto members = server::ParseInitialCluster(text);
  if (!members.ok()) return members.status();
  config->initial_cluster = *std::move(members);
  return absl::OkStatus();
}

absl::Status SetInitialClusterState(std::string_view text, Config* config) {
  if (text == "new") {
    config->initial_cluster_state = server::InitialClusterState::kNew;
  } else if (text == "existing") {
    config->initial_cluster_state = server::InitialClusterState::kExisting;
  } else {
    return Bad("must be one of new, existing");
  }
  return absl::OkStatus();
}

absl::Status SetAutoCompactionMode(std::string_view text, Config* config) {
  if (text == "periodic") {
    config->auto_compaction_mode = server::AutoCompactionMode::kPeriodic;
  } else if (text == "revision") {
    config->auto_compaction_mode = server::AutoCompactionMode::kRevision;
  } else {
    return Bad("must be one of periodic, revision");
  }
  return absl::OkStatus();
}

absl::Status SetMetrics(std::string_view text, Config* config) {
  if (text == "basic") {
    config->metrics = server::MetricsDetail::kBasic;
  } else if (text == "extensive") {
    config->metrics = server::MetricsDetail::kExtensive;
  } else {
    return Bad("must be one of basic, extensive");
  }
  return absl::OkStatus();
}

absl::Status SetFeatureGates(std::string_view text, Config* config) {
  static constexpr std::string_view kGates[] = {"StopGRPCServiceOnDefrag",
                                                "InitialCorruptCheck",
                                                "CompactHashCheck",
                                                "LeaseCheckpoint",
                                                "LeaseCheckpointPersist",
                                                "TxnModeWriteWithSharedBuffer",
                                                "SetMemberLocalAddr",
                                                "FastLeaseKeepAlive",
                                                "AllAlpha",
                                                "AllBeta"};
  for (const absl::string_view gate : absl::StrSplit(ToAbsl(text), ',', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(gate, absl::MaxSplits('=', 1));
    const std::string name(absl::StripAsciiWhitespace(parts.first));
    if (std::find(std::begin(kGates), std::end(kGates), name) == std::end(kGates)) {
      return Bad(absl::StrCat("unrecognized feature gate: ", name));
    }
    bool on = false;
    if (!absl::SimpleAtob(absl::StripAsciiWhitespace(parts.second), &on)) {
      return Bad(
          absl::StrCat("invalid value of ", name, ": '", parts.second, "'; write ", name, "=true or ", name, "=false"));
    }
    if (name == "InitialCorruptCheck") config->initial_corrupt_check = on;
  }
  return absl::OkStatus();
}

absl::Status SetLogLevel(std::string_view text, Config* config) {
  auto level = ParseLogLevel(text);
  if (!level.ok()) return level.status();
  config->log_level = *level;
  return absl::OkStatus();
}

absl::Status SetLogFormat(std::string_view text, Config* config) {
  if (text == "json") {
    config->log_format = LogFormat::kJson;
  } else if (text == "console") {
    config->log_format = LogFormat::kConsole;
  } else {
    return Bad("must be one of json, console");
  }
  return absl::OkStatus();
}

absl::Status SetLogOutputs(std::string_view text, Config* config) {
  const std::vector<std::string> outputs = absl::StrSplit(ToAbsl(text), ',', absl::SkipEmpty());
  if (outputs.empty()) return Bad("names no output");
  for (const std::string& output : outputs) {
    if (output == "systemd/journal") return Bad("systemd/journal is not supported; use stderr, which a unit captures");
    if (output == "default" && outputs.size() > 1) return Bad("default cannot be combined with other outputs");
  }
  config->log_outputs = outputs;
  return absl::OkStatus();
}

absl::Status SetLogger(std::string_view text, Config*) {
  return text == "zap" ? absl::OkStatus() : Bad("must be zap, the only format of log lines");
}

constexpr std::string_view kNoTls = "TLS is not available in this version of Keel";
constexpr std::string_view kNoAuth = "authentication is not available in this version of Keel";
constexpr std::string_view kNoDiscovery = "discovery is not available in Keel; list the members in --initial-cluster";
constexpr std::string_view kNoSplit = "Keel serves HTTP beside gRPC on the client URLs";
constexpr std::string_view kNotYet = "not available in this version of Keel";
constexpr std::string_view kAlwaysOn = "Keel always does this";
constexpr FlagKind kBool = FlagKind::kBool;
constexpr FlagKind kDuration = FlagKind::kDuration;

// Order: as in the help.
constexpr Flag kFlags[] = {
    {.name = "config-file", .help = "YAML file of settings; all other flags and variables are then ignored."},
    // Identity, storage, timing.
    {.name = "name",
     .default_text = "default",
     .help = "Human-readable name of this member.",
     .set = SetText<&Config::name>},
    {.name = "data-dir", .help = "Directory of all data (default: <name>.keel).", .set = SetText<&Config::data_dir>},
    {.name = "heartbeat-interval",
     .default_text = "100",
     .help = "Milliseconds between heartbeats.",
     .set = SetNumber<&Config::heartbeat_ms>},
    {.name = "election-timeout",
     .default_text = "1000",
     .help = "Milliseconds without a leader before an election; at least 5 heartbeats.",
     .set = SetNumber<&Config::election_ms>},
    {.name = "snapshot-count",
     .default_text = "10000",
     .help = "Accepted; Keel decides by the bytes of its log when to make its state durable.",
     .set = SetNumber<&Config::snapshot_count>},
    {.name = "snapshot-catchup-entries",
     .default_text = "5000",
     .help = "Log entries kept for slow followers.",
     .set = SetNumber<&Config::snapshot_catchup_entries>},
    {.name = "quota-backend-bytes",
     .default_text = "0",
     .help = "Bytes of data at which writes are refused; 0: 2 GiB, negative: no limit.",
     .set = SetNumber<&Config::quota_backend_bytes>},
    {.name = "max-txn-ops",
     .default_text = "128",
     .help = "Operations permitted in a transaction.",
     .set = SetNumber<&Config::max_txn_ops>},
    {.name = "max-request-bytes",
     .default_text = "1572864",
     .help = "Largest client request in bytes.",
     .set = SetNumber<&Config::max_request_bytes>},
    {.name = "max-concurrent-streams",
     .default_text = "4294967295",
     .help = "Concurrent streams of one client connection.",
     .set = SetNumber<&Config::max_concurrent_streams>},
    {.name = "max-reply-bytes",
     .default_text = "134217728",
     .help = "Largest reply of a range or of a read-only transaction; larger ones need pages or a stream.",
     .set = SetNumber<&Config::max_reply_bytes>},
    {.name = "reply-memory-bytes",
     .default_text = "268435456",
     .help = "Memory for all replies to reads that are being made and sent; beyond it reads wait.",
     .set = SetNumber<&Config::reply_memory_bytes>},
    // Listening and advertising.
    {.name = "listen-client-urls",
     .default_text = "http://localhost:2379",
     .help = "URLs to listen on for clients.",
     .set = SetUrls<&Config::listen_client_urls>},
    {.name = "advertise-client-urls",
     .default_text = "http://localhost:2379",
     .help = "URLs at which clients reach this member.",
     .set = SetUrls<&Config::advertise_client_urls>},
    {.name = "listen-metrics-urls",
     .help = "Further URLs that serve only /metrics and the health checks.",
     .set = SetUrls<&Config::listen_metrics_urls>},
    {.name = "cors",
     .default_text = "*",
     .help = "Comma-separated origins whose pages may read answers of the HTTP side; *: all.",
     .set = SetOrigins},
    {.name = "host-whitelist",
     .default_text = "*",
     .help = "Comma-separated names under which HTTP requests may ask for this member; *: all.",
     .set = SetNames<&Config::host_whitelist>},
    {.name = "listen-peer-urls",
     .default_text = "http://localhost:2380",
     .help = "URLs to listen on for the other members.",
     .set = SetUrls<&Config::listen_peer_urls>},
    {.name = "initial-advertise-peer-urls",
     .default_text = "http://localhost:2380",
     .help = "URLs at which the other members reach this one.",
     .set = SetUrls<&Config::initial_advertise_peer_urls>},
    {.name = "grpc-keepalive-min-time",
     .kind = kDuration,
     .default_text = "5s",
     .help = "Shortest interval at which clients may ping.",
     .set = SetDuration<&Config::grpc_keepalive_min_time>},
    {.name = "grpc-keepalive-interval",
     .kind = kDuration,
     .default_text = "2h0m0s",
     .help = "Interval of pings to clients.",
     .set = SetDuration<&Config::grpc_keepalive_interval>},
    {.name = "grpc-keepalive-timeout",
     .kind = kDuration,
     .default_text = "20s",
     .help = "Wait for the answer to such a ping.",
     .set = SetDuration<&Config::grpc_keepalive_timeout>},
    // Forming a cluster.
    {.name = "initial-cluster",
     .help = "Members of a new cluster: name=url,name=url,... (default: this member alone).",
     .set = SetInitialCluster},
    {.name = "initial-cluster-state",
     .default_text = "new",
     .help = "'new' or 'existing'; looked at only while there is no data.",
     .set = SetInitialClusterState},
    {.name = "initial-cluster-token",
     .default_text = "etcd-cluster",
     .help = "Mixed into the ids of a new cluster.",
     .set = SetText<&Config::initial_cluster_token>},
    {.name = "strict-reconfig-check",
     .kind = kBool,
     .default_text = "true",
     .help = "Refuse changes of members that would cost the cluster its quorum.",
     .set = SetBool<&Config::strict_reconfig_check>},
    {.name = "max-learners",
     .default_text = "1",
     .help = "Learners the cluster may have.",
     .set = SetNumber<&Config::max_learners>},
    {.name = "force-new-cluster",
     .kind = kBool,
     .default_text = "false",
     .help = "Go on with this member's data as the only member; when the others are lost for good.",
     .set = SetBool<&Config::force_new_cluster>},
    // Compaction, watch.
    {.name = "auto-compaction-mode",
     .default_text = "periodic",
     .help = "'periodic' or 'revision'.",
     .set = SetAutoCompactionMode},
    {.name = "auto-compaction-retention",
     .default_text = "0",
     .help = "History to keep: a duration or hours (periodic), or a number of revisions; 0: off.",
     .set = SetText<&Config::auto_compaction_retention>},
    {.name = "watch-progress-notify-interval",
     .kind = kDuration,
     .default_text = "10m0s",
     .help = "Interval of progress notifications on idle watches.",
     .set = SetDuration<&Config::watch_progress_notify_interval>},
    {.name = "compaction-batch-limit",
     .default_text = "1000",
     .help = "Revisions that one step of the background compaction looks at.",
     .set = SetNumber<&Config::compaction_batch_limit>},
    {.name = "compaction-sleep-interval",
     .kind = kDuration,
     .default_text = "10ms",
     .help = "Pause between two such steps.",
     .set = SetDuration<&Config::compaction_sleep_interval>},
    {.name = "corrupt-check-time",
     .kind = kDuration,
     .default_text = "0s",
     .help = "Interval at which all members read and compare their whole history; 0: never.",
     .set = SetDuration<&Config::corrupt_check_time>},
    {.name = "compact-hash-check-time",
     .kind = kDuration,
     .default_text = "5s",
     .help = "Interval at which the members compare the running hashes of their states; 0: never.",
     .set = SetDuration<&Config::compact_hash_check_time>},
    // Logs and metrics.
    {.name = "log-level",
     .default_text = "info",
     .help = "debug, info, warn, error, panic or fatal.",
     .set = SetLogLevel},
    {.name = "log-format", .default_text = "json", .help = "'json' or 'console'.", .set = SetLogFormat},
    {.name = "log-outputs",
     .default_text = "default",
     .help = "Comma-separated: default (stderr), stderr, stdout, or file paths.",
     .set = SetLogOutputs},
    {.name = "metrics",
     .default_text = "basic",
     .help = "'basic', or 'extensive' to add latency histograms per RPC.",
     .set = SetMetrics},
    {.name = "logger", .default_text = "zap", .set = SetLogger},

    {.name = "feature-gates",
     .help = "InitialCorruptCheck=true: compare the data with the other members' before serving, and do not start when "
             "it differs. Other gates name what is always so here, or does not exist.",
     .set = SetFeatureGates},
    {.name = "experimental-initial-corrupt-check",
     .kind = kBool,
     .default_text = "false",
     .help = "As --feature-gates=InitialCorruptCheck=true.",
     .set = SetBool<&Config::initial_corrupt_check>},

    // Accepted; what they tune does not exist here, or is always so.
    {.name = "max-wals", .default_text = "5"},
    {.name = "max-snapshots", .default_text = "5"},
    {.name = "initial-election-tick-advance", .kind = kBool, .default_text = "true"},
    {.name = "backend-batch-interval", .kind = kDuration, .default_text = "0s"},
    {.name = "backend-batch-limit", .default_text = "0"},
    {.name = "backend-bbolt-freelist-type", .default_text = "map"},
    {.name = "bootstrap-defrag-threshold-megabytes", .default_text = "0"},
    {.name = "raft-read-timeout", .kind = kDuration, .default_text = "5s"},
    {.name = "raft-write-timeout", .kind = kDuration, .default_text = "5s"},
    {.name = "socket-reuse-address", .kind = kBool, .default_text = "false"},
    {.name = "memory-mlock", .kind = kBool, .default_text = "false"},
    {.name = "warning-apply-duration", .kind = kDuration, .default_text = "100ms"},
    {.name = "warning-unary-request-duration", .kind = kDuration, .default_text = "300ms"},
    {.name = "downgrade-check-time", .kind = kDuration, .default_text = "5s"},
    {.name = "enable-pprof", .kind = kBool, .default_text = "false"},
    {.name = "v2-deprecation"},
    {.name = "experimental-compact-hash-check-enabled", .kind = kBool, .default_text = "false"},
    {.name = "experimental-enable-lease-checkpoint", .kind = kBool, .default_text = "true"},
    {.name = "experimental-enable-lease-checkpoint-persist", .kind = kBool, .default_text = "true"},
    {.name = "experimental-txn-mode-write-with-shared-buffer", .kind = kBool, .default_text = "true"},
    {.name = "experimental-stop-grpc-service-on-defrag", .kind = kBool, .default_text = "false"},
    {.name = "auth-token-ttl", .default_text = "300"},
    {.name = "bcrypt-cost", .default_text = "10"},
    {.name = "self-signed-cert-validity", .default_text = "1"},
    {.name = "log-rotation-config-json"},

    // Settings that had lost their meaning before Keel began.
    {.name = "cluster-active-size", .silent = true},
    {.name = "cluster-remove-delay", .silent = true},
    {.name = "cluster-sync-interval", .silent = true},
    {.name = "config", .silent = true},
    {.name = "force", .kind = kBool, .silent = true},
    {.name = "max-result-buffer", .kind = kBool, .silent = true},
    {.name = "max-retry-attempts", .silent = true},
    {.name = "peer-heartbeat-interval", .silent = true},
    {.name = "peer-election-timeout", .silent = true},
    {.name = "retry-interval", .silent = true},
    {.name = "snapshot", .kind = kBool, .silent = true},
    {.name = "v", .kind = kBool, .silent = true},
    {.name = "vv", .kind = kBool, .silent = true},

    // Refused unless they are at their default: ignoring them would be less safe or less than what was asked for.
    {.name = "wal-dir", .refusal = kNotYet},
    {.name = "pre-vote", .kind = kBool, .default_text = "true", .refusal = kAlwaysOn},
    {.name = "enable-grpc-gateway", .kind = kBool, .default_text = "true", .refusal = kAlwaysOn},
    {.name = "unsafe-no-fsync",
     .kind = kBool,
     .default_text = "false",
     .refusal = "Keel never acknowledges what is not on disk"},
    {.name = "listen-client-http-urls", .refusal = kNoSplit},
    {.name = "socket-reuse-port", .kind = kBool, .default_text = "false", .refusal = kNotYet},
    {.name = "discovery-srv", .refusal = kNoDiscovery},
    {.name = "discovery-srv-name", .refusal = kNoDiscovery},
    {.name = "discovery-token", .refusal = kNoDiscovery},
    {.name = "discovery-endpoints", .refusal = kNoDiscovery},
    {.name = "discovery-dial-timeout", .kind = kDuration, .default_text = "2s", .refusal = kNoDiscovery},
    {.name = "discovery-request-timeout", .kind = kDuration, .default_text = "5s", .refusal = kNoDiscovery},
    {.name = "discovery-keepalive-time", .kind = kDuration, .default_text = "2s", .refusal = kNoDiscovery},
    {.name = "discovery-keepalive-timeout", .kind = kDuration, .default_text = "6s", .refusal = kNoDiscovery},
    {.name = "discovery-insecure-transport", .kind = kBool, .default_text = "true", .refusal = kNoDiscovery},
    {.name = "discovery-insecure-skip-tls-verify", .kind = kBool, .default_text = "false", .refusal = kNoDiscovery},
    {.name = "discovery-cert", .refusal = kNoDiscovery},
    {.name = "discovery-key", .refusal = kNoDiscovery},
    {.name = "discovery-cacert", .refusal = kNoDiscovery},
    {.name = "discovery-user", .refusal = kNoDiscovery},
    {.name = "discovery-password", .refusal = kNoDiscovery},
    {.name = "discovery", .refusal = kNoDiscovery},
    {.name = "discovery-proxy", .refusal = kNoDiscovery},
    {.name = "discovery-fallback", .default_text = "exit", .refusal = kNoDiscovery},
    {.name = "cert-file", .refusal = kNoTls},
    {.name = "key-file", .refusal = kNoTls},
    {.name = "client-cert-auth", .kind = kBool, .default_text = "false", .refusal = kNoTls},
    {.name = "trusted-ca-file", .refusal = kNoTls},
    {.name = "client-cert-file", .refusal = kNoTls},
    {.name = "client-key-file", .refusal = kNoTls},
    {.name = "client-crl-file", .refusal = kNoTls},
    {.name = "client-cert-allowed-hostname", .refusal = kNoTls},
    {.name = "auto-tls", .kind = kBool, .default_text = "false", .refusal = kNoTls},
    {.name = "peer-cert-file", .refusal = kNoTls},
    {.name = "peer-key-file", .refusal = kNoTls},
    {.name = "peer-trusted-ca-file", .refusal = kNoTls},
    {.name = "peer-client-cert-auth", .kind = kBool, .default_text = "false", .refusal = kNoTls},
    {.name = "peer-client-cert-file", .refusal = kNoTls},
    {.name = "peer-client-key-file", .refusal = kNoTls},
    {.name = "peer-auto-tls", .kind = kBool, .default_text = "false", .refusal = kNoTls},
    {.name = "peer-crl-file", .refusal = kNoTls},
    {.name = "peer-cert-allowed-cn", .refusal = kNoTls},
    {.name = "peer-cert-allowed-hostname", .refusal = kNoTls},
    {.name = "peer-skip-client-san-verification", .kind = kBool, .default_text = "false", .refusal = kNoTls},
    {.name = "cipher-suites", .refusal = kNoTls},
    {.name = "tls-min-version", .default_text = "TLS1.2", .refusal = kNoTls},
    {.name = "tls-max-version", .refusal = kNoTls},
    {.name = "auth-token", .default_text = "simple", .refusal = kNoAuth},
    {.name = "enable-v2", .kind = kBool, .default_text = "false", .refusal = "Keel serves the v3 protocol only"},
    {.name = "proxy", .default_text = "off", .refusal = "Keel is no proxy"},
    {.name = "enable-log-rotation", .kind = kBool, .default_text = "false", .refusal = kNotYet},
    {.name = "enable-distributed-tracing", .kind = kBool, .default_text = "false", .refusal = kNotYet},
    {.name = "distributed-tracing-address", .default_text = "localhost:4317", .refusal = kNotYet},
    {.name = "distributed-tracing-service-name", .default_text = "etcd", .refusal = kNotYet},
    {.name = "distributed-tracing-instance-id", .refusal = kNotYet},
    {.name = "distributed-tracing-sampling-rate", .default_text = "0", .refusal = kNotYet},
};

}  // namespace

std::span<const Flag> FlagTable() { return kFlags; }

const Flag* FindFlag(std::string_view name) {
  const auto find = [](std::string_view wanted) -> const Flag* {
    const auto found =
        std::find_if(std::begin(kFlags), std::end(kFlags), [&](const Flag& flag) { return flag.name == wanted; });
    return found == std::end(kFlags) ? nullptr : &*found;
  };
  if (const Flag* flag = find(name); flag != nullptr) return flag;
  constexpr std::string_view kOldPrefix = "experimental-";
  return name.substr(0, kOldPrefix.size()) == kOldPrefix ? find(name.substr(kOldPrefix.size())) : nullptr;
}

}  // namespace keel::keeld
