#include "server/peer/peer_network.h"

#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/grpc_lifetime.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/peer/delivery.h"
#include "server/peer/heartbeat_pace.h"
#include "server/peer/lease_forward.h"
#include "server/peer/member_forward.h"
#include "server/peer/peer_channel.h"
#include "server/peer/peer_identity.h"
#include "server/peer/peer_io.h"
#include "server/peer/peer_link.h"
#include "server/peer/peer_ping.h"
#include "server/peer/peer_probe.h"
#include "server/peer/peer_service.h"
#include "server/peer/peer_streams.h"
#include "server/peer/snapshot_sender.h"

namespace keel::server {
namespace {

constexpr absl::Duration kPingInterval = absl::Seconds(3);

PeerSelf SelfOf(const PeerNetworkOptions& options) {
  return {.cluster_id = options.cluster_id,
          .id = options.self,
          .directory = options.directory,
          .process = options.process,
          .recovered = options.recovered,
          .peer_urls = options.peer_urls};
}

absl::Status Check(const PeerNetworkOptions& options) {
  auto plain = [](const std::vector<Url>& urls) -> absl::Status {
    for (const Url& url : urls) {
      if (url.is_tls()) {
        return absl::InvalidArgumentError(
            absl::StrCat("peer URL ", url.ToString(), ": TLS between members is not supported, use http"));
      }
    }
    return absl::OkStatus();
  };
  KEEL_RETURN_IF_ERROR(plain(options.listen));
  for (const PeerAddress& peer : options.peers) {
    if (peer.urls.empty())
      return absl::InvalidArgumentError(absl::StrCat("member ", absl::Hex(peer.id.value()), " has no peer URLs"));
    KEEL_RETURN_IF_ERROR(plain(peer.urls));
  }
  return absl::OkStatus();
}

// Removes what a process that died while sending has left.
absl::Status PrepareScratchDir(const std::string& dir) {
  if (dir.empty()) return absl::OkStatus();
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  if (error) return absl::UnavailableError(absl::StrCat("create ", dir, ": ", error.message()));
  for (const auto& entry : std::filesystem::directory_iterator(dir, error)) {
    std::error_code ignored;
    if (entry.path().filename().string().starts_with("outgoing-")) std::filesystem::remove_all(entry.path(), ignored);
  }
  return absl::OkStatus();
}

class PeerNetworkImpl final : public PeerNetwork {
 public:
  PeerNetworkImpl(const PeerNetworkOptions& options, storage::StateStore* store)
      : options_(options),
        identity_(SelfOf(options)),
        raft_service_(&identity_, &delivery_, options.snapshots,
                      {.newcomer = [this](const PeerAddress& peer, uint64_t index) { Expect(peer, index); },
                       .caller = [this](raft::MemberId peer) { DialNow(peer); }}),
        streams_(&io_, &raft_service_, options.message_bytes_max),
        lease_service_(options.cluster_id, &delivery_),
        lease_client_(options.cluster_id),
        member_service_(&identity_, store),
        snapshots_({.scratch_dir = options.scratch_dir,
                    .chunk_bytes = options.snapshot_chunk_bytes,
                    .observer = options.snapshots},
                   &identity_, store, &delivery_),
        heartbeats_(options.heartbeat_late) {
    if (options.joining) identity_.SetJoining();
  }

  ~PeerNetworkImpl() override { Stop(); }

  absl::Status Listen(const PeerNetworkOptions& options) {
    KEEL_RETURN_IF_ERROR(streams_.Bind(options.listen));
    grpc::ServerBuilder builder;
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 500);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 5000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5000);
    builder.SetMaxReceiveMessageSize(static_cast<int>(options.message_bytes_max));
    builder.SetMaxSendMessageSize(static_cast<int>(options.message_bytes_max));
    grpc::EnableDefaultHealthCheckService(true);  // Process-wide; what PeerPing asks.
    builder.RegisterService(&raft_service_);
    builder.RegisterService(&lease_service_);
    builder.RegisterService(&member_service_);
    for (grpc::Service* service : options.services) builder.RegisterService(service);
    streams_.AttachGrpc(&builder);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::UnavailableError("the gRPC server of the peer port does not start");
    streams_.Start();
    return absl::OkStatus();
  }

  // Who calls as soon as this member listens must be known by then.
  void MeetPeers() {
    for (const PeerAddress& peer : options_.peers) identity_.Expect(peer.id, 0);
    if (options_.book.has_value()) identity_.SetBook(*options_.book);
  }

  void Dial() {
    for (const PeerAddress& peer : options_.peers) Expect(peer, 0);
    if (options_.book.has_value()) SetBook(*options_.book);
    if (options_.answered)
      ping_.emplace(
          kPingInterval, [this] { return PingTargets(); }, options_.answered);
  }

  // --- raft::Transport

  void Send(std::vector<raft::Message> messages) override {
    if (messages.empty()) return;
    heartbeats_.Sent(messages);
    const raft::MemberId to = messages.front().to;
    const bool one_peer = std::all_of(messages.begin(), messages.end(), [to](const auto& m) { return m.to == to; });
    if (one_peer) {
      SendTo(to, std::move(messages));
      return;
    }
    std::map<raft::MemberId, std::vector<raft::Message>> by_peer;
    for (raft::Message& message : messages) by_peer[message.to].push_back(std::move(message));
    for (auto& [id, batch] : by_peer) SendTo(id, std::move(batch));
  }

  bool Reaches(raft::MemberId peer) const override {
    const std::shared_ptr<PeerLink> link = LinkTo(peer);
    return link != nullptr && link->connected();
  }

  void SendSnapshot(raft::MemberId follower, raft::Term term) override {
    const std::shared_ptr<PeerChannels> channels = ChannelsTo(follower);
    if (channels == nullptr) {
      delivery_.WithNode([&](raft::Node& node) {
        node.ReportSnapshotSent(follower, absl::NotFoundError("no such peer"), raft::EntryId());
      });
      return;
    }
    snapshots_.Send(follower, term, channels);
  }

  // --- LeaseForwarder

  void Renew(raft::MemberId leader, std::vector<storage::LeaseId> ids, absl::Time deadline,
             absl::AnyInvocable<void(absl::StatusOr<std::vector<int64_t>>)> done) override {
    const std::shared_ptr<PeerChannels> channels = ChannelsTo(leader);
    if (channels == nullptr) return done(absl::UnavailableError("etcdserver: no leader"));
    lease_client_.Renew(channels, std::move(ids), deadline, std::move(done));
  }

  void TimeToLive(raft::MemberId leader, storage::LeaseId id, absl::Time deadline,
                  absl::AnyInvocable<void(absl::StatusOr<LeaseTimeToLive>)> done) override {
    const std::shared_ptr<PeerChannels> channels = ChannelsTo(leader);
    if (channels == nullptr) return done(absl::UnavailableError("etcdserver: no leader"));
    lease_client_.TimeToLive(channels, id, deadline, std::move(done));
  }

  // --- PeerNetwork

  void Attach(raft::Node* node, LeaseKeeper* leases, Delivery::IncomingDir incoming_dir) override {
    delivery_.Attach(node, leases, std::move(incoming_dir));
  }

  void SetChangeTarget(MemberChangeTarget* target) override {
    member_service_.SetTarget(target);
    if (target == nullptr) member_client_.Stop();
  }

  void SetRefusalListener(
      std::function<void(raftpb::PeerAck::Refusal refusal, const std::string& reason)> refused) override {
    absl::MutexLock lock(&mu_);
    refused_ = std::move(refused);
  }

  void SetBook(const PeerBook& book) override {
    identity_.SetBook(book);
    absl::MutexLock lock(&mu_);
    if (stopped_) return;
    std::map<raft::MemberId, std::vector<Url>> wanted;
    for (const storage::MemberRecord& member : book.members) {
      const raft::MemberId id(member.id);
      if (id == identity_.self()) continue;
      std::vector<Url> urls = UsableUrls(member.peer_urls);
      if (urls.empty()) {
        KEEL_LOG_ERROR("a member has no peer URL that can be dialled; update it", {{"peer", id}});
        continue;
      }
      wanted[id] = std::move(urls);
    }
    for (auto it = peers_.begin(); it != peers_.end();) {
      const auto still = wanted.find(it->first);
      // Expected by a later entry than the book knows, perhaps at another address.
      const bool ahead = it->second.expected > book.applied;
      if (ahead || (still != wanted.end() && still->second == it->second.link->urls())) {
        ++it;
        continue;
      }
      Retire(std::move(it->second));
      it = peers_.erase(it);
    }
    for (auto& [id, urls] : wanted) Add({.id = id, .urls = std::move(urls)}, 0);
    DropQuiet();
  }

  void Expect(const PeerAddress& peer, uint64_t index) override {
    identity_.Expect(peer.id, index);
    absl::MutexLock lock(&mu_);
    if (stopped_ || peer.id == identity_.self() || identity_.IsRemoved(peer.id)) return;
    auto found = peers_.find(peer.id);
    if (found != peers_.end() && found->second.link->urls() == peer.urls) {
      found->second.expected = std::max(found->second.expected, index);
      return;
    }
    if (found != peers_.end()) {
      Retire(std::move(found->second));
      peers_.erase(found);
    }
    Add(peer, index);
  }

  absl::StatusOr<peer::ChangeResponse> ForwardChange(raft::MemberId leader, peer::ChangeRequest request,
                                                     absl::Time deadline) override {
    const std::shared_ptr<PeerChannels> channels = ChannelsTo(leader);
    if (channels == nullptr) return NotLeaderError();
    return member_client_.Change(channels, std::move(request), deadline);
  }

  std::vector<PeerCounters> counters() const override {
    absl::ReaderMutexLock lock(&mu_);
    std::vector<PeerCounters> all;
    for (const auto& [id, peer] : peers_) {
      const PeerService::Received received = raft_service_.received(id);
      all.push_back({.peer = id,
                     .sent_bytes = peer.link->sent_bytes(),
                     .received_bytes = received.bytes,
                     .sent_failures = peer.link->sent_failures(),
                     .received_failures = received.refused,
                     .disconnections = peer.link->disconnections(),
                     .connected = peer.link->connected()});
    }
    return all;
  }

  int connected() const override {
    absl::ReaderMutexLock lock(&mu_);
    return static_cast<int>(
        std::count_if(peers_.begin(), peers_.end(), [](const auto& p) { return p.second.link->connected(); }));
  }

  absl::Time connected_since(raft::MemberId peer) const override {
    absl::ReaderMutexLock lock(&mu_);
    const auto found = peers_.find(peer);
    return found == peers_.end() ? absl::InfiniteFuture() : found->second.link->connected_since();
  }

  uint64_t refused_messages() const override { return raft_service_.refused_messages(); }
  uint64_t refused_callers() const override { return raft_service_.refused_callers(); }
  uint64_t late_heartbeats() const override { return heartbeats_.late(); }

  void Stop() override {
    absl::MutexLock stop_lock(&stop_mu_);
    std::vector<std::shared_ptr<PeerLink>> links;
    {
      absl::MutexLock lock(&mu_);
      if (stopped_) return;
      stopped_ = true;
      links = std::move(retired_);
      for (auto& [id, peer] : peers_) links.push_back(peer.link);
    }
    for (const auto& link : links) link->BeginStop();
    if (ping_) ping_->Stop();
    probe_.Stop();
    streams_.Stop();
    raft_service_.Stop();
    snapshots_.Stop();  // Still reports how its transfers ended.
    for (const auto& link : links) link->AwaitStopped();
    lease_client_.Stop();
    member_client_.Stop();
    member_service_.SetTarget(nullptr);
    if (server_ != nullptr) {
      server_->Shutdown(std::chrono::system_clock::now());
      server_->Wait();
    }
    delivery_.Detach();
    io_.Stop();
  }

 private:
  // Shared with those who are using them while they are retired.
  struct Peer {
    std::shared_ptr<PeerLink> link;
    std::shared_ptr<PeerChannels> channels;
    uint64_t expected = 0;  // By this log entry, if that is not applied yet.
  };

  std::vector<PeerPing::Peer> PingTargets() const {
    absl::ReaderMutexLock lock(&mu_);
    std::vector<PeerPing::Peer> targets;
    for (const auto& [id, peer] : peers_) {
      if (peer.link->connected()) targets.push_back({.id = id, .channel = peer.channels->current()});
    }
    return targets;
  }

  void Add(const PeerAddress& peer, uint64_t expected) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (peers_.contains(peer.id) || peer.urls.empty()) return;
    const raft::MemberId id = peer.id;
    auto link = std::make_shared<PeerLink>(
        PeerLinkOptions{.peer = id,
                        .urls = peer.urls,
                        .queue_bytes_max = options_.queue_bytes_max,
                        .queue_messages_max = options_.queue_messages_max,
                        .message_bytes_max = options_.message_bytes_max,
                        .redial_min = options_.redial_min,
                        .redial_max = options_.redial_max},
        &io_, &identity_,
        PeerLinkEvents{
            .reachable = [this, id] { delivery_.WithNode([id](raft::Node& node) { node.ReportReachable(id); }); },
            .unreachable = [this, id] { delivery_.WithNode([id](raft::Node& node) { node.ReportUnreachable(id); }); },
            .broken = [this, id, urls = peer.urls] { Probe(id, urls); },
            .refused = [this](raftpb::PeerAck::Refusal refusal,
                              const std::string& reason) { Refused(refusal, reason); }});
    peers_[id] = {.link = link,
                  .channels = std::make_shared<PeerChannels>(peer.urls, options_.message_bytes_max),
                  .expected = expected};
    link->Start();
  }

  void Retire(Peer peer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    peer.link->BeginStop();
    retired_.push_back(std::move(peer.link));
  }

  // Those that have come to rest since.
  void DropQuiet() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    std::erase_if(retired_, [](const auto& link) { return link->stopped(); });
  }

  // A broken connection is a dead process, a dead machine or a dead network; the first can be told at once.
  void Probe(raft::MemberId peer, const std::vector<Url>& urls) {
    probe_.Ask(urls, [this, peer] {
      KEEL_LOG_INFO("the process of a peer has ended", {{"member", identity_.self()}, {"peer", peer}});
      delivery_.WithNode([peer](raft::Node& node) { node.ReportPeerDied(peer); });
    });
  }

  void Refused(raftpb::PeerAck::Refusal refusal, const std::string& reason) {
    std::function<void(raftpb::PeerAck::Refusal, const std::string&)> refused;
    {
      absl::ReaderMutexLock lock(&mu_);
      refused = refused_;
    }
    if (refused) refused(refusal, reason);
  }

  std::shared_ptr<PeerChannels> ChannelsTo(raft::MemberId id) const {
    absl::ReaderMutexLock lock(&mu_);
    const auto found = peers_.find(id);
    return found == peers_.end() ? nullptr : found->second.channels;
  }

  std::shared_ptr<PeerLink> LinkTo(raft::MemberId id) const {
    absl::ReaderMutexLock lock(&mu_);
    const auto found = peers_.find(id);
    return found == peers_.end() ? nullptr : found->second.link;
  }

  void SendTo(raft::MemberId to, std::vector<raft::Message> messages) {
    if (const std::shared_ptr<PeerLink> link = LinkTo(to)) link->Send(std::move(messages));
  }

  void DialNow(raft::MemberId peer) {
    if (const std::shared_ptr<PeerLink> link = LinkTo(peer)) link->DialNow();
  }

  const PeerNetworkOptions options_;
  PeerIdentity identity_;
  Delivery delivery_;
  PeerService raft_service_;
  PeerIo io_;
  PeerStreams streams_;
  LeaseForwardService lease_service_;
  LeaseForwardClient lease_client_;
  MemberService member_service_;
  MemberClient member_client_;
  SnapshotSender snapshots_;
  HeartbeatPace heartbeats_;
  PeerProbe probe_;
  std::optional<PeerPing> ping_;
  std::unique_ptr<grpc::Server> server_;

  // Not held while a link calls back; links may be called under it.
  mutable absl::Mutex mu_;
  std::map<raft::MemberId, Peer> peers_ ABSL_GUARDED_BY(mu_);
  std::vector<std::shared_ptr<PeerLink>> retired_ ABSL_GUARDED_BY(mu_);  // Until nothing of theirs runs any more.
  std::function<void(raftpb::PeerAck::Refusal, const std::string&)> refused_ ABSL_GUARDED_BY(mu_);
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  absl::Mutex stop_mu_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<PeerNetwork>> PeerNetwork::Start(const PeerNetworkOptions& options,
                                                                storage::StateStore* store) {
  KeepGrpc();
  KEEL_RETURN_IF_ERROR(Check(options));
  KEEL_RETURN_IF_ERROR(PrepareScratchDir(options.scratch_dir));
  auto network = std::make_unique<PeerNetworkImpl>(options, store);
  network->MeetPeers();
  KEEL_RETURN_IF_ERROR(network->Listen(options));
  network->Dial();
  return network;
}

}  // namespace keel::server
