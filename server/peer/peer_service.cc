#include "server/peer/peer_service.h"

#include <optional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "base/grpc_status.h"
#include "base/log.h"
#include "raft/wire.h"

namespace keel::server {

// One stream from a peer. Reads are its engine; the only write is the PeerAck. Deletes itself.
class PeerService::IncomingStream final : public grpc::ServerBidiReactor<raftpb::PeerFrame, raftpb::PeerAck> {
 public:
  explicit IncomingStream(PeerService* service) : service_(*service) { ReadNext(); }

 private:
  void ReadNext() {
    StartRead(&frame_);  // Parsing clears it first.
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      End(grpc::Status::OK);
      return;
    }
    if (traffic_ == nullptr) {
      absl::Status status = Greet();
      if (!status.ok()) {
        KEEL_LOG_WARN("peer stream refused", {{"member", service_.identity_.self}, {"error", status}});
        End(ToGrpc(status));
        return;
      }
    }
    traffic_->received_bytes.fetch_add(frame_.ByteSizeLong(), std::memory_order_relaxed);
    absl::Status status = service_.DeliverFrame(traffic_->peer, &frame_);
    if (!status.ok() && !std::exchange(complained_, true)) {
      KEEL_LOG_ERROR("refused a message from a peer",
                     {{"member", service_.identity_.self}, {"peer", traffic_->peer}, {"error", status}});
    }
    ReadNext();
  }

  absl::Status Greet() {
    absl::Status status = service_.identity_.Check(frame_.hello());
    if (!status.ok()) return status;
    traffic_ = service_.traffic(raft::MemberId(frame_.hello().from()));
    ack_.set_format(kPeerFormat);
    {
      absl::MutexLock lock(&mu_);
      writing_ = true;
    }
    StartWrite(&ack_);
    return absl::OkStatus();
  }

  void OnWriteDone(bool /*ok*/) override {
    {
      absl::MutexLock lock(&mu_);
      writing_ = false;
      if (!end_.has_value()) return;
    }
    Finish(*end_);
  }

  // Finishes the call, after the acknowledgement has left.
  void End(grpc::Status status) {
    {
      absl::MutexLock lock(&mu_);
      end_ = std::move(status);
      if (writing_) return;
    }
    Finish(*end_);
  }

  void OnDone() override { delete this; }

  PeerService& service_;
  raftpb::PeerFrame frame_;  // On the heap, not an arena: payloads are moved out of it.
  raftpb::PeerAck ack_;
  PeerTraffic* traffic_ = nullptr;  // Set by the hello.
  bool complained_ = false;

  absl::Mutex mu_;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<grpc::Status> end_;  // Written once, under the lock.
};

// One snapshot from a peer, taken by a thread of its own. Deletes itself.
class PeerService::IncomingSnapshot final : public grpc::ServerReadReactor<raftpb::SnapshotChunk>,
                                            private SnapshotChunks {
 public:
  IncomingSnapshot(SnapshotReceiver* receiver, raftpb::SnapshotReceipt* receipt) {
    if (const absl::Status refused = receiver->Begin(); !refused.ok()) {
      Finish(ToGrpc(refused));
      return;
    }
    thread_ = std::thread([this, receiver, receipt] { Finish(ToGrpc(receiver->Receive(this, receipt))); });
  }

 private:
  bool Read(raftpb::SnapshotChunk* chunk) override {
    {
      absl::MutexLock lock(&mu_);
      read_.reset();
    }
    StartRead(chunk);
    absl::MutexLock lock(&mu_);
    auto done = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return read_.has_value(); };
    mu_.Await(absl::Condition(&done));
    return *read_;
  }

  void OnReadDone(bool ok) override {
    absl::MutexLock lock(&mu_);
    read_ = ok;
  }
  void OnDone() override {
    if (thread_.joinable()) thread_.join();  // It has called Finish(), its last act.
    delete this;
  }

  absl::Mutex mu_;
  std::optional<bool> read_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

PeerService::PeerService(const PeerIdentity* identity, Delivery* delivery)
    : identity_(*identity), delivery_(*delivery), receiver_(identity, delivery) {
  for (raft::MemberId peer : identity_.peers) {
    traffic_.push_back(std::make_unique<PeerTraffic>());
    traffic_.back()->peer = peer;
  }
}

grpc::ServerBidiReactor<raftpb::PeerFrame, raftpb::PeerAck>* PeerService::Stream(
    grpc::CallbackServerContext* /*context*/) {
  return new IncomingStream(this);
}

grpc::ServerReadReactor<raftpb::SnapshotChunk>* PeerService::InstallSnapshot(grpc::CallbackServerContext* /*context*/,
                                                                             raftpb::SnapshotReceipt* receipt) {
  return new IncomingSnapshot(&receiver_, receipt);
}

PeerService::PeerTraffic* PeerService::traffic(raft::MemberId peer) const {
  for (const auto& traffic : traffic_) {
    if (traffic->peer == peer) return traffic.get();
  }
  return nullptr;
}

uint64_t PeerService::received_bytes(raft::MemberId peer) const {
  const PeerTraffic* found = traffic(peer);
  return found == nullptr ? 0 : found->received_bytes.load(std::memory_order_relaxed);
}

absl::Status PeerService::DeliverFrame(raft::MemberId from, raftpb::PeerFrame* frame) {
  absl::Status first_error;
  std::vector<raft::Message> messages;
  messages.reserve(frame->messages_size());
  for (raftpb::Message& wire : *frame->mutable_messages()) {
    const uint64_t said_from = wire.from();
    const uint64_t said_to = wire.to();
    absl::StatusOr<raft::Message> message = raft::DecodeMessage(std::move(wire));
    if (message.ok() && (message->from != from || message->to != identity_.self)) {
      message = absl::InvalidArgumentError(absl::StrFormat("message from member %x to member %x on the stream from %x",
                                                           said_from, said_to, from.value()));
    }
    if (message.ok()) {
      messages.push_back(*std::move(message));
      continue;
    }
    refused_messages_.fetch_add(1, std::memory_order_relaxed);
    first_error.Update(message.status());
  }
  delivery_.WithNode([&](raft::Node& node) { node.Deliver(std::move(messages)); });
  return first_error;
}

}  // namespace keel::server
