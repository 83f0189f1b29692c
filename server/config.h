#pragma once

// A member's configuration: etcd's flags under etcd's names (operations.md section 1), checked as a whole.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/log.h"
#include "base/url.h"
#include "server/metrics.h"

namespace keel::server {

struct InitialMember {
  std::string name;
  std::vector<Url> peer_urls;  // Sorted.
};

enum class InitialClusterState { kNew, kExisting };
enum class AutoCompactionMode { kPeriodic, kRevision };

struct Config {
  std::string name = "default";
  std::string data_dir;  // Empty: "<name>.keel".
  std::vector<Url> listen_client_urls;
  std::vector<Url> advertise_client_urls;
  std::vector<Url> listen_metrics_urls;  // Beside the client URLs; for probes and scrapers.
  // See HttpAccess.
  std::vector<std::string> cors = {"*"};
  std::vector<std::string> host_whitelist = {"*"};
  std::vector<Url> listen_peer_urls;
  std::vector<Url> initial_advertise_peer_urls;
  std::vector<InitialMember> initial_cluster;
  // The operator named the cluster, as opposed to the default of this member alone. Set by Validate().
  bool initial_cluster_given = false;
  InitialClusterState initial_cluster_state = InitialClusterState::kNew;
  std::string initial_cluster_token = "etcd-cluster";
  bool strict_reconfig_check = true;
  int max_learners = 1;
  bool force_new_cluster = false;  // Of the members in the data only this one is left.

  int64_t heartbeat_ms = 100;
  int64_t election_ms = 1000;
  uint64_t snapshot_count = 10000;
  uint64_t snapshot_catchup_entries = 5000;
  uint64_t log_segment_bytes = 64u << 20;  // Of the Raft log's files. Has no flag: smaller only where disks are tiny.
  size_t max_request_bytes = 1572864;
  size_t max_txn_ops = 128;
  uint32_t max_concurrent_streams = 4294967295u;
  size_t max_reply_bytes = 128u << 20;     // Of one Range or read-only Txn.
  size_t reply_memory_bytes = 256u << 20;  // Of all replies to reads that are being made and sent.
  int64_t quota_backend_bytes = 0;
  AutoCompactionMode auto_compaction_mode = AutoCompactionMode::kPeriodic;
  std::string auto_compaction_retention = "0";
  int64_t compaction_batch_limit = 1000;
  absl::Duration compaction_sleep_interval = absl::Milliseconds(10);
  absl::Duration corrupt_check_time = absl::ZeroDuration();
  bool initial_corrupt_check = false;  // Compare with the other members before serving.
  absl::Duration compact_hash_check_time = absl::Seconds(5);
  absl::Duration watch_progress_notify_interval = absl::Minutes(10);
  absl::Duration grpc_keepalive_min_time = absl::Seconds(5);
  absl::Duration grpc_keepalive_interval = absl::Hours(2);
  absl::Duration grpc_keepalive_timeout = absl::Seconds(20);

  MetricsDetail metrics = MetricsDetail::kBasic;
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kJson;
  std::vector<std::string> log_outputs = {"default"};

  // kInvalidArgument says which flag, which value and what to do. Fills what was left empty: data_dir, the URLs
  // (localhost:2379 and 2380) and initial_cluster (this member alone). Call it once; nothing on disk or network is
  // touched.
  absl::Status Validate();
  // What only a first start needs: initial_cluster names this member, at the URLs it advertises. A member that has data
  // knows its cluster from there and these flags are not looked at any more.
  // REQUIRES: Validate() was OK.
  absl::Status ValidateFirstStart() const;
};

// "n1=http://a:2380,n1=http://b:2380,n2=...": members in the order they first appear.
absl::StatusOr<std::vector<InitialMember>> ParseInitialCluster(std::string_view text);
std::string FormatInitialCluster(const std::vector<InitialMember>& members);

// First eight bytes, big-endian, of SHA-1 over sorted peer URLs and token (operations.md section 1.8).
uint64_t ComputeMemberId(const std::vector<Url>& peer_urls, std::string_view token);
// The same over the sorted member ids.
uint64_t ComputeClusterId(std::vector<uint64_t> member_ids);

}  // namespace keel::server
