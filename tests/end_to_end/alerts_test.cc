// The alerts and dashboards that are shipped for such clusters (operations.md sections 3.6 and 3.7) find their series
// on every member of a real cluster.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <regex>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "tests/end_to_end/fixture.h"

namespace keel::test {
namespace {

struct Series {
  std::string name;
  std::map<std::string, std::string> labels;
  double value = 0;
};

// Prometheus text format; no label of ours holds a comma, a quote or a brace.
std::vector<Series> Parse(const std::string& text) {
  std::vector<Series> all;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    if (line[0] == '#') continue;
    const size_t space = line.rfind(' ');
    absl::string_view head = line.substr(0, space);
    Series series;
    if (!absl::SimpleAtod(line.substr(space + 1), &series.value)) continue;  // NaN
    const size_t brace = head.find('{');
    series.name = std::string(head.substr(0, brace));
    if (brace != absl::string_view::npos) {
      for (absl::string_view pair : absl::StrSplit(head.substr(brace + 1, head.size() - brace - 2), ',')) {
        const std::pair<absl::string_view, absl::string_view> split = absl::StrSplit(pair, absl::MaxSplits('=', 1));
        absl::string_view value = split.second;
        absl::ConsumePrefix(&value, "\"");
        absl::ConsumeSuffix(&value, "\"");
        series.labels[std::string(split.first)] = std::string(value);
      }
    }
    all.push_back(std::move(series));
  }
  return all;
}

// One selector of an expression: the name, and what its labels must match, as a whole ("=~") or not ("!~").
struct Selector {
  std::string used_by;
  std::string name;
  std::vector<std::pair<std::string, std::string>> matching = {};
  std::vector<std::pair<std::string, std::string>> not_matching = {};
};

constexpr char kFailures[] =
    "Unknown|FailedPrecondition|ResourceExhausted|Internal|Unavailable|DataLoss|DeadlineExceeded";

std::vector<Selector> Selectors() {
  return {
      {"etcdMembersDown", "etcd_network_peer_sent_failures_total", {{"To", ".+"}}},
      {"etcdNoLeader", "etcd_server_has_leader"},
      {"etcdHighNumberOfLeaderChanges", "etcd_server_leader_changes_seen_total"},
      {"etcdHighNumberOfFailedGRPCRequests", "grpc_server_handled_total", {{"grpc_code", kFailures}}},
      {"etcdHighNumberOfFailedGRPCRequests, over all", "grpc_server_handled_total"},
      {"etcdGRPCRequestsSlow",
       "grpc_server_handling_seconds_bucket",
       {{"grpc_type", "unary"}, {"le", "0\\.25"}},
       {{"grpc_method", "Defragment"}}},
      {"etcdMemberCommunicationSlow", "etcd_network_peer_round_trip_time_seconds_bucket", {{"To", ".+"}, {"le", ".+"}}},
      {"etcdHighNumberOfFailedProposals", "etcd_server_proposals_failed_total"},
      {"etcdHighFsyncDurations", "etcd_disk_wal_fsync_duration_seconds_bucket", {{"le", "0\\.512"}}},
      {"etcdHighCommitDurations", "etcd_disk_backend_commit_duration_seconds_bucket", {{"le", "0\\.256"}}},
      {"etcdDatabaseQuotaLowSpace", "etcd_mvcc_db_total_size_in_bytes"},
      {"etcdDatabaseQuotaLowSpace", "etcd_server_quota_backend_bytes"},
      {"etcdDatabaseHighFragmentationRatio", "etcd_mvcc_db_total_size_in_use_in_bytes"},
      {"RPC rate", "grpc_server_started_total", {{"grpc_type", "unary"}}},
      {"RPC failed rate", "grpc_server_handled_total", {{"grpc_type", "unary"}, {"grpc_code", kFailures}}},
      {"Active streams",
       "grpc_server_started_total",
       {{"grpc_service", "etcdserverpb\\.Watch"}, {"grpc_type", "bidi_stream"}}},
      {"Active streams",
       "grpc_server_handled_total",
       {{"grpc_service", "etcdserverpb\\.Watch"}, {"grpc_type", "bidi_stream"}}},
      {"Active streams",
       "grpc_server_started_total",
       {{"grpc_service", "etcdserverpb\\.Lease"}, {"grpc_type", "bidi_stream"}}},
      {"Active streams",
       "grpc_server_handled_total",
       {{"grpc_service", "etcdserverpb\\.Lease"}, {"grpc_type", "bidi_stream"}}},
      {"Memory", "process_resident_memory_bytes"},
      {"Client traffic in", "etcd_network_client_grpc_received_bytes_total"},
      {"Client traffic out", "etcd_network_client_grpc_sent_bytes_total"},
      {"Peer traffic in", "etcd_network_peer_received_bytes_total", {{"From", ".+"}}},
      {"Peer traffic out", "etcd_network_peer_sent_bytes_total", {{"To", ".+"}}},
      {"Raft proposals", "etcd_server_proposals_pending"},
      {"Raft proposals", "etcd_server_proposals_committed_total"},
      {"Raft proposals", "etcd_server_proposals_applied_total"},
      {"Snapshot save duration", "etcd_debugging_snap_save_total_duration_seconds_bucket"},
      {"old dashboards", "etcd_debugging_mvcc_db_total_size_in_bytes"},
  };
}

// Every metric of the contract (operations.md sections 3.1 to 3.5) that a member shows before anything has happened.
const char* const kFromTheStart[] = {
    "grpc_server_started_total",
    "grpc_server_handled_total",
    "grpc_server_msg_received_total",
    "grpc_server_msg_sent_total",
    "grpc_server_handling_seconds_count",
    "etcd_server_has_leader",
    "etcd_server_is_leader",
    "etcd_server_is_learner",
    "etcd_server_leader_changes_seen_total",
    "etcd_server_id",
    "etcd_server_version",
    "etcd_cluster_version",
    "etcd_server_go_version",
    "etcd_server_feature_enabled",
    "etcd_server_proposals_committed_total",
    "etcd_server_proposals_applied_total",
    "etcd_server_proposals_pending",
    "etcd_server_proposals_failed_total",
    "etcd_server_heartbeat_send_failures_total",
    "etcd_server_slow_apply_total",
    "etcd_server_slow_read_indexes_total",
    "etcd_server_read_indexes_failed_total",
    "etcd_server_snapshot_apply_in_progress_total",
    "etcd_server_quota_backend_bytes",
    "etcd_server_apply_duration_seconds_count",
    "etcd_server_range_duration_seconds_count",
    "etcd_server_request_duration_seconds_count",
    "etcd_server_client_requests_total",
    "etcd_server_learner_promote_successes",
    "etcd_debugging_server_lease_expired_total",
    "etcd_server_health_success",
    "etcd_server_health_failures",
    "etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds_count",
    "etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds_count",
    "etcd_debugging_server_watch_send_loop_control_stream_duration_seconds_count",
    "etcd_debugging_server_watch_send_loop_progress_duration_seconds_count",
    "etcd_debugging_auth_revision",
    "etcd_disk_wal_fsync_duration_seconds_count",
    "etcd_disk_wal_write_duration_seconds_count",
    "etcd_disk_backend_commit_duration_seconds_count",
    "etcd_debugging_disk_backend_commit_rebalance_duration_seconds_count",
    "etcd_debugging_disk_backend_commit_spill_duration_seconds_count",
    "etcd_debugging_disk_backend_commit_write_duration_seconds_count",
    "etcd_disk_wal_write_bytes_total",
    "etcd_disk_backend_defrag_duration_seconds_count",
    "etcd_disk_backend_snapshot_duration_seconds_count",
    "etcd_disk_defrag_inflight",
    "etcd_mvcc_db_total_size_in_bytes",
    "etcd_mvcc_db_total_size_in_use_in_bytes",
    "etcd_mvcc_db_open_read_transactions",
    "etcd_mvcc_range_total",
    "etcd_mvcc_put_total",
    "etcd_mvcc_delete_total",
    "etcd_mvcc_txn_total",
    "etcd_mvcc_hash_duration_seconds_count",
    "etcd_mvcc_hash_rev_duration_seconds_count",
    "etcd_debugging_mvcc_keys_total",
    "etcd_debugging_mvcc_current_revision",
    "etcd_debugging_mvcc_compact_revision",
    "etcd_debugging_mvcc_pending_events_total",
    "etcd_debugging_mvcc_total_put_size_in_bytes",
    "etcd_debugging_mvcc_watch_stream_total",
    "etcd_debugging_mvcc_watcher_total",
    "etcd_debugging_mvcc_slow_watcher_total",
    "etcd_debugging_mvcc_events_total",
    "etcd_debugging_mvcc_db_compaction_keys_total",
    "etcd_debugging_mvcc_db_compaction_last",
    "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds_count",
    "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds_count",
    "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds_count",
    "etcd_debugging_mvcc_range_total",
    "etcd_debugging_mvcc_db_total_size_in_bytes",
    "etcd_debugging_mvcc_put_total",
    "etcd_debugging_mvcc_delete_total",
    "etcd_debugging_mvcc_txn_total",
    "etcd_debugging_lease_granted_total",
    "etcd_debugging_lease_revoked_total",
    "etcd_debugging_lease_renewed_total",
    "etcd_debugging_lease_ttl_total_count",
    "etcd_snap_fsync_duration_seconds_count",
    "etcd_snap_db_fsync_duration_seconds_count",
    "etcd_snap_db_save_total_duration_seconds_count",
    "etcd_debugging_snap_save_total_duration_seconds_count",
    "etcd_debugging_snap_save_marshalling_duration_seconds_count",
    "etcd_debugging_store_expires_total",
    "etcd_debugging_store_watch_requests_total",
    "etcd_debugging_store_watchers",
    "etcd_network_client_grpc_received_bytes_total",
    "etcd_network_client_grpc_sent_bytes_total",
    "etcd_network_peer_received_bytes_total",
    "etcd_network_peer_sent_bytes_total",
    "etcd_network_peer_sent_failures_total",
    "etcd_network_peer_received_failures_total",
    "etcd_network_peer_round_trip_time_seconds_count",
    "etcd_network_active_peers",
    "etcd_network_known_peers",
    "etcd_network_disconnected_peers_total",
    "etcd_grpc_proxy_cache_hits_total",
    "etcd_grpc_proxy_cache_misses_total",
    "etcd_grpc_proxy_cache_keys_total",
    "etcd_grpc_proxy_watchers_coalescing_total",
    "etcd_grpc_proxy_events_coalescing_total",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_virtual_memory_max_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
    "os_fd_used",
    "os_fd_limit",
    "promhttp_metric_handler_requests_in_flight",
    "process_cpu_seconds_total",
    "process_network_receive_bytes_total",
    "process_network_transmit_bytes_total",
    "promhttp_metric_handler_requests_total",
};

bool Matches(const Selector& selector, const Series& series) {
  if (series.name != selector.name) return false;
  const auto matches = [&](const std::pair<std::string, std::string>& matcher) {
    const auto found = series.labels.find(matcher.first);
    return std::regex_match(found == series.labels.end() ? "" : found->second, std::regex(matcher.second));
  };
  for (const auto& matcher : selector.matching) {
    if (!matches(matcher)) return false;
  }
  for (const auto& matcher : selector.not_matching) {
    if (matches(matcher)) return false;
  }
  return true;
}

class AlertsTest : public ClusterTest {
 protected:
  std::vector<Series> Scrape(int member) { return Parse(HttpGet(member, "/metrics").second); }
  // JSON to the gateway of a member; the status and the body of the answer.
  std::pair<int, std::string> Post(int member, const std::string& path, const std::string& body,
                                   const std::string& seconds_max = "30");

  // The sum of a metric over its labels.
  double Sum(int member, const std::string& name) {
    double sum = 0;
    for (const Series& series : Scrape(member)) {
      if (series.name == name) sum += series.value;
    }
    return sum;
  }
};

TEST_F(AlertsTest, EveryExpressionFindsItsSeriesFromTheStart) {
  StartCluster(3, {"--metrics=extensive"});
  for (int member = 0; member < 3; ++member) {
    const std::vector<Series> all = Scrape(member);
    ASSERT_FALSE(all.empty());
    for (const Selector& selector : Selectors()) {
      int found = 0;
      for (const Series& series : all) found += Matches(selector, series);
      EXPECT_GT(found, 0) << selector.used_by << " looks for " << selector.name << " on member " << member;
    }
    for (const char* name : kFromTheStart) {
      const bool found = std::any_of(all.begin(), all.end(), [name](const Series& s) { return s.name == name; });
      EXPECT_TRUE(found) << name << " on member " << member;
    }
  }
}

std::pair<int, std::string> AlertsTest::Post(int member, const std::string& path, const std::string& body,
                                             const std::string& seconds_max) {
  const auto result =
      tools::RunCommand({.argv = {"curl", "-sN", "-m", seconds_max, "-w", "\n%{http_code}", "-X", "POST",
                                  absl::StrCat("http://", cluster_->endpoint(member), path), "-d", body}});
  if (!result.ok()) return {0, result.status().ToString()};
  const size_t end = result->out.rfind('\n');
  int status = 0;
  if (end == std::string::npos || !absl::SimpleAtoi(result->out.substr(end + 1), &status)) return {0, ""};
  return {status, result->out.substr(0, end)};
}

TEST_F(AlertsTest, WhatTheLeaderDoesIsCountedThereWhoeverWasAskedForIt) {
  StartCluster(3);
  const int leader = Leader();
  const int follower = (leader + 1) % 3;
  EXPECT_EQ(Post(follower, "/v3/lease/grant", R"({"ID":"7","TTL":60})").first, 200);
  EXPECT_EQ(Post(follower, "/v3/lease/keepalive", R"({"ID":"7"})").first, 200);
  EXPECT_EQ(Sum(leader, "etcd_debugging_lease_renewed_total"), 1);
  EXPECT_EQ(Sum(follower, "etcd_debugging_lease_renewed_total"), 0);
  EXPECT_NE(Post(follower, "/v3/cluster/member/promote", R"({"ID":"7"})").first, 200);
  EXPECT_EQ(Sum(leader, "etcd_server_learner_promote_failures"), 1);
  EXPECT_EQ(Sum(follower, "etcd_server_learner_promote_failures"), 0);
}

TEST_F(AlertsTest, WhatTheyWatchMovesWithTheWork) {
  StartCluster(3, {"--metrics=extensive", "--heartbeat-interval=50", "--election-timeout=500"});
  const int member = 0;
  const std::vector<std::string> moving = {
      "etcd_disk_backend_commit_duration_seconds_count",
      "etcd_network_client_grpc_received_bytes_total",
      "etcd_network_client_grpc_sent_bytes_total",
      "etcd_mvcc_put_total",
      "etcd_mvcc_delete_total",
      "etcd_mvcc_txn_total",
      "etcd_mvcc_range_total",
      "etcd_debugging_mvcc_put_total",
      "etcd_debugging_mvcc_total_put_size_in_bytes",
      "etcd_debugging_mvcc_db_compaction_last",
      "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds_count",
      "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds_count",
      "etcd_disk_backend_defrag_duration_seconds_count",
      "etcd_disk_backend_snapshot_duration_seconds_count",
      "etcd_mvcc_hash_duration_seconds_count",
      "etcd_mvcc_hash_rev_duration_seconds_count",
      "etcd_server_request_duration_seconds_count",
      "etcd_debugging_server_lease_expired_total",
      "promhttp_metric_handler_requests_total",
      "etcd_server_apply_duration_seconds_count",
      "etcd_debugging_lease_granted_total",
      "etcd_debugging_lease_revoked_total",
      "grpc_server_msg_received_total",
      "grpc_server_msg_sent_total",
      "etcd_disk_wal_write_duration_seconds_count",
      "etcd_server_range_duration_seconds_count",
      "etcd_server_client_requests_total",
      "etcd_server_healthchecks_total",
      "etcd_debugging_lease_ttl_total_sum",
      "etcd_debugging_mvcc_db_compaction_keys_total",
      "etcd_debugging_server_watch_send_loop_control_stream_duration_seconds_count",
      "etcd_debugging_mvcc_events_total",
      "process_network_receive_bytes_total",
      "process_network_transmit_bytes_total"};
  std::map<std::string, double> before;
  for (const std::string& name : moving) before[name] = Sum(member, name);
  const auto post = [&](const std::string& path, const std::string& body) {
    EXPECT_EQ(Post(member, path, body).first, 200) << path;
  };
  post("/v3/kv/put", R"({"key":"YQ==","value":"MQ=="})");
  post("/v3/kv/range", R"({"key":"YQ=="})");
  post("/v3/kv/txn", R"({"success":[{"request_put":{"key":"Yg=="}},{"request_delete_range":{"key":"YQ=="}}]})");
  post("/v3/lease/grant", R"({"ID":"7","TTL":60})");
  post("/v3/lease/revoke", R"({"ID":"7"})");
  post("/v3/lease/grant", R"({"ID":"8","TTL":1})");
  post("/v3/kv/compaction", R"({"revision":"3","physical":true})");
  post("/v3/maintenance/defragment", "{}");
  post("/v3/maintenance/hash", "{}");
  post("/v3/maintenance/hashkv", "{}");
  post("/v3/maintenance/snapshot", "{}");
  HttpGet(member, "/readyz");
  Post(member, "/v3/watch", R"({"create_request":{"key":"Yg==","start_revision":"3"}})", "1");
  EXPECT_EQ(Sum(member, "etcd_disk_defrag_inflight"), 0);
  const absl::Time expired = absl::Now() + absl::Seconds(60);
  while (Sum(member, "etcd_debugging_server_lease_expired_total") == 0 && absl::Now() < expired) {
    absl::SleepFor(absl::Milliseconds(50));
  }
  for (const std::string& name : moving) EXPECT_GT(Sum(member, name), before[name]) << name;
  EXPECT_EQ(Sum(member, "etcd_mvcc_put_total") - before["etcd_mvcc_put_total"], 2);
  EXPECT_EQ(Sum(member, "etcd_debugging_lease_ttl_total_sum") - before["etcd_debugging_lease_ttl_total_sum"], 60 + 1);
  EXPECT_EQ(Sum(member, "etcd_mvcc_delete_total") - before["etcd_mvcc_delete_total"], 1);
  EXPECT_EQ(Sum(member, "etcd_mvcc_txn_total") - before["etcd_mvcc_txn_total"], 1);
  // Peers are asked every few seconds.
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (Sum(member, "etcd_network_peer_round_trip_time_seconds_count") < 2 && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(100));
  }
  EXPECT_GE(Sum(member, "etcd_network_peer_round_trip_time_seconds_count"), 2);
}

}  // namespace
}  // namespace keel::test
