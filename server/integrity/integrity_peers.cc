#include <grpcpp/client_context.h>

#include <chrono>
#include <map>
#include <set>

#include "absl/synchronization/mutex.h"
#include "base/grpc_status.h"
#include "base/status_macros.h"
#include "proto/integrity.grpc.pb.h"
#include "server/integrity/integrity_checker.h"
#include "server/peer/peer_channel.h"

namespace keel::server {
namespace {

constexpr size_t kMessageBytesMax = 1 << 20;
constexpr std::chrono::seconds kHashesTimeout{2};
constexpr std::chrono::seconds kHistoryTimeout{30};  // A peer reads its whole history.

class DialledPeers final : public IntegrityPeers {
 public:
  explicit DialledPeers(uint64_t cluster_id) : cluster_id_(cluster_id) {}

  absl::StatusOr<std::vector<storage::HashSample>> StateHashes(const storage::MemberRecord& peer) override {
    integrity::StateHashesRequest request;
    request.set_cluster_id(cluster_id_);
    integrity::StateHashesResponse response;
    KEEL_RETURN_IF_ERROR(Ask(peer, kHashesTimeout, [&](integrity::Integrity::Stub& stub, grpc::ClientContext* context) {
      return stub.StateHashes(context, request, &response);
    }));
    std::vector<storage::HashSample> samples;
    for (const auto& sample : response.samples()) samples.push_back({.index = sample.index(), .hash = sample.hash()});
    return samples;
  }

  absl::StatusOr<History> HistoryHash(const storage::MemberRecord& peer, int64_t revision) override {
    integrity::HistoryHashRequest request;
    request.set_cluster_id(cluster_id_);
    request.set_revision(revision);
    integrity::HistoryHashResponse response;
    KEEL_RETURN_IF_ERROR(
        Ask(peer, kHistoryTimeout, [&](integrity::Integrity::Stub& stub, grpc::ClientContext* context) {
          return stub.HistoryHash(context, request, &response);
        }));
    return History{.hash = response.hash(), .compact_revision = response.compact_revision()};
  }

  void Stop() override {
    absl::MutexLock lock(&mu_);
    stopped_ = true;
    if (call_ != nullptr) call_->TryCancel();
  }

 private:
  struct Dialled {
    std::vector<std::string> urls;
    std::unique_ptr<PeerChannels> channels;
  };

  template <typename Call>
  absl::Status Ask(const storage::MemberRecord& peer, std::chrono::seconds timeout, Call call) {
    KEEL_ASSIGN_OR_RETURN(PeerChannels * channels, ChannelsTo(peer));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + timeout);
    {
      absl::MutexLock lock(&mu_);
      if (stopped_) return absl::UnavailableError("stopping");
      call_ = &context;
    }
    const auto stub = integrity::Integrity::NewStub(channels->current());
    const grpc::Status status = call(*stub, &context);
    absl::MutexLock lock(&mu_);
    call_ = nullptr;
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE) channels->Rotate();
    return FromGrpc(status);
  }

  absl::StatusOr<PeerChannels*> ChannelsTo(const storage::MemberRecord& peer) {
    Dialled& dialled = dialled_[peer.id];
    if (dialled.channels == nullptr || dialled.urls != peer.peer_urls) {
      std::vector<Url> urls;
      for (const std::string& text : peer.peer_urls) {
        KEEL_ASSIGN_OR_RETURN(Url url, ParseUrl(text));
        urls.push_back(std::move(url));
      }
      if (urls.empty()) return absl::NotFoundError("the member has no peer URL");
      dialled = {.urls = peer.peer_urls, .channels = std::make_unique<PeerChannels>(urls, kMessageBytesMax)};
    }
    return dialled.channels.get();
  }

  const uint64_t cluster_id_;
  std::map<uint64_t, Dialled> dialled_;  // The asking thread's. Bounded by the members there have ever been.
  absl::Mutex mu_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  grpc::ClientContext* call_ ABSL_GUARDED_BY(mu_) = nullptr;
};

}  // namespace

std::unique_ptr<IntegrityPeers> DialIntegrityPeers(uint64_t cluster_id) {
  return std::make_unique<DialledPeers>(cluster_id);
}

}  // namespace keel::server
