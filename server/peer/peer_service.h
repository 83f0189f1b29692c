#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proto/raft.grpc.pb.h"
#include "raft/message.h"
#include "server/peer/delivery.h"
#include "server/peer/peer_identity.h"
#include "server/peer/snapshot_receiver.h"

namespace keel::server {

// The callee's half of RaftTransport. Streams run on gRPC's callback threads, which never block; a snapshot blocks on
// the disk and gets a thread of its own for as long as it takes. There is no synchronous method, because each of its
// pollers would take turns with the callback threads at every event, at the price of a context switch.
//
// Thread-safe. Ends with the grpc::Server it is registered at.
class PeerService final : public raftpb::RaftTransport::CallbackService {
 public:
  // Who has called. Neither may block.
  struct Events {
    // An accepted peer that was not known before.
    std::function<void(const PeerAddress&, uint64_t index)> newcomer;
    // Every accepted stream; after `newcomer`.
    std::function<void(raft::MemberId peer)> caller;
  };
  // `snapshots` may be null.
  PeerService(PeerIdentity* identity, Delivery* delivery, SnapshotObserver* snapshots, Events events);

  grpc::ServerBidiReactor<raftpb::PeerFrame, raftpb::PeerAck>* Stream(grpc::CallbackServerContext* context) override;
  grpc::ServerReadReactor<raftpb::SnapshotChunk>* InstallSnapshot(grpc::CallbackServerContext* context,
                                                                  raftpb::SnapshotReceipt* receipt) override;

  // No more waiting for decisions about snapshots.
  void Stop() { receiver_.Stop(); }

  struct Received {
    uint64_t bytes = 0;
    uint64_t refused = 0;  // Messages that made no sense or were not the peer's to send.
  };
  Received received(raft::MemberId peer) const;
  // Messages that made no sense or were not the caller's to send.
  uint64_t refused_messages() const { return refused_messages_.load(std::memory_order_relaxed); }
  // Streams and snapshots whose caller was not welcome.
  uint64_t refused_callers() const { return refused_callers_.load(std::memory_order_relaxed); }

  // Of Stream(), as HTTP/2 has it.
  static const std::string& StreamMethod();

 private:
  friend class IncomingPeer;
  class IncomingStream;
  class IncomingSnapshot;

  // By peer; entries stay, since ids do not come back.
  struct Traffic {
    std::atomic<uint64_t> bytes{0};
    std::atomic<uint64_t> refused{0};
  };
  Traffic* traffic(raft::MemberId peer);

  PeerIdentity::Verdict Greet(const raftpb::PeerHello& hello);
  void NoteRefusal(const raftpb::PeerHello& hello, const PeerIdentity::Verdict& verdict);
  // Hands over what is well-formed, and says what was wrong with the first that was not.
  absl::Status DeliverFrame(const raftpb::PeerHello& hello, Traffic* traffic, raftpb::PeerFrame* frame);

  PeerIdentity& identity_;
  Delivery& delivery_;
  SnapshotReceiver receiver_;
  const Events events_;
  std::atomic<uint64_t> refused_messages_{0};
  std::atomic<uint64_t> refused_callers_{0};

  mutable absl::Mutex mu_;
  std::map<raft::MemberId, std::unique_ptr<Traffic>> traffic_ ABSL_GUARDED_BY(mu_);
  // A caller that is refused comes again; each reason is logged once. Bounded.
  std::map<uint64_t, std::string> logged_ ABSL_GUARDED_BY(mu_);
};

// What one member hears of another on one stream, whatever carries the stream: the hello, then frames. Not thread-safe;
// ends before the service.
class IncomingPeer {
 public:
  explicit IncomingPeer(PeerService* service) : service_(*service) {}

  struct Answer {
    std::optional<raftpb::PeerAck> ack;  // To be sent.
    absl::Status status;                 // Not OK: after `ack`, the end of the stream.
  };
  // The next frame, of which it takes what it needs.
  Answer Take(raftpb::PeerFrame* frame);

 private:
  Answer Refuse(const raftpb::PeerHello& hello, const PeerIdentity::Verdict& verdict);

  PeerService& service_;
  PeerService::Traffic* traffic_ = nullptr;  // Set by the hello, as are the next two.
  raftpb::PeerHello hello_;
  uint64_t epoch_ = 0;
  bool complained_ = false;
};

}  // namespace keel::server
