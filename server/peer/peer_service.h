#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <cstdint>
#include <memory>
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
  PeerService(const PeerIdentity* identity, Delivery* delivery);

  grpc::ServerBidiReactor<raftpb::PeerFrame, raftpb::PeerAck>* Stream(grpc::CallbackServerContext* context) override;
  grpc::ServerReadReactor<raftpb::SnapshotChunk>* InstallSnapshot(grpc::CallbackServerContext* context,
                                                                  raftpb::SnapshotReceipt* receipt) override;

  // No more waiting for decisions about snapshots.
  void Stop() { receiver_.Stop(); }

  uint64_t received_bytes(raft::MemberId peer) const;
  // Messages that made no sense or were not the caller's to send.
  uint64_t refused_messages() const { return refused_messages_.load(std::memory_order_relaxed); }

 private:
  class IncomingStream;
  class IncomingSnapshot;

  struct PeerTraffic {
    raft::MemberId peer;
    std::atomic<uint64_t> received_bytes{0};
  };
  PeerTraffic* traffic(raft::MemberId peer) const;

  // Hands over what is well-formed, and says what was wrong with the first that was not.
  absl::Status DeliverFrame(raft::MemberId from, raftpb::PeerFrame* frame);

  const PeerIdentity& identity_;
  Delivery& delivery_;
  SnapshotReceiver receiver_;
  std::vector<std::unique_ptr<PeerTraffic>> traffic_;
  std::atomic<uint64_t> refused_messages_{0};
};

}  // namespace keel::server
