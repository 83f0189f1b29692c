#include "server/peer/peer_network.h"

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/peer/delivery.h"
#include "server/peer/lease_forward.h"
#include "server/peer/peer_channel.h"
#include "server/peer/peer_identity.h"
#include "server/peer/peer_link.h"
#include "server/peer/peer_listener.h"
#include "server/peer/peer_service.h"
#include "server/peer/snapshot_sender.h"

namespace keel::server {
namespace {

PeerIdentity IdentityOf(const PeerNetworkOptions& options) {
  PeerIdentity identity{.cluster_id = options.cluster_id, .self = options.self, .peers = {}};
  for (const PeerAddress& peer : options.peers) identity.peers.push_back(peer.id);
  std::sort(identity.peers.begin(), identity.peers.end());
  return identity;
}

raft::Membership MembershipOf(const PeerIdentity& identity) {
  raft::Membership membership;
  membership.voters = identity.peers;
  membership.voters.insert(std::lower_bound(membership.voters.begin(), membership.voters.end(), identity.self),
                           identity.self);
  return membership;
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
      : identity_(IdentityOf(options)),
        raft_service_(&identity_, &delivery_),
        lease_service_(options.cluster_id, &delivery_),
        lease_client_(options.cluster_id),
        snapshots_({.scratch_dir = options.scratch_dir,
                    .chunk_bytes = options.snapshot_chunk_bytes,
                    .membership = MembershipOf(identity_)},
                   &identity_, store, &delivery_) {
    for (const PeerAddress& peer : options.peers) {
      auto link = std::make_unique<PeerLink>(
          PeerLinkOptions{.peer = peer.id,
                          .urls = peer.urls,
                          .queue_bytes_max = options.queue_bytes_max,
                          .queue_messages_max = options.queue_messages_max,
                          .message_bytes_max = options.message_bytes_max},
          &identity_,
          [this, id = peer.id] { delivery_.WithNode([id](raft::Node& node) { node.ReportUnreachable(id); }); });
      peers_.emplace(peer.id, Peer{.link = std::move(link),
                                   .channels = std::make_unique<PeerChannels>(peer.urls, options.message_bytes_max)});
    }
  }

  ~PeerNetworkImpl() override { Stop(); }

  absl::Status Listen(const PeerNetworkOptions& options) {
    grpc::ServerBuilder builder;
    // A second process on the same port must fail, not share it.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 500);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 5000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5000);
    builder.SetMaxReceiveMessageSize(static_cast<int>(options.message_bytes_max));
    builder.SetMaxSendMessageSize(static_cast<int>(options.message_bytes_max));
    builder.RegisterService(&raft_service_);
    builder.RegisterService(&lease_service_);
    for (grpc::Service* service : options.services) builder.RegisterService(service);
    std::vector<int> ports(options.listen.size(), 0);
    for (size_t i = 0; i < options.listen.size(); ++i) {
      KEEL_RETURN_IF_ERROR(ProbeListenAddress(options.listen[i]));
      builder.AddListeningPort(options.listen[i].Target(), grpc::InsecureServerCredentials(), &ports[i]);
    }
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) {
      std::string addresses;
      for (const Url& url : options.listen) absl::StrAppend(&addresses, addresses.empty() ? "" : ",", url.Target());
      return absl::UnavailableError(absl::StrCat("listen tcp ", addresses, ": cannot listen"));
    }
    return absl::OkStatus();
  }

  void Dial() {
    for (auto& [id, peer] : peers_) peer.link->Start();
    dialled_ = true;
  }

  // --- raft::Transport

  void Send(std::vector<raft::Message> messages) override {
    if (messages.empty()) return;
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

  void SendSnapshot(raft::MemberId follower, raft::Term term) override {
    auto peer = peers_.find(follower);
    if (peer == peers_.end()) {
      delivery_.WithNode([&](raft::Node& node) {
        node.ReportSnapshotSent(follower, absl::NotFoundError("no such peer"), raft::EntryId());
      });
      return;
    }
    snapshots_.Send(follower, term, peer->second.channels.get());
  }

  // --- LeaseForwarder

  void Renew(raft::MemberId leader, std::vector<storage::LeaseId> ids, absl::Time deadline,
             absl::AnyInvocable<void(absl::StatusOr<std::vector<int64_t>>)> done) override {
    auto peer = peers_.find(leader);
    if (peer == peers_.end()) return done(absl::UnavailableError("etcdserver: no leader"));
    lease_client_.Renew(peer->second.channels.get(), std::move(ids), deadline, std::move(done));
  }

  void TimeToLive(raft::MemberId leader, storage::LeaseId id, absl::Time deadline,
                  absl::AnyInvocable<void(absl::StatusOr<LeaseTimeToLive>)> done) override {
    auto peer = peers_.find(leader);
    if (peer == peers_.end()) return done(absl::UnavailableError("etcdserver: no leader"));
    lease_client_.TimeToLive(peer->second.channels.get(), id, deadline, std::move(done));
  }

  // --- PeerNetwork

  void Attach(raft::Node* node, LeaseKeeper* leases, Delivery::IncomingDir incoming_dir) override {
    delivery_.Attach(node, leases, std::move(incoming_dir));
  }

  std::vector<PeerCounters> counters() const override {
    std::vector<PeerCounters> all;
    for (const auto& [id, peer] : peers_) {
      all.push_back({.peer = id,
                     .sent_bytes = peer.link->sent_bytes(),
                     .received_bytes = raft_service_.received_bytes(id),
                     .sent_failures = peer.link->sent_failures(),
                     .connected = peer.link->connected()});
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.peer < b.peer; });
    return all;
  }

  int connected() const override {
    return static_cast<int>(
        std::count_if(peers_.begin(), peers_.end(), [](const auto& p) { return p.second.link->connected(); }));
  }

  uint64_t refused_messages() const override { return raft_service_.refused_messages(); }

  void Stop() override {
    absl::MutexLock lock(&stop_mu_);
    if (stopped_) return;
    stopped_ = true;
    for (auto& [id, peer] : peers_) peer.link->BeginStop();
    raft_service_.Stop();
    snapshots_.Stop();  // Still reports how its transfers ended.
    if (dialled_) {
      for (auto& [id, peer] : peers_) peer.link->AwaitStopped();
    }
    lease_client_.Stop();
    if (server_ != nullptr) {
      server_->Shutdown(std::chrono::system_clock::now());
      server_->Wait();
    }
    delivery_.Detach();
  }

 private:
  struct Peer {
    std::unique_ptr<PeerLink> link;
    std::unique_ptr<PeerChannels> channels;
  };

  void SendTo(raft::MemberId to, std::vector<raft::Message> messages) {
    auto peer = peers_.find(to);
    if (peer != peers_.end()) peer->second.link->Send(std::move(messages));
  }

  const PeerIdentity identity_;
  Delivery delivery_;
  PeerService raft_service_;
  LeaseForwardService lease_service_;
  LeaseForwardClient lease_client_;
  SnapshotSender snapshots_;
  absl::flat_hash_map<raft::MemberId, Peer> peers_;  // Fixed from the start.
  std::unique_ptr<grpc::Server> server_;
  bool dialled_ = false;

  absl::Mutex stop_mu_;
  bool stopped_ ABSL_GUARDED_BY(stop_mu_) = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<PeerNetwork>> PeerNetwork::Start(const PeerNetworkOptions& options,
                                                                storage::StateStore* store) {
  KEEL_RETURN_IF_ERROR(Check(options));
  KEEL_RETURN_IF_ERROR(PrepareScratchDir(options.scratch_dir));
  auto network = std::make_unique<PeerNetworkImpl>(options, store);
  KEEL_RETURN_IF_ERROR(network->Listen(options));
  network->Dial();
  return network;
}

}  // namespace keel::server
