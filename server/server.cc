#include "server/server.h"

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "base/version.h"
#include "server/api/grpc_services.h"
#include "server/apply/applier.h"
#include "server/attribute_publisher.h"
#include "server/bootstrap.h"
#include "server/gateway/gateway.h"
#include "server/http/client_listener.h"
#include "server/http/http_handler.h"
#include "server/net/listen_socket.h"
#include "server/integrity/initial_check.h"
#include "server/integrity/integrity_checker.h"
#include "server/integrity/integrity_service.h"
#include "server/lease/lease_keeper.h"
#include "server/maintenance.h"
#include "server/member.h"
#include "server/member_changer.h"
#include "server/metrics.h"
#include "server/peer/peer_network.h"
#include "server/proposer.h"
#include "server/space_alarm.h"
#include "server/watch/watch_hub.h"

namespace keel::server {
namespace {

// How long calls in progress may take to end by themselves when the member stops; with a quorum they need milliseconds.
constexpr absl::Duration kDrain = absl::Milliseconds(300);
// How long a leader that stops waits for its successor; with a healthy one it needs milliseconds.
constexpr absl::Duration kFarewell = absl::Milliseconds(400);
// What a client may receive beyond the largest request (rpc.md section 4.1); larger watch responses are split.
constexpr size_t kGrpcOverheadBytes = 512u << 10;
// Undelivered events of one watch stream; those who need more catch up from the ring, which all share.
constexpr size_t kWatchBufferBytes = 1u << 20;
constexpr size_t kHttpOverheadBytes = 64u << 10;
constexpr int64_t kQuotaWarnBytes = int64_t{8} << 30;
constexpr size_t kRequestWarnBytes = 10u << 20;

std::vector<std::string> Texts(const std::vector<Url>& urls) {
  std::vector<std::string> texts;
  for (const Url& url : urls) texts.push_back(url.ToString());
  return texts;
}

void LogStart(const Config& config) {
  KEEL_LOG_INFO("starting a member", {{"name", config.name},
                                      {"data-dir", config.data_dir},
                                      {"keel-version", kVersion},
                                      {"protocol-version", kProtocolVersion},
                                      {"listen-client-urls", absl::StrJoin(Texts(config.listen_client_urls), ",")},
                                      {"listen-peer-urls", absl::StrJoin(Texts(config.listen_peer_urls), ",")},
                                      {"initial-cluster", FormatInitialCluster(config.initial_cluster)}});
  if (config.name == "default") {
    KEEL_LOG_WARN("the member has the name 'default'; give each member of a cluster a name of its own (--name)");
  }
  if (config.quota_backend_bytes > kQuotaWarnBytes) {
    KEEL_LOG_WARN("quota is above the recommended maximum",
                  {{"quota-bytes", config.quota_backend_bytes}, {"recommended-maximum-bytes", kQuotaWarnBytes}});
  }
  if (config.max_request_bytes > kRequestWarnBytes) {
    KEEL_LOG_WARN("exceeded recommended request limit",
                  {{"max-request-bytes", config.max_request_bytes}, {"recommended-request-bytes", kRequestWarnBytes}});
  }
}

// The peer port is bound for good only once the data is open; whether it can be is better known before anything is
// written.
absl::Status ProbeListen(const std::vector<Url>& urls) {
  for (const Url& url : urls) {
    KEEL_ASSIGN_OR_RETURN(const ListenSocket socket, OpenListenSocket(url));
    close(socket.fd);
    if (url.is_unix()) unlink(url.path.c_str());
  }
  return absl::OkStatus();
}

// The largest request that gRPC takes, as JSON: bytes become a third longer, and the names take their place.
size_t HttpBodyBytesMax(const Config& config) {
  return (config.max_request_bytes + kGrpcOverheadBytes) / 3 * 4 + kHttpOverheadBytes;
}

class SyncTimes final : public storage::RaftLogObserver {
 public:
  explicit SyncTimes(Metrics* metrics) : metrics_(*metrics) {}
  void OnSync(absl::Duration wrote, absl::Duration synced, size_t bytes) override {
    metrics_.LogSynced(wrote, synced, bytes);
  }

 private:
  Metrics& metrics_;
};

class ApplyTimes final : public ApplyObserver {
 public:
  explicit ApplyTimes(Metrics* metrics) : metrics_(*metrics) {}
  void OnExecuted(std::string_view op, bool ok, absl::Duration took) override { metrics_.Executed(op, ok, took); }
  void OnCommitted(const OperationCounts& operations, absl::Duration took) override {
    metrics_.Committed(operations, took);
  }
  void OnLeaseGranted(int64_t ttl) override { metrics_.LeaseGranted(ttl); }
  void OnInstalling(bool now) override { metrics_.SnapshotInstalling(now); }

 private:
  Metrics& metrics_;
};

// Tells the owner once that the member cannot go on, whichever part notices first.
class FatalOnce {
 public:
  explicit FatalOnce(std::function<void(absl::Status)> on_fatal) : on_fatal_(std::move(on_fatal)) {}
  void operator()(absl::Status status) {
    if (!told_.exchange(true)) on_fatal_(std::move(status));
  }

 private:
  const std::function<void(absl::Status)> on_fatal_;
  std::atomic<bool> told_{false};
};

class ServerImpl final : public Server {
 public:
  ServerImpl(Config config, std::function<void(absl::Status)> on_fatal)
      : config_(std::move(config)), fatal_(std::move(on_fatal)) {}
  ~ServerImpl() override { Stop(); }

  absl::Status Start() {
    KEEL_RETURN_IF_ERROR(config_.Validate());
    LogStart(config_);
    KEEL_ASSIGN_OR_RETURN(listener_, ClientListener::Bind({.listen = config_.listen_client_urls,
                                                           .http_body_bytes_max = HttpBodyBytesMax(config_)}));
    KEEL_ASSIGN_OR_RETURN(metrics_listener_, ClientListener::Bind({.listen = config_.listen_metrics_urls}));
    KEEL_RETURN_IF_ERROR(ProbeListen(config_.listen_peer_urls));
    KEEL_ASSIGN_OR_RETURN(data_, Bootstrap(config_, &sync_times_));
    if (config_.initial_corrupt_check && data_.store->bootstrapped()) {
      const std::unique_ptr<IntegrityPeers> peers = DialIntegrityPeers(data_.identity.cluster_id);
      KEEL_RETURN_IF_ERROR(CheckAgainstPeers(data_.identity.member_id, *data_.store, peers.get()));
    }
    CreateParts();
    KEEL_RETURN_IF_ERROR(StartRaft());
    KEEL_RETURN_IF_ERROR(StartServing());
    return absl::OkStatus();
  }

  void OnReady(std::function<void()> ready) override {
    {
      absl::MutexLock lock(&ready_mu_);
      if (!published_) {
        on_ready_ = std::move(ready);
        return;
      }
    }
    ready();
  }

  void OnRemoved(std::function<void()> removed) override {
    {
      absl::MutexLock lock(&ready_mu_);
      if (!removed_) {
        on_removed_ = std::move(removed);
        return;
      }
    }
    removed();
  }

  std::vector<Url> client_addresses() const override { return listener_->addresses(); }

  void Stop() override {
    absl::MutexLock lock(&stop_mu_);
    if (stopped_) return;
    stopped_ = true;
    TakeLeave();
    if (publisher_ != nullptr) publisher_->Stop();
    if (integrity_ != nullptr) integrity_->Stop();
    if (maintenance_ != nullptr) maintenance_->Stop();
    if (listener_ != nullptr) listener_->Stop();
    if (metrics_listener_ != nullptr) metrics_listener_->Stop();
    if (gateway_ != nullptr) gateway_->Stop();
    StopServing();
    if (peers_ != nullptr) peers_->Stop();
    if (data_.store != nullptr) {
      if (const absl::Status status = data_.store->Close(); !status.ok()) {
        KEEL_LOG_ERROR("the state was not closed cleanly; the log makes up for it", {{"error", status}});
      }
    }
    KEEL_LOG_INFO("stopped", {{"name", config_.name}});
  }

 private:
  absl::Duration ElectionTimeout() const { return absl::Milliseconds(config_.election_ms); }

  void CreateParts() {
    const uint64_t member_id = data_.identity.member_id;
    const Clock* const clock = &Clock::Real();
    storage::StateStore* const store = data_.store.get();
    proposer_ = Proposer::Create(
        {.request_bytes_max = config_.max_request_bytes, .election_timeout = ElectionTimeout()}, member_id, clock);
    space_alarm_ = std::make_unique<SpaceAlarm>(
        SpaceAlarm::Options{
            .member_id = member_id, .quota_bytes = config_.quota_backend_bytes, .request_timeout = RequestTimeout()},
        clock, store, proposer_.get());
    watch_ = WatchHub::Create({.stream_buffer_bytes_max = kWatchBufferBytes,
                               .fragment_bytes = config_.max_request_bytes + kGrpcOverheadBytes,
                               .progress_interval = config_.watch_progress_notify_interval},
                              store, clock);
    leases_ = LeaseKeeper::Create({.election_timeout = ElectionTimeout()}, raft::MemberId{member_id}, clock, store);
    applier_ = Applier::Create({.incoming_dir = data_.data_dir->incoming_dir(),
                                .quota_bytes = config_.quota_backend_bytes,
                                .on_full = [this] { space_alarm_->Raise(); },
                                .observer = &apply_times_},
                               store, proposer_.get(), watch_.get(), leases_.get());
    applier_->SetMemberEvents(
        {.appended = [this](raft::Index index,
                            const std::vector<storage::MemberRecord>& members) { MembersAppended(index, members); },
         .applied = [this] { MembersApplied(); }});
    applier_->SetLeadershipListener(
        [this](raft::Role role, raft::Term, raft::MemberId leader) { LeadershipChanged(role, leader); });
  }

  void LeadershipChanged(raft::Role role, raft::MemberId leader) {
    if (leader == leader_) return;  // A new term or role under the same leader.
    leader_ = leader;
    metrics_->LeaderChanged(leader != raft::kNobody, role == raft::Role::kLeader);
  }

  void MembersAppended(raft::Index index, const std::vector<storage::MemberRecord>& members) {
    for (const storage::MemberRecord& member : members) {
      peers_->Expect({.id = raft::MemberId(member.id), .urls = UsableUrls(member.peer_urls)}, index.value());
    }
  }

  void MembersApplied() {
    const PeerBook book = BookOf(*data_.store);
    peers_->SetBook(book);
    if (std::binary_search(book.removed.begin(), book.removed.end(), data_.identity.member_id)) Removed();
  }

  // By the log, or because the others say so.
  void Removed() {
    std::function<void()> removed;
    {
      absl::MutexLock lock(&ready_mu_);
      if (removed_) return;
      removed_ = true;
      removed = std::move(on_removed_);
    }
    KEEL_LOG_WARN("the member has been permanently removed from the cluster",
                  {{"local-member-id", absl::StrCat(absl::Hex(data_.identity.member_id))},
                   {"cluster-id", absl::StrCat(absl::Hex(data_.identity.cluster_id))},
                   {"data-dir", data_.data_dir->path()}});
    if (removed) removed();
  }

  void RefusedByPeer(raftpb::PeerAck::Refusal refusal, const std::string& reason) {
    if (refusal == raftpb::PeerAck::REMOVED) Removed();
    if (refusal == raftpb::PeerAck::FORGETFUL) fatal_(absl::FailedPreconditionError(reason));
  }

  absl::Status StartRaft() {
    const raft::MemberId self{data_.identity.member_id};
    PeerNetworkOptions peer_options;
    peer_options.cluster_id = data_.identity.cluster_id;
    peer_options.self = self;
    peer_options.directory = {.id = data_.identity.directory_id, .starts = data_.identity.starts};
    peer_options.process = data_.process;
    peer_options.recovered = {data_.initial.hard_state.term, data_.initial.last};
    peer_options.peer_urls = Texts(config_.initial_advertise_peer_urls);
    peer_options.joining = !data_.store->bootstrapped();
    peer_options.peers = data_.peers;
    if (data_.store->bootstrapped()) peer_options.book = BookOf(*data_.store);
    peer_options.listen = config_.listen_peer_urls;
    peer_options.services = {&integrity_service_.emplace(data_.identity.cluster_id, data_.store.get())};
    peer_options.scratch_dir = data_.data_dir->incoming_dir();
    peer_options.answered = [this](raft::MemberId peer, absl::Duration took) {
      metrics_->PeerAnswered(peer.value(), took);
    };
    peer_options.snapshots = metrics_->snapshots();
    peer_options.heartbeat_late = 2 * absl::Milliseconds(config_.heartbeat_ms);
    KEEL_ASSIGN_OR_RETURN(peers_, PeerNetwork::Start(peer_options, data_.store.get()));
    for (const auto& [peer, index] : data_.expected) peers_->Expect(peer, index.value());

    raft::NodeOptions node_options;
    node_options.core.id = self;
    node_options.core.heartbeat_ticks = 1;
    node_options.core.election_ticks = static_cast<int>(config_.election_ms / config_.heartbeat_ms);
    node_options.core.seed = Random::EntropySeed();
    node_options.tick = absl::Milliseconds(config_.heartbeat_ms);
    node_options.log_entries_kept = config_.snapshot_catchup_entries;
    KEEL_ASSIGN_OR_RETURN(
        node_, raft::Node::Start(node_options, data_.initial, data_.log.get(), peers_.get(), applier_.get(),
                                 &Clock::Real(), [this](absl::Status status) { fatal_(std::move(status)); }));
    peers_->SetRefusalListener(
        [this](raftpb::PeerAck::Refusal refusal, const std::string& reason) { RefusedByPeer(refusal, reason); });
    proposer_->Attach(node_.get());
    changer_ =
        MemberChanger::Start({.cluster_id = data_.identity.cluster_id,
                              .member_id = data_.identity.member_id,
                              .rules = {.strict = config_.strict_reconfig_check, .learners_max = config_.max_learners},
                              .token = config_.initial_cluster_token,
                              .request_timeout = RequestTimeout(),
                              .promoted = [this](const absl::Status& result) { metrics_->LearnerPromoted(result); }},
                             &Clock::Real(), node_.get(), data_.store.get(), proposer_.get(), peers_.get());
    peers_->SetChangeTarget(changer_.get());
    leases_->Attach(node_.get(), proposer_.get(), peers_.get());
    leases_->Start();
    watch_->Start();
    peers_->Attach(node_.get(), leases_.get(),
                   [this](const raft::SnapshotMeta& meta) { return applier_->IncomingSnapshotDir(meta); });
    return absl::OkStatus();
  }

  void FillMember() {
    member_.cluster_id = data_.identity.cluster_id;
    member_.member_id = data_.identity.member_id;
    member_.name = config_.name;
    member_.scratch_dir = data_.data_dir->incoming_dir();
    member_.limits.request_bytes_max = config_.max_request_bytes;
    member_.limits.txn_ops_max = config_.max_txn_ops;
    member_.limits.quota_bytes = config_.quota_backend_bytes;
    member_.limits.request_timeout = RequestTimeout();
    member_.clock = &Clock::Real();
    member_.node = node_.get();
    member_.store = data_.store.get();
    member_.proposer = proposer_.get();
    member_.watch = watch_.get();
    member_.leases = leases_.get();
    member_.changer = changer_.get();
    member_.space_alarm = space_alarm_.get();
    member_.metrics = metrics_.get();
  }

  // The gates that --feature-gates takes; most stand for what is always done here, or for what there is no need of.
  std::vector<Metrics::Feature> Features() const {
    return {{"StopGRPCServiceOnDefrag", "ALPHA", false},
            {"InitialCorruptCheck", "ALPHA", config_.initial_corrupt_check},
            {"CompactHashCheck", "ALPHA", config_.compact_hash_check_time > absl::ZeroDuration()},
            {"TxnModeWriteWithSharedBuffer", "BETA", false},
            {"LeaseCheckpoint", "ALPHA", true},
            {"LeaseCheckpointPersist", "ALPHA", true},
            {"SetMemberLocalAddr", "ALPHA", false},
            {"FastLeaseKeepAlive", "BETA", true},
            {"PriorityRequest", "ALPHA", false}};
  }

  absl::Duration RequestTimeout() const { return absl::Seconds(5) + 2 * ElectionTimeout(); }

  absl::Status StartServing() {
    FillMember();
    metrics_->SetPeers([this] { return peers_->counters(); });
    metrics_->SetLateHeartbeats([this] { return peers_->late_heartbeats(); });
    metrics_->SetFeatures(Features());
    metrics_->SetRefusals([this] {
      return Metrics::Refusals{.connections = peers_->refused_callers(),
                               .messages = peers_->refused_messages() + node_->status().refused_messages};
    });
    services_ = GrpcServices::Create(
        &member_, {.request_bytes_max = config_.max_request_bytes,
                   .concurrent_streams_max = config_.max_concurrent_streams,
                   .keepalive_min_time = config_.grpc_keepalive_min_time,
                   .keepalive_interval = config_.grpc_keepalive_interval,
                   .keepalive_timeout = config_.grpc_keepalive_timeout,
                   .election_timeout = ElectionTimeout(),
                   .replies = {.total_bytes = config_.reply_memory_bytes, .request_bytes = config_.max_reply_bytes}});
    metrics_->SetReplies([this] { return services_->reply_stats(); });
    grpc::ServerBuilder builder;
    services_->Register(&builder);
    listener_->AttachGrpc(&builder);
    grpc_ = builder.BuildAndStart();
    if (grpc_ == nullptr) return absl::InternalError("the gRPC server did not start");
    grpc::ChannelArguments unlimited;
    unlimited.SetMaxReceiveMessageSize(-1);
    unlimited.SetMaxSendMessageSize(-1);
    gateway_ = Gateway::Create({.channel = grpc_->InProcessChannel(unlimited)});
    http_ = HttpHandler::Create(&member_, HttpScope::kClient, gateway_.get(),
                                {.origins = config_.cors, .hosts = config_.host_whitelist});
    listener_->Start(http_.get());
    metrics_http_ = HttpHandler::Create(&member_, HttpScope::kMetrics);
    metrics_listener_->Start(metrics_http_.get());
    for (const Url& url : listener_->addresses()) {
      KEEL_LOG_INFO("serving client traffic insecurely; this is strongly discouraged!", {{"address", url.ToString()}});
    }

    Maintenance::Options maintenance;
    maintenance.revisions_per_step = config_.compaction_batch_limit;
    maintenance.pause_between_steps = config_.compaction_sleep_interval;
    maintenance.auto_compaction_mode = config_.auto_compaction_mode;
    KEEL_ASSIGN_OR_RETURN(maintenance.auto_compaction,
                          ParseRetention(config_.auto_compaction_mode, config_.auto_compaction_retention));
    maintenance.request_timeout = RequestTimeout();
    maintenance.saved = [this](absl::Duration took) { metrics_->StateSaved(took); };
    maintenance.compacted = [this](absl::Duration took, std::optional<absl::Duration> ended) {
      metrics_->HistoryRemoved(took, ended);
    };
    maintenance_ = Maintenance::Start(maintenance, &Clock::Real(), data_.store.get(), data_.log.get(), node_.get(),
                                      proposer_.get(), space_alarm_.get(),
                                      [this](absl::Status status) { fatal_(std::move(status)); });

    integrity_ = IntegrityChecker::Start({.member_id = data_.identity.member_id,
                                          .interval = config_.compact_hash_check_time,
                                          .history_interval = config_.corrupt_check_time,
                                          .request_timeout = RequestTimeout()},
                                         &Clock::Real(), data_.store.get(), node_.get(), proposer_.get(),
                                         DialIntegrityPeers(data_.identity.cluster_id));
    metrics_->SetIntegrity([this] {
      const IntegrityChecker::Counts counts = integrity_->counts();
      return Metrics::Integrity{
          .checks = counts.checks, .comparisons = counts.comparisons, .mismatches = counts.mismatches};
    });

    AttributePublisher::Options publish;
    publish.attributes.set_member_id(data_.identity.member_id);
    publish.attributes.set_name(config_.name);
    for (const Url& url : config_.advertise_client_urls) publish.attributes.add_client_urls(url.ToString());
    publish.attributes.set_directory_id(data_.identity.directory_id);
    publish.attributes.set_starts(data_.identity.starts);
    publish.attempt_timeout = RequestTimeout();
    publisher_ = AttributePublisher::Start(
        publish, proposer_.get(), &Clock::Real(), [this] { Published(); },
        [this](const absl::Status& status) {
          if (absl::IsNotFound(status)) {
            Removed();
          } else {
            fatal_(status);
          }
        });
    return absl::OkStatus();
  }

  void Published() {
    KEEL_LOG_INFO(
        "published local member to cluster through raft",
        {{"local-member-id", absl::StrCat(absl::Hex(member_.member_id))},
         {"local-member-attributes", absl::StrCat("{Name:", config_.name, " ClientURLs:[",
                                                  absl::StrJoin(Texts(config_.advertise_client_urls), " "), "]}")},
         {"cluster-id", absl::StrCat(absl::Hex(member_.cluster_id))}});
    KEEL_LOG_INFO("ready to serve client requests");
    std::function<void()> ready;
    {
      absl::MutexLock lock(&ready_mu_);
      published_ = true;
      ready = std::move(on_ready_);
    }
    if (ready) ready();
  }

  // What others are better told before this member is gone.
  void TakeLeave() {
    if (node_ == nullptr) return;
    bool removed;
    {
      absl::MutexLock lock(&ready_mu_);
      removed = removed_;
    }
    if (removed) {
      // The entry that removed this member, if it led, has yet to be known as committed everywhere.
      absl::SleepFor(std::min(kFarewell, 3 * absl::Milliseconds(config_.heartbeat_ms)));
      return;
    }
    const raft::MemberId heir = Heir();
    if (heir == raft::kNobody) return;
    KEEL_LOG_INFO("handing leadership over before stopping", {{"to", absl::StrCat(absl::Hex(heir.value()))}});
    struct Handover {
      absl::Notification ended;
      absl::Status status;
    };
    auto handover = std::make_shared<Handover>();
    node_->TransferLeadership(heir, Clock::Real().Now() + kFarewell, [handover](const absl::Status& status) {
      handover->status = status;
      handover->ended.Notify();
    });
    if (!handover->ended.WaitForNotificationWithTimeout(kFarewell)) {
      KEEL_LOG_WARN("leadership was not taken over in time; the others elect a leader by themselves");
    } else if (!handover->status.ok()) {
      KEEL_LOG_WARN("leadership was not taken over", {{"error", handover->status}});
    }
  }

  // The voter that can take over soonest; kNobody when this member does not lead or there is none.
  raft::MemberId Heir() const {
    const raft::NodeStatus status = node_->status();
    if (status.core.role != raft::Role::kLeader) return raft::kNobody;
    const raft::FollowerStatus* best = nullptr;
    for (const raft::FollowerStatus& follower : status.followers) {
      if (!follower.recently_active || !status.core.membership.IsVoter(follower.id)) continue;
      if (peers_->connected_since(follower.id) == absl::InfiniteFuture()) continue;
      if (best == nullptr || follower.match > best->match) best = &follower;
    }
    return best == nullptr ? raft::kNobody : best->id;
  }

  // Nobody is let in any more. Calls in progress get a moment to end by themselves; then the parts they wait for stop,
  // which ends the rest; then their connections end.
  void StopServing() {
    if (services_ != nullptr) services_->Stop();
    const absl::Time drained = absl::Now() + kDrain;
    while (metrics_->CallsInProgress() > 0 && absl::Now() < drained) absl::SleepFor(absl::Milliseconds(1));
    if (watch_ != nullptr) watch_->Stop();
    if (leases_ != nullptr) leases_->Stop();
    if (proposer_ != nullptr) proposer_->Stop();
    if (peers_ != nullptr) peers_->SetChangeTarget(nullptr);
    if (node_ != nullptr) node_->Stop();
    if (changer_ != nullptr) changer_->Stop();
    if (grpc_ != nullptr) {
      listener_->EndGrpcConnections();
      grpc_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(kDrain));
    }
    grpc_.reset();
  }

  // In the order of their making; each may use those above it.
  Config config_;
  FatalOnce fatal_;
  const std::unique_ptr<Metrics> metrics_ = Metrics::Create(config_.metrics);
  SyncTimes sync_times_{metrics_.get()};
  ApplyTimes apply_times_{metrics_.get()};
  raft::MemberId leader_ = raft::kNobody;  // The raft thread's.
  Bootstrapped data_;
  std::unique_ptr<Proposer> proposer_;
  std::unique_ptr<SpaceAlarm> space_alarm_;
  std::unique_ptr<WatchHub> watch_;
  std::unique_ptr<LeaseKeeper> leases_;
  std::unique_ptr<Applier> applier_;
  std::optional<IntegrityService> integrity_service_;
  std::unique_ptr<PeerNetwork> peers_;
  std::unique_ptr<raft::Node> node_;
  std::unique_ptr<MemberChanger> changer_;
  Member member_;
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<HttpHandler> http_;
  std::unique_ptr<HttpHandler> metrics_http_;
  std::unique_ptr<ClientListener> listener_;
  std::unique_ptr<ClientListener> metrics_listener_;
  std::unique_ptr<GrpcServices> services_;
  std::unique_ptr<grpc::Server> grpc_;
  std::unique_ptr<Maintenance> maintenance_;
  std::unique_ptr<IntegrityChecker> integrity_;
  std::unique_ptr<AttributePublisher> publisher_;

  absl::Mutex ready_mu_;
  bool published_ ABSL_GUARDED_BY(ready_mu_) = false;
  std::function<void()> on_ready_ ABSL_GUARDED_BY(ready_mu_);
  bool removed_ ABSL_GUARDED_BY(ready_mu_) = false;
  std::function<void()> on_removed_ ABSL_GUARDED_BY(ready_mu_);
  absl::Mutex stop_mu_;  // Not taken by any thread that Stop waits for.
  bool stopped_ ABSL_GUARDED_BY(stop_mu_) = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(Config config, std::function<void(absl::Status)> on_fatal) {
  auto server = std::make_unique<ServerImpl>(std::move(config), std::move(on_fatal));
  KEEL_RETURN_IF_ERROR(server->Start());
  return server;
}

}  // namespace keel::server
