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

// One stream from a peer that gRPC carries. Reads are its engine; what is written is the PeerAck, and a refusal when
// the peer stops being welcome. Deletes itself.
class PeerService::IncomingStream final : public grpc::ServerBidiReactor<raftpb::PeerFrame, raftpb::PeerAck> {
 public:
  explicit IncomingStream(PeerService* service) : peer_(service) { ReadNext(); }

 private:
  void ReadNext() {
    StartRead(&frame_);  // Parsing clears it first.
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      End(grpc::Status::OK);
      return;
    }
    IncomingPeer::Answer answer = peer_.Take(&frame_);
    if (!answer.status.ok()) return Refuse(*std::move(answer.ack), answer.status);
    if (answer.ack.has_value()) {
      ack_ = *std::move(answer.ack);
      {
        absl::MutexLock lock(&mu_);
        writing_ = true;
      }
      StartWrite(&ack_);
    }
    ReadNext();
  }

  void Refuse(raftpb::PeerAck refusal, const absl::Status& status) {
    refusal_ = std::move(refusal);
    {
      absl::MutexLock lock(&mu_);
      end_ = ToGrpc(status);
      refusing_ = true;
      if (writing_) return;
    }
    StartWriteAndFinish(&refusal_, grpc::WriteOptions(), *end_);
  }

  void OnWriteDone(bool /*ok*/) override {
    {
      absl::MutexLock lock(&mu_);
      writing_ = false;
      if (!end_.has_value()) return;
    }
    if (refusing_) {
      StartWriteAndFinish(&refusal_, grpc::WriteOptions(), *end_);
    } else {
      Finish(*end_);
    }
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

  IncomingPeer peer_;
  raftpb::PeerFrame frame_;  // On the heap, not an arena: payloads are moved out of it.
  raftpb::PeerAck ack_;
  raftpb::PeerAck refusal_;

  absl::Mutex mu_;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool refusing_ = false;  // Written once, under the lock, as is the next.
  std::optional<grpc::Status> end_;
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

PeerService::PeerService(PeerIdentity* identity, Delivery* delivery, SnapshotObserver* snapshots, Events events)
    : identity_(*identity),
      delivery_(*delivery),
      receiver_(identity, delivery, snapshots),
      events_(std::move(events)) {}

grpc::ServerBidiReactor<raftpb::PeerFrame, raftpb::PeerAck>* PeerService::Stream(
    grpc::CallbackServerContext* /*context*/) {
  return new IncomingStream(this);
}

grpc::ServerReadReactor<raftpb::SnapshotChunk>* PeerService::InstallSnapshot(grpc::CallbackServerContext* /*context*/,
                                                                             raftpb::SnapshotReceipt* receipt) {
  return new IncomingSnapshot(&receiver_, receipt);
}

IncomingPeer::Answer IncomingPeer::Take(raftpb::PeerFrame* frame) {
  Answer answer;
  if (traffic_ == nullptr) {
    const PeerIdentity::Verdict verdict = service_.Greet(frame->hello());
    if (!verdict.accepted()) return Refuse(frame->hello(), verdict);
    hello_ = frame->hello();
    epoch_ = service_.identity_.epoch();
    traffic_ = service_.traffic(raft::MemberId(hello_.from()));
    answer.ack.emplace().set_format(kPeerFormat);
  } else if (const uint64_t epoch = service_.identity_.epoch(); epoch != epoch_) {
    // Who is a member has changed under the stream.
    epoch_ = epoch;
    const PeerIdentity::Verdict verdict = service_.identity_.Judge(hello_);
    if (!verdict.accepted()) return Refuse(hello_, verdict);
  }
  traffic_->bytes.fetch_add(frame->ByteSizeLong(), std::memory_order_relaxed);
  const absl::Status status = service_.DeliverFrame(hello_, traffic_, frame);
  if (!status.ok() && !std::exchange(complained_, true)) {
    KEEL_LOG_ERROR("refused a message from a peer",
                   {{"member", service_.identity_.self()}, {"peer", hello_.from()}, {"error", status}});
  }
  return answer;
}

IncomingPeer::Answer IncomingPeer::Refuse(const raftpb::PeerHello& hello, const PeerIdentity::Verdict& verdict) {
  service_.NoteRefusal(hello, verdict);
  Answer answer;
  raftpb::PeerAck& refusal = answer.ack.emplace();
  refusal.set_format(kPeerFormat);
  refusal.set_refusal(verdict.refusal);
  refusal.set_reason(verdict.reason);
  answer.status = verdict.status();
  return answer;
}

const std::string& PeerService::StreamMethod() {
  static const std::string* const method = new std::string("/keel.raftpb.RaftTransport/Stream");
  return *method;
}

PeerIdentity::Verdict PeerService::Greet(const raftpb::PeerHello& hello) {
  PeerIdentity::Verdict verdict = identity_.Greet(hello);
  if (verdict.newcomer.has_value()) events_.newcomer(*verdict.newcomer, verdict.newcomer_index);
  if (verdict.accepted()) events_.caller(raft::MemberId(hello.from()));
  return verdict;
}

void PeerService::NoteRefusal(const raftpb::PeerHello& hello, const PeerIdentity::Verdict& verdict) {
  refused_callers_.fetch_add(1, std::memory_order_relaxed);
  constexpr size_t kLoggedMax = 64;
  {
    absl::MutexLock lock(&mu_);
    if (logged_.size() >= kLoggedMax && !logged_.contains(hello.from())) return;
    std::string& logged = logged_[hello.from()];
    if (logged == verdict.reason) return;
    logged = verdict.reason;
  }
  KEEL_LOG_WARN("rejected connection on peer endpoint",
                {{"member", identity_.self()}, {"peer", hello.from()}, {"error", verdict.reason}});
}

PeerService::Traffic* PeerService::traffic(raft::MemberId peer) {
  absl::MutexLock lock(&mu_);
  std::unique_ptr<Traffic>& traffic = traffic_[peer];
  if (traffic == nullptr) traffic = std::make_unique<Traffic>();
  return traffic.get();
}

PeerService::Received PeerService::received(raft::MemberId peer) const {
  absl::MutexLock lock(&mu_);
  const auto found = traffic_.find(peer);
  if (found == traffic_.end()) return {};
  return {.bytes = found->second->bytes.load(std::memory_order_relaxed),
          .refused = found->second->refused.load(std::memory_order_relaxed)};
}

absl::Status PeerService::DeliverFrame(const raftpb::PeerHello& hello, Traffic* traffic, raftpb::PeerFrame* frame) {
  const raft::MemberId from(hello.from());
  absl::Status first_error;
  std::vector<raft::Message> messages;
  messages.reserve(frame->messages_size());
  for (raftpb::Message& wire : *frame->mutable_messages()) {
    const uint64_t said_from = wire.from();
    const uint64_t said_to = wire.to();
    absl::StatusOr<raft::Message> message = raft::DecodeMessage(std::move(wire));
    if (message.ok() && (message->from != from || message->to != identity_.self())) {
      message = absl::InvalidArgumentError(absl::StrFormat("message from member %x to member %x on the stream from %x",
                                                           said_from, said_to, from.value()));
    }
    if (message.ok()) {
      identity_.NotePromise(hello.process(), *message);
      messages.push_back(*std::move(message));
      continue;
    }
    refused_messages_.fetch_add(1, std::memory_order_relaxed);
    traffic->refused.fetch_add(1, std::memory_order_relaxed);
    first_error.Update(message.status());
  }
  delivery_.WithNode([&](raft::Node& node) { node.Deliver(std::move(messages)); });
  return first_error;
}

}  // namespace keel::server
