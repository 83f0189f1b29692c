#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/sync_stream.h>

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "proto/raft.pb.h"
#include "server/peer/delivery.h"
#include "server/peer/peer_identity.h"

namespace keel::server {

// Takes snapshots from the leader, one at a time: writes the chunks into `<incoming>.part`, verifies the whole, renames
// it to its place, and only then offers it to the node. Whatever goes wrong on the way leaves nothing behind.
//
// Thread-safe.
class SnapshotReceiver {
 public:
  SnapshotReceiver(const PeerIdentity* identity, Delivery* delivery) : identity_(*identity), delivery_(*delivery) {}

  // Blocks until the node has decided about the snapshot, or the caller has gone.
  absl::Status Receive(grpc::ServerReaderInterface<raftpb::SnapshotChunk>* chunks, raftpb::SnapshotReceipt* receipt);

  // Ends the wait for a decision, now and later. Reads end by the call's cancellation.
  void Stop();

 private:
  class Decision;

  absl::Status ReceiveOne(grpc::ServerReaderInterface<raftpb::SnapshotChunk>* chunks, raftpb::SnapshotReceipt* receipt);
  // Writes and verifies `dir`; `chunk` is the first and is overwritten.
  absl::Status WriteFiles(const std::string& dir, grpc::ServerReaderInterface<raftpb::SnapshotChunk>* chunks,
                          raftpb::SnapshotChunk* chunk);

  const PeerIdentity& identity_;
  Delivery& delivery_;

  absl::Mutex mu_;
  bool busy_ ABSL_GUARDED_BY(mu_) = false;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::shared_ptr<Decision> awaited_ ABSL_GUARDED_BY(mu_);
};

}  // namespace keel::server
