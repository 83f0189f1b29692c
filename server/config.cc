#include "server/config.h"

#include <openssl/evp.h>

#include <algorithm>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "server/auto_compactor.h"

namespace keel::server {
namespace {

constexpr int64_t kElectionMsMax = 50000;
constexpr int64_t kHeartbeatsPerElectionMin = 5;

uint64_t FirstEightBytesOfSha1(const std::string& bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  KEEL_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha1(), nullptr) == 1) << " SHA-1";
  return ReadBigEndian64(reinterpret_cast<const char*>(digest));
}

std::string Joined(const std::vector<Url>& urls) {
  return absl::StrJoin(urls, ",", [](std::string* out, const Url& url) { out->append(url.ToString()); });
}

bool IsIpLiteral(const std::string& host) {
  if (host.find(':') != std::string::npos) return true;  // ParseUrl took it out of brackets.
  const std::vector<absl::string_view> parts = absl::StrSplit(host, '.');
  uint32_t octet = 0;
  return parts.size() == 4 && std::all_of(parts.begin(), parts.end(), [&](absl::string_view part) {
           return absl::SimpleAtoi(part, &octet) && octet <= 255;
         });
}

absl::Status CheckPlaintext(const char* flag, const std::vector<Url>& urls) {
  for (const Url& url : urls) {
    if (url.is_tls()) {
      return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", url.ToString(),
                                                     " asks for TLS, which this version of Keel does not serve yet; "
                                                     "use an http:// or unix:// URL"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckListen(const char* flag, const std::vector<Url>& urls) {
  KEEL_RETURN_IF_ERROR(CheckPlaintext(flag, urls));
  for (const Url& url : urls) {
    if (!url.is_unix() && url.host != "localhost" && !IsIpLiteral(url.host)) {
      return absl::InvalidArgumentError(absl::StrCat("--", flag, ": expected IP in URL for binding (", url.ToString(),
                                                     "); listen on an address of this machine or on 0.0.0.0"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTimers(const Config& config) {
  if (config.heartbeat_ms <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--heartbeat-interval must be >0 (set to ", config.heartbeat_ms, "ms)"));
  }
  if (config.election_ms <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--election-timeout must be >0 (set to ", config.election_ms, "ms)"));
  }
  if (config.election_ms < kHeartbeatsPerElectionMin * config.heartbeat_ms) {
    return absl::InvalidArgumentError(absl::StrCat("--election-timeout[", config.election_ms,
                                                   "ms] should be at least as 5 times as --heartbeat-interval[",
                                                   config.heartbeat_ms, "ms]"));
  }
  if (config.election_ms > kElectionMsMax) {
    return absl::InvalidArgumentError(absl::StrCat("--election-timeout[", config.election_ms,
                                                   "ms] is too long, and should be set less than ", kElectionMsMax,
                                                   "ms"));
  }
  return absl::OkStatus();
}

absl::Status CheckInitialCluster(const Config& config) {
  std::set<std::string> urls;
  std::set<uint64_t> ids;
  for (const InitialMember& member : config.initial_cluster) {
    KEEL_RETURN_IF_ERROR(CheckPlaintext("initial-cluster", member.peer_urls));
    for (const Url& url : member.peer_urls) {
      if (!urls.insert(url.ToString()).second) {
        return absl::InvalidArgumentError(absl::StrCat("initial cluster ", FormatInitialCluster(config.initial_cluster),
                                                       " has duplicate url ", url.ToString()));
      }
    }
    if (!ids.insert(ComputeMemberId(member.peer_urls, config.initial_cluster_token)).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("--initial-cluster: member '", member.name, "' has the identical ID of another member"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckLimits(const Config& config) {
  if (config.max_request_bytes == 0) return absl::InvalidArgumentError("--max-request-bytes must be above 0");
  // One pair must fit, whatever its size.
  if (config.max_reply_bytes / 2 < config.max_request_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("--max-reply-bytes=", config.max_reply_bytes,
                     " must be at least twice --max-request-bytes=", config.max_request_bytes));
  }
  if (config.reply_memory_bytes < config.max_reply_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("--reply-memory-bytes=", config.reply_memory_bytes,
                                                   " must not be below --max-reply-bytes=", config.max_reply_bytes,
                                                   ": it is for all replies together"));
  }
  if (config.max_learners < 0) return absl::InvalidArgumentError("--max-learners is negative");
  if (config.max_txn_ops == 0) return absl::InvalidArgumentError("--max-txn-ops must be above 0");
  if (config.max_concurrent_streams == 0) return absl::InvalidArgumentError("--max-concurrent-streams must be above 0");
  if (config.snapshot_count == 0) return absl::InvalidArgumentError("--snapshot-count must be above 0");
  if (config.compaction_batch_limit <= 0) {
    return absl::InvalidArgumentError("--compaction-batch-limit must be above 0");
  }
  for (const auto& [flag, duration] : {std::pair("compaction-sleep-interval", config.compaction_sleep_interval),
                                       std::pair("corrupt-check-time", config.corrupt_check_time),
                                       std::pair("compact-hash-check-time", config.compact_hash_check_time)}) {
    if (duration < absl::ZeroDuration()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", flag, "=", absl::FormatDuration(duration), " must not be negative"));
    }
  }
  if (config.watch_progress_notify_interval <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("--watch-progress-notify-interval must be above 0");
  }
  for (const auto& [flag, value] : {std::pair("grpc-keepalive-min-time", config.grpc_keepalive_min_time),
                                    std::pair("grpc-keepalive-interval", config.grpc_keepalive_interval),
                                    std::pair("grpc-keepalive-timeout", config.grpc_keepalive_timeout)}) {
    if (value < absl::ZeroDuration()) return absl::InvalidArgumentError(absl::StrCat("--", flag, " is negative"));
  }
  return absl::OkStatus();
}

std::vector<Url> LocalUrl(uint16_t port) { return {Url{.host = "localhost", .port = port}}; }

}  // namespace

absl::Status Config::Validate() {
  if (name.empty()) return absl::InvalidArgumentError("--name is empty; give this member a name");
  if (data_dir.empty()) data_dir = absl::StrCat(name, ".keel");

  if (advertise_client_urls.empty() && !listen_client_urls.empty()) {
    return absl::InvalidArgumentError(
        "--advertise-client-urls is required when --listen-client-urls is set explicitly");
  }
  if (listen_client_urls.empty()) listen_client_urls = LocalUrl(2379);
  if (advertise_client_urls.empty()) advertise_client_urls = LocalUrl(2379);
  if (listen_peer_urls.empty()) listen_peer_urls = LocalUrl(2380);
  if (initial_advertise_peer_urls.empty()) initial_advertise_peer_urls = LocalUrl(2380);
  KEEL_RETURN_IF_ERROR(CheckListen("listen-client-urls", listen_client_urls));
  KEEL_RETURN_IF_ERROR(CheckPlaintext("advertise-client-urls", advertise_client_urls));
  KEEL_RETURN_IF_ERROR(CheckListen("listen-metrics-urls", listen_metrics_urls));
  KEEL_RETURN_IF_ERROR(CheckListen("listen-peer-urls", listen_peer_urls));
  KEEL_RETURN_IF_ERROR(CheckPlaintext("initial-advertise-peer-urls", initial_advertise_peer_urls));

  initial_cluster_given = initial_cluster_given || !initial_cluster.empty();
  if (initial_cluster.empty()) initial_cluster = {{.name = name, .peer_urls = initial_advertise_peer_urls}};
  for (InitialMember& member : initial_cluster) {
    std::sort(member.peer_urls.begin(), member.peer_urls.end(),
              [](const Url& a, const Url& b) { return a.ToString() < b.ToString(); });
  }
  KEEL_RETURN_IF_ERROR(CheckInitialCluster(*this));
  KEEL_RETURN_IF_ERROR(CheckTimers(*this));
  KEEL_RETURN_IF_ERROR(CheckLimits(*this));
  if (const auto retention = ParseRetention(auto_compaction_mode, auto_compaction_retention); !retention.ok()) {
    return retention.status();
  }
  return absl::OkStatus();
}

absl::Status Config::ValidateFirstStart() const {
  const auto self = std::find_if(initial_cluster.begin(), initial_cluster.end(),
                                 [this](const InitialMember& member) { return member.name == name; });
  if (self == initial_cluster.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("couldn't find local name \"", name, "\" in the initial cluster configuration"));
  }
  if (self->peer_urls != initial_advertise_peer_urls) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--initial-cluster has ", FormatInitialCluster({*self}), " but missing from --initial-advertise-peer-urls=",
        Joined(initial_advertise_peer_urls), " (both must name the same URLs for this member)"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<InitialMember>> ParseInitialCluster(std::string_view text) {
  std::vector<InitialMember> members;
  for (absl::string_view part : absl::StrSplit(ToAbsl(text), ',', absl::SkipEmpty())) {
    const std::vector<absl::string_view> name_url = absl::StrSplit(part, absl::MaxSplits('=', 1));
    if (name_url.size() != 2 || name_url[0].empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--initial-cluster: '", part, "' is not of the form name=http://host:port"));
    }
    absl::StatusOr<Url> url = ParseUrl(ToStd(name_url[1]));
    if (!url.ok()) return absl::InvalidArgumentError(absl::StrCat("--initial-cluster: ", url.status().message()));
    auto member = std::find_if(members.begin(), members.end(),
                               [&](const InitialMember& m) { return ToAbsl(m.name) == name_url[0]; });
    if (member == members.end()) member = members.insert(members.end(), {.name = std::string(name_url[0])});
    member->peer_urls.push_back(*std::move(url));
  }
  for (InitialMember& member : members) {
    std::sort(member.peer_urls.begin(), member.peer_urls.end(),
              [](const Url& a, const Url& b) { return a.ToString() < b.ToString(); });
  }
  return members;
}

std::string FormatInitialCluster(const std::vector<InitialMember>& members) {
  std::vector<std::string> parts;
  for (const InitialMember& member : members) {
    for (const Url& url : member.peer_urls) parts.push_back(absl::StrCat(member.name, "=", url.ToString()));
  }
  return absl::StrJoin(parts, ",");
}

uint64_t ComputeMemberId(const std::vector<Url>& peer_urls, std::string_view token) {
  std::vector<std::string> texts;
  for (const Url& url : peer_urls) texts.push_back(url.ToString());
  std::sort(texts.begin(), texts.end());
  return FirstEightBytesOfSha1(absl::StrCat(absl::StrJoin(texts, ""), ToAbsl(token)));
}

uint64_t ComputeClusterId(std::vector<uint64_t> member_ids) {
  std::sort(member_ids.begin(), member_ids.end());
  std::string bytes;
  for (const uint64_t id : member_ids) AppendBigEndian64(id, &bytes);
  return FirstEightBytesOfSha1(bytes);
}

}  // namespace keel::server
