#include "server/metrics.h"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <map>
#include <sstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/string_view.h"
#include "base/version.h"
#include "server/apply/apply_observer.h"
#include "server/member.h"
#include "server/metrics/client_requests.h"
#include "server/metrics/peer_metrics.h"
#include "server/metrics/process_facts.h"
#include "server/metrics/registry.h"
#include "server/metrics/rpc_metrics.h"
#include "server/metrics/two_names.h"
#include "server/metrics/unmoved.h"
#include "server/peer/peer_network.h"

namespace keel::server {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;

constexpr double kSlowApplySeconds = 0.1;
constexpr absl::Duration kSlowReadIndex = absl::Milliseconds(500);
constexpr int64_t kDefaultQuotaBytes = int64_t{2} << 30;

double NowSeconds() { return absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()); }

// Lock order: mu_ only; recording takes no lock.
class MetricsImpl final : public Metrics {
 public:
  explicit MetricsImpl(MetricsDetail detail) : rpcs_(&registry_, detail, &ranges_) {
    log_sync_ = &registry_.AddHistogram("etcd_disk_wal_fsync_duration_seconds", "Seconds that a sync of the log took.",
                                        Exponential(0.001, 14));
    log_write_ = &registry_.AddHistogram("etcd_disk_wal_write_duration_seconds",
                                         "Seconds that a write to the log took.", Exponential(0.001, 14));
    log_written_ = &registry_.AddGauge("etcd_disk_wal_write_bytes_total", "Bytes written to the log.");
    commit_seconds_ = &registry_.AddHistogram("etcd_disk_backend_commit_duration_seconds",
                                              "Seconds that writing a group of applied entries to the state took.",
                                              Exponential(0.001, 14));
    commit_write_ = &registry_.AddHistogram("etcd_debugging_disk_backend_commit_write_duration_seconds",
                                            "The same: a group is written, and nothing else.", Exponential(0.001, 14));
    snap_sync_ = &registry_.AddHistogram("etcd_snap_fsync_duration_seconds",
                                         "Seconds that making the state durable took.", Exponential(0.001, 14));
    save_seconds_ = &registry_.AddHistogram("etcd_debugging_snap_save_total_duration_seconds",
                                            "Seconds that making the state durable took.", Exponential(0.001, 14));
    AddOperationCounters();
    AddCompactionTimes();
    leases_granted_ = &registry_.AddCounter("etcd_debugging_lease_granted_total", "Leases granted.");
    leases_revoked_ = &registry_.AddCounter("etcd_debugging_lease_revoked_total", "Leases revoked or expired.");
    leases_expired_ = &registry_.AddCounter("etcd_debugging_server_lease_expired_total", "Leases whose time was up.");
    slow_applies_ =
        &registry_.AddCounter("etcd_server_slow_apply_total", "Commands that took more than 100 ms to apply.");
    leader_changes_ = &registry_.AddCounter("etcd_server_leader_changes_seen_total", "Leader changes seen.");
    health_ok_ = &registry_.AddCounter("etcd_server_health_success", "Successful health checks.");
    health_failed_ = &registry_.AddCounter("etcd_server_health_failures", "Failed health checks.");
    hash_checks_ =
        &registry_.AddCounter("keel_state_hash_checks_total", "Comparisons of states that this leader made.");
    hash_comparisons_ =
        &registry_.AddCounter("keel_state_hash_comparisons_total", "Members compared with this leader.");
    hash_mismatches_ =
        &registry_.AddCounter("keel_state_hash_mismatches_total", "Comparisons that found a difference.");
    heartbeats_late_ =
        &registry_.AddCounter("etcd_server_heartbeat_send_failures_total", "Heartbeats that this leader sent late.");
    AddReadAndLeaseMetrics();
    AddWatchTurns();
    AddMemberGauges();
    AddProcessGauges();
    AddUnmoved(&registry_);
  }

  void RpcStarted(std::string_view service, std::string_view method, RpcKind kind) override {
    rpcs_.Started(service, method, kind);
  }

  void MessageReceived(std::string_view service, std::string_view method, size_t bytes) override {
    rpcs_.Received(service, method, bytes);
  }

  void MessageSent(std::string_view service, std::string_view method, size_t bytes) override {
    rpcs_.Sent(service, method, bytes);
  }

  void RpcHandled(std::string_view service, std::string_view method, RpcKind kind, absl::StatusCode code,
                  absl::Duration took) override {
    rpcs_.Handled(service, method, kind, code, took);
  }

  int64_t CallsInProgress() const override { return rpcs_.in_progress(); }

  void Executed(std::string_view op, bool ok, absl::Duration took) override {
    const double seconds = absl::ToDoubleSeconds(took);
    auto& by_outcome = applied_[ok];
    auto found = by_outcome.find(op);
    if (found == by_outcome.end()) {
      Histogram& histogram = apply_seconds_.Add(
          {{"version", "v3"}, {"op", std::string(op)}, {"success", ok ? "true" : "false"}}, Exponential(0.0001, 20));
      found = by_outcome.emplace(op, &histogram).first;
    }
    found->second->Observe(seconds);
    if (seconds > kSlowApplySeconds) slow_applies_->Increment();
  }

  void Committed(const OperationCounts& operations, absl::Duration took) override {
    commit_seconds_->Observe(absl::ToDoubleSeconds(took));
    commit_write_->Observe(absl::ToDoubleSeconds(took));
    puts_.Increment(operations.puts);
    deletes_.Increment(operations.deletes);
    ranges_.Increment(operations.ranges);
    txns_.Increment(operations.txns);
    put_bytes_->Increment(static_cast<double>(operations.put_bytes));
    leases_expired_->Increment(static_cast<double>(operations.leases_expired));
    leases_granted_->Increment(static_cast<double>(operations.leases_granted));
    leases_revoked_->Increment(static_cast<double>(operations.leases_revoked));
  }

  void HistoryRemoved(absl::Duration took, std::optional<absl::Duration> ended) override {
    compaction_step_->Observe(absl::ToDoubleMilliseconds(took));
    if (!ended) return;
    compaction_whole_->Observe(absl::ToDoubleMilliseconds(*ended));
    compaction_last_->Set(NowSeconds());
  }

  void StateSaved(absl::Duration took) override {
    save_seconds_->Observe(absl::ToDoubleSeconds(took));
    snap_sync_->Observe(absl::ToDoubleSeconds(took));
  }

  void PeerAnswered(uint64_t member_id, absl::Duration took) override { peer_metrics_.Answered(member_id, took); }

  SnapshotObserver* snapshots() override { return &peer_metrics_; }

  void ClientCalled(RpcKind kind, std::string_view api_version) override {
    client_requests_.Count(kind == RpcKind::kUnary, api_version);
  }

  void StreamRefused(std::string_view api) override {
    stream_failures_.Add({{"Type", "receive"}, {"API", std::string(api)}}).Increment();
  }

  void WatchSent(const WatchTurn& turn, absl::Duration took) override {
    const double seconds = absl::ToDoubleSeconds(took);
    if (turn.events > 0) {
      watch_turn_->Observe(seconds);
      watch_turn_event_->Observe(seconds / static_cast<double>(turn.events));
    }
    if (turn.answers) watch_turn_answers_->Observe(seconds);
    if (turn.events == 0 && !turn.answers) watch_turn_progress_->Observe(seconds);
  }

  void ReadIndexEnded(bool ok, absl::Duration took) override {
    if (!ok) reads_failed_->Increment();
    if (took > kSlowReadIndex) slow_reads_->Increment();
  }

  void LeaseGranted(int64_t ttl) override { lease_ttls_->Observe(static_cast<double>(ttl)); }

  void SnapshotInstalling(bool now) override { snapshot_installing_->Set(now); }

  void LearnerPromoted(const absl::Status& result) override {
    if (result.ok()) {
      promotions_->Increment();
    } else {
      promotions_failed_.Add({{"Reason", std::string(ToStd(result.message()))}}).Increment();
    }
  }

  void SetFeatures(const std::vector<Feature>& features) override {
    for (const Feature& feature : features) {
      features_.Add({{"name", feature.name}, {"stage", feature.stage}}).Set(feature.enabled);
    }
  }

  void LogSynced(absl::Duration wrote, absl::Duration synced, size_t bytes) override {
    log_write_->Observe(absl::ToDoubleSeconds(wrote));
    log_sync_->Observe(absl::ToDoubleSeconds(synced));
    log_written_->Increment(static_cast<double>(bytes));
  }

  void LeaderChanged(bool has_leader, bool is_leader) override {
    has_leader_->Set(has_leader);
    is_leader_->Set(is_leader);
    if (has_leader) leader_changes_->Increment();
  }

  void HealthChecked(bool ok) override { (ok ? health_ok_ : health_failed_)->Increment(); }

  void ProbeChecked(std::string_view probe, std::string_view check, bool ok) override {
    const prometheus::Labels labels = {{"type", std::string(probe)}, {"name", std::string(check)}};
    prometheus::Labels with_status = labels;
    with_status.emplace("status", ok ? "success" : "error");
    probe_result_.Add(labels).Set(ok);
    probe_total_.Add(with_status).Increment();
  }

  void SetIntegrity(std::function<Integrity()> integrity) override {
    absl::MutexLock lock(&mu_);
    integrity_ = std::move(integrity);
  }

  void SetReplies(std::function<ReplyBudget::Stats()> replies) override {
    absl::MutexLock lock(&mu_);
    replies_ = std::move(replies);
  }

  void SetPeers(std::function<std::vector<PeerCounters>()> peers) override {
    absl::MutexLock lock(&mu_);
    peers_ = std::move(peers);
  }

  void SetLateHeartbeats(std::function<uint64_t()> late) override {
    absl::MutexLock lock(&mu_);
    late_heartbeats_ = std::move(late);
  }

  void SetRefusals(std::function<Refusals()> refusals) override {
    absl::MutexLock lock(&mu_);
    refusals_ = std::move(refusals);
  }

  std::string Render(const Member& member) override {
    absl::MutexLock lock(&mu_);
    ReadMember(member);
    ReadPeers(member);
    ReadProcess();
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, registry_.Collect());
    scrapes_->Increment();  // From the next one on it has been handled.
    return out.str();
  }

 private:
  void AddOperationCounters() {
    put_bytes_ =
        &registry_.AddGauge("etcd_debugging_mvcc_total_put_size_in_bytes", "Bytes of all keys and values put.");
  }

  void AddCompactionTimes() {
    compaction_step_ =
        &registry_.AddHistogram("etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
                                "Milliseconds that one step of removing compacted history took.", Exponential(1, 13));
    compaction_whole_ =
        &registry_.AddHistogram("etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
                                "Milliseconds from the first to the last step of it.", Exponential(100, 14));
    compaction_last_ =
        &registry_.AddGauge("etcd_debugging_mvcc_db_compaction_last", "Unix time of the last such end; 0: none.");
  }

  void AddReadAndLeaseMetrics() {
    slow_reads_ = &registry_.AddCounter("etcd_server_slow_read_indexes_total",
                                        "Linearizable reads that waited more than 500 ms.");
    reads_failed_ =
        &registry_.AddCounter("etcd_server_read_indexes_failed_total", "Linearizable reads that waited in vain.");
    leases_renewed_ = &registry_.AddCounter("etcd_debugging_lease_renewed_total", "Renewals by this leader.");
    lease_ttls_ = &registry_.AddHistogram("etcd_debugging_lease_ttl_total", "Seconds that leases were granted for.",
                                          Exponential(1, 24));
    promotions_ =
        &registry_.AddCounter("etcd_server_learner_promote_successes", "Learners that this leader has promoted.");
    snapshot_installing_ = &registry_.AddGauge("etcd_server_snapshot_apply_in_progress_total",
                                               "1 while a received snapshot becomes the state.");
    records_compacted_ =
        &registry_.AddCounter("etcd_debugging_mvcc_db_compaction_keys_total", "Records removed by compaction.");
  }

  void AddWatchTurns() {
    const auto add = [this](const char* what, const char* help) {
      return &registry_.AddHistogram(absl::StrCat("etcd_debugging_server_watch_send_loop_", what, "_duration_seconds"),
                                     help, Exponential(0.001, 14));
    };
    watch_turn_ = add("watch_stream", "Seconds that a turn of sending events to a stream took.");
    watch_turn_event_ =
        &registry_.AddHistogram("etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds",
                                "The same for each event of it.", Exponential(0.001, 14));
    watch_turn_answers_ = add("control_stream", "Seconds that a turn of sending answers to a stream took.");
    watch_turn_progress_ = add("progress", "Seconds that a turn of telling a stream its progress took.");
  }

  void AddMemberGauges() {
    has_leader_ = &registry_.AddGauge("etcd_server_has_leader", "1 when a leader is known.");
    is_leader_ = &registry_.AddGauge("etcd_server_is_leader", "1 when this member leads.");
    const auto add = [this](const char* name, const char* help) {
      gauges_.emplace(name, &registry_.AddGauge(name, help));
    };
    add("etcd_server_is_learner", "1 when this member does not vote.");
    add("etcd_server_proposals_committed_total", "The commit index.");
    add("etcd_server_proposals_applied_total", "The applied index.");
    add("etcd_server_proposals_pending", "Proposals that wait for a leader.");
    add("etcd_server_quota_backend_bytes", "Bytes of data at which puts are refused; 0: no limit.");
    add("etcd_mvcc_db_total_size_in_bytes", "Bytes allocated by the state.");
    add("etcd_debugging_mvcc_db_total_size_in_bytes", "The same under the name that old dashboards ask for.");
    add("etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes of live state, estimated.");
    add("etcd_mvcc_db_open_read_transactions", "Views of the state that reads hold.");
    add("etcd_debugging_mvcc_pending_events_total", "Events that wait to be sent to watchers.");
    add("etcd_debugging_mvcc_keys_total", "Live keys.");
    add("etcd_debugging_mvcc_current_revision", "The revision of the keyspace.");
    add("etcd_debugging_mvcc_compact_revision", "The revision below which history is gone.");
    add("etcd_debugging_mvcc_watch_stream_total", "Open watch streams.");
    add("etcd_debugging_mvcc_watcher_total", "Watchers.");
    add("etcd_debugging_mvcc_slow_watcher_total", "Watchers that lag behind.");
    add("keel_reply_memory_bytes", "Memory of the replies to reads that are being made and sent.");
    add("keel_reply_memory_bytes_max", "The most that was so far.");
    add("keel_reply_waiting", "Reads that wait for such memory.");
    reply_waits_ =
        &registry_.AddCounter("keel_reply_waits_total", "Reads, and pieces of streamed ones, that had to wait for it.");
    watch_events_ = &registry_.AddCounter("etcd_debugging_mvcc_events_total", "Events sent to watchers.");
  }

  void AddProcessGauges() {
    const auto add = [this](const char* name, const char* help) {
      gauges_.emplace(name, &registry_.AddGauge(name, help));
    };
    add("process_resident_memory_bytes", "Resident memory in bytes.");
    add("process_virtual_memory_bytes", "Virtual memory in bytes.");
    add("process_open_fds", "Open file descriptors.");
    add("process_max_fds", "Limit of open file descriptors.");
    add("process_virtual_memory_max_bytes", "Limit of virtual memory in bytes.");
    scrapes_ =
        &registry_.Counters("promhttp_metric_handler_requests_total", "Scrapes of these metrics, by HTTP status.")
             .Add({{"code", "200"}});
    // One at a time, and it counts itself.
    registry_.AddGauge("promhttp_metric_handler_requests_in_flight", "Scrapes of these metrics under way.").Set(1);
    network_received_ = &registry_.AddCounter("process_network_receive_bytes_total", "Bytes that the network brought.");
    network_sent_ = &registry_.AddCounter("process_network_transmit_bytes_total", "Bytes that the network took.");
    add("os_fd_used", "Used file descriptors.");
    add("os_fd_limit", "Limit of file descriptors.");
    registry_.AddGauge("process_start_time_seconds", "Unix time at which the process started.").Set(NowSeconds());
    cpu_seconds_ = &registry_.AddCounter("process_cpu_seconds_total", "CPU time used, in seconds.");
  }

  void Set(const char* name, double value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { gauges_.at(name)->Set(value); }

  void ReadMember(const Member& member) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const raft::NodeStatus status = member.node->status();
    has_leader_->Set(status.core.leader != raft::kNobody);
    is_leader_->Set(status.core.role == raft::Role::kLeader);
    Set("etcd_server_is_learner", member.IsLearner());
    Set("etcd_server_proposals_committed_total", static_cast<double>(status.core.commit.value()));
    Set("etcd_server_proposals_applied_total", static_cast<double>(status.core.applied.value()));
    Set("etcd_server_proposals_pending", static_cast<double>(status.pending_proposals));
    const int64_t quota = member.limits.quota_bytes;
    Set("etcd_server_quota_backend_bytes",
        static_cast<double>(quota == 0 ? kDefaultQuotaBytes : std::max<int64_t>(quota, 0)));

    const storage::StateSizes sizes = member.store->sizes();
    Set("etcd_mvcc_db_total_size_in_bytes", static_cast<double>(sizes.allocated_bytes));
    Set("etcd_debugging_mvcc_db_total_size_in_bytes", static_cast<double>(sizes.allocated_bytes));
    Set("etcd_mvcc_db_total_size_in_use_in_bytes", static_cast<double>(sizes.in_use_bytes));
    Set("etcd_mvcc_db_open_read_transactions", static_cast<double>(sizes.open_views));
    Follow(*records_compacted_, static_cast<double>(sizes.compacted_records));
    Follow(*leases_renewed_, static_cast<double>(member.leases->renewals()));
    Set("etcd_debugging_mvcc_keys_total", static_cast<double>(sizes.live_keys));
    Set("etcd_debugging_mvcc_current_revision", static_cast<double>(member.store->current_revision().value()));
    Set("etcd_debugging_mvcc_compact_revision", static_cast<double>(member.store->compact_revision().value()));

    const WatchHub::Stats watch = member.watch->stats();
    Set("etcd_debugging_mvcc_watch_stream_total", static_cast<double>(watch.streams));
    Set("etcd_debugging_mvcc_watcher_total", static_cast<double>(watch.watchers));
    Set("etcd_debugging_mvcc_slow_watcher_total", static_cast<double>(watch.lagging_watchers));
    Set("etcd_debugging_mvcc_pending_events_total", static_cast<double>(watch.pending_events));
    Follow(*watch_events_, static_cast<double>(watch.events_total));
    if (integrity_) {
      const Integrity integrity = integrity_();
      Follow(*hash_checks_, static_cast<double>(integrity.checks));
      Follow(*hash_comparisons_, static_cast<double>(integrity.comparisons));
      Follow(*hash_mismatches_, static_cast<double>(integrity.mismatches));
    }

    if (replies_) {
      const ReplyBudget::Stats replies = replies_();
      Set("keel_reply_memory_bytes", static_cast<double>(replies.in_use_bytes));
      Set("keel_reply_memory_bytes_max", static_cast<double>(replies.in_use_bytes_max));
      Set("keel_reply_waiting", static_cast<double>(replies.waiting));
      Follow(*reply_waits_, static_cast<double>(replies.waits));
      Follow(reply_refused_.Add({{"why", "overload"}}), static_cast<double>(replies.overloads));
      Follow(reply_refused_.Add({{"why", "too large"}}), static_cast<double>(replies.too_large));
    }

    server_id_.Add({{"server_id", absl::StrCat(absl::Hex(member.member_id))}}).Set(1);
    server_version_.Add({{"server_version", kProtocolVersion}}).Set(1);
    const std::vector<std::string> parts = absl::StrSplit(kProtocolClusterVersion, '.');
    cluster_version_.Add({{"cluster_version", absl::StrCat(parts[0], ".", parts[1])}}).Set(1);
    for (auto& [labels, gauge] : alarms_seen_) gauge->Set(0);
    for (const etcdserverpb::AlarmMember& alarm : member.store->alarms()) {
      const prometheus::Labels labels = {{"server_id", absl::StrCat(absl::Hex(alarm.memberid()))},
                                         {"alarm_type", etcdserverpb::AlarmType_Name(alarm.alarm())}};
      Gauge& gauge = alarms_.Add(labels);
      gauge.Set(1);
      alarms_seen_[labels] = &gauge;
    }
  }

  void ReadPeers(const Member& member) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (refusals_ != nullptr) {
      const Refusals refusals = refusals_();
      Follow(peer_refused_.Add({{"what", "connection"}}), static_cast<double>(refusals.connections));
      Follow(peer_refused_.Add({{"what", "message"}}), static_cast<double>(refusals.messages));
    }
    if (late_heartbeats_ != nullptr) Follow(*heartbeats_late_, static_cast<double>(late_heartbeats_()));
    if (peers_ != nullptr) peer_metrics_.Read(member.member_id, peers_());
  }

  void ReadProcess() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const ProcessFacts facts = ReadProcessFacts();
    Set("process_resident_memory_bytes", facts.resident_bytes);
    Set("process_virtual_memory_bytes", facts.virtual_bytes);
    Set("process_open_fds", facts.open_fds);
    Set("process_max_fds", facts.max_fds);
    Set("process_virtual_memory_max_bytes", facts.max_virtual_bytes);
    Set("os_fd_used", facts.open_fds);
    Set("os_fd_limit", facts.max_fds);
    Follow(*cpu_seconds_, facts.cpu_seconds);
    Follow(*network_received_, facts.network_received_bytes);
    Follow(*network_sent_, facts.network_sent_bytes);
  }

  MetricRegistry registry_;
  ClientRequests client_requests_{&registry_};
  PeerMetrics peer_metrics_{&registry_};
  TwoNames puts_{&registry_, "put", "Puts applied."};
  TwoNames deletes_{&registry_, "delete", "Deletions applied."};
  TwoNames ranges_{&registry_, "range", "Ranges read."};
  TwoNames txns_{&registry_, "txn", "Transactions applied."};
  RpcMetrics rpcs_;
  prometheus::Family<Gauge>& server_id_ = registry_.Gauges("etcd_server_id", "The member's id in hexadecimal.");
  prometheus::Family<Gauge>& server_version_ =
      registry_.Gauges("etcd_server_version", "The release of the v3 protocol served.");
  prometheus::Family<Gauge>& cluster_version_ =
      registry_.Gauges("etcd_cluster_version", "The release that all members agreed on.");
  prometheus::Family<Gauge>& alarms_ = registry_.Gauges("etcd_debugging_server_alarms", "1 while the alarm is raised.");
  prometheus::Family<Gauge>& probe_result_ =
      registry_.Gauges("etcd_server_healthcheck", "Last result of each check of a probe.");
  prometheus::Family<Counter>& probe_total_ =
      registry_.Counters("etcd_server_healthchecks_total", "Results of the checks of probes.");
  prometheus::Family<Counter>& peer_refused_ = registry_.Counters(
      "keel_peer_refused_total", "Connections and messages of peers, or of who pretended to be one, refused.");
  prometheus::Family<Histogram>& apply_seconds_ =
      registry_.Histograms("etcd_server_apply_duration_seconds", "Seconds that executing a command took.");
  prometheus::Family<Counter>& reply_refused_ = registry_.Counters(
      "keel_reply_refused_total", "Reads refused because their replies found no memory, or are too large.");
  prometheus::Family<Counter>& stream_failures_ = registry_.Counters(
      "etcd_network_server_stream_failures_total", "Streams of clients that ended because of what they sent.");
  prometheus::Family<Counter>& promotions_failed_ =
      registry_.Counters("etcd_server_learner_promote_failures", "Promotions of learners that this leader refused.");
  prometheus::Family<Gauge>& features_ =
      registry_.Gauges("etcd_server_feature_enabled", "1 for a feature gate whose feature is on.");

  // Fixed after construction.
  Histogram* commit_seconds_ = nullptr;
  Histogram* save_seconds_ = nullptr;
  Gauge* put_bytes_ = nullptr;
  Counter* leases_expired_ = nullptr;
  Histogram* compaction_step_ = nullptr;
  Histogram* compaction_whole_ = nullptr;
  Gauge* compaction_last_ = nullptr;
  Counter* scrapes_ = nullptr;
  Counter* leases_granted_ = nullptr;
  Counter* leases_revoked_ = nullptr;
  Counter* slow_applies_ = nullptr;
  std::array<std::map<std::string_view, Histogram*>, 2> applied_;  // The apply thread's; by outcome, then command.
  Histogram* log_sync_ = nullptr;
  Histogram* log_write_ = nullptr;
  Histogram* commit_write_ = nullptr;
  Histogram* snap_sync_ = nullptr;
  Counter* heartbeats_late_ = nullptr;
  Counter* slow_reads_ = nullptr;
  Counter* reads_failed_ = nullptr;
  Counter* leases_renewed_ = nullptr;
  Histogram* lease_ttls_ = nullptr;
  Counter* promotions_ = nullptr;
  Gauge* snapshot_installing_ = nullptr;
  Counter* records_compacted_ = nullptr;
  Histogram* watch_turn_ = nullptr;
  Histogram* watch_turn_event_ = nullptr;
  Histogram* watch_turn_answers_ = nullptr;
  Histogram* watch_turn_progress_ = nullptr;
  Counter* network_received_ = nullptr;
  Counter* network_sent_ = nullptr;
  Gauge* log_written_ = nullptr;
  Counter* leader_changes_ = nullptr;
  Counter* health_ok_ = nullptr;
  Counter* health_failed_ = nullptr;
  Gauge* has_leader_ = nullptr;
  Gauge* is_leader_ = nullptr;
  Counter* watch_events_ = nullptr;
  Counter* reply_waits_ = nullptr;
  Counter* hash_checks_ = nullptr;
  Counter* hash_comparisons_ = nullptr;
  Counter* hash_mismatches_ = nullptr;
  Counter* cpu_seconds_ = nullptr;
  std::map<std::string, Gauge*, std::less<>> gauges_;

  absl::Mutex mu_;  // One scrape at a time.
  std::function<std::vector<PeerCounters>()> peers_ ABSL_GUARDED_BY(mu_);
  std::function<uint64_t()> late_heartbeats_ ABSL_GUARDED_BY(mu_);
  std::function<Integrity()> integrity_ ABSL_GUARDED_BY(mu_);
  std::function<Refusals()> refusals_ ABSL_GUARDED_BY(mu_);
  std::function<ReplyBudget::Stats()> replies_ ABSL_GUARDED_BY(mu_);
  std::map<prometheus::Labels, Gauge*> alarms_seen_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

std::unique_ptr<Metrics> Metrics::Create(MetricsDetail detail) { return std::make_unique<MetricsImpl>(detail); }

}  // namespace keel::server
