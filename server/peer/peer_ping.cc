#include "server/peer/peer_ping.h"

#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>

#include <chrono>
#include <utility>

#include "base/thread_name.h"

namespace keel::server {
namespace {

constexpr auto kPatience = std::chrono::seconds(1);
constexpr char kCheck[] = "/grpc.health.v1.Health/Check";

}  // namespace

PeerPing::PeerPing(absl::Duration interval, std::function<std::vector<Peer>()> peers,
                   std::function<void(raft::MemberId, absl::Duration)> answered)
    : interval_(interval), peers_(std::move(peers)), answered_(std::move(answered)), thread_([this] { Run(); }) {}

void PeerPing::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    if (asking_ != nullptr) asking_->TryCancel();
  }
  if (thread_.joinable()) thread_.join();
}

void PeerPing::Run() {
  NameThread("peer-ping");
  while (true) {
    for (const Peer& peer : peers_()) {
      const auto begin = std::chrono::steady_clock::now();
      if (Ask(peer)) answered_(peer.id, absl::FromChrono(std::chrono::steady_clock::now() - begin));
    }
    absl::MutexLock lock(&mu_);
    if (mu_.AwaitWithTimeout(absl::Condition(&stopping_), interval_)) return;
  }
}

bool PeerPing::Ask(const Peer& peer) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  {
    absl::MutexLock lock(&mu_);
    if (stopping_) return false;
    asking_ = &context;
  }
  grpc::GenericStub stub(peer.channel);
  grpc::CompletionQueue queue;
  const grpc::Slice nothing;  // The whole server is meant.
  const grpc::ByteBuffer request(&nothing, 1);
  grpc::ByteBuffer response;
  grpc::Status status;
  auto call = stub.PrepareUnaryCall(&context, kCheck, request, &queue);
  call->StartCall();
  call->Finish(&response, &status, nullptr);
  void* tag;
  bool ok;
  queue.Next(&tag, &ok);
  absl::MutexLock lock(&mu_);
  asking_ = nullptr;
  return status.ok();
}

}  // namespace keel::server
