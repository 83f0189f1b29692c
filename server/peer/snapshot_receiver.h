#pragma once

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "proto/raft.pb.h"
#include "server/peer/delivery.h"
#include "server/peer/peer_identity.h"
#include "server/peer/snapshot_observer.h"

namespace keel::server {

// The chunks of one snapshot on their way in.
class SnapshotChunks {
 public:
  virtual ~SnapshotChunks() = default;
  // Blocks. False: there are no more, or the sender has gone.
  virtual bool Read(raftpb::SnapshotChunk* chunk) = 0;
};

// Takes snapshots from the leader, one at a time: writes the chunks into `<incoming>.part`, verifies the whole, renames
// it to its place, and only then offers it to the node. Whatever goes wrong on the way leaves nothing behind.
//
// Thread-safe.
class SnapshotReceiver {
 public:
  // `observer` may be null.
  SnapshotReceiver(const PeerIdentity* identity, Delivery* delivery, SnapshotObserver* observer)
      : identity_(*identity), delivery_(*delivery), observer_(observer) {}

  // OK: Receive() must follow, on a thread that may block. Not OK: another one is arriving, or time is over.
  absl::Status Begin();
  // Blocks until the node has decided about the snapshot, or the caller has gone.
  absl::Status Receive(SnapshotChunks* chunks, raftpb::SnapshotReceipt* receipt);

  // Ends the wait for a decision, now and later. Reads end by the call's cancellation.
  void Stop();

 private:
  class Decision;

  absl::Status ReceiveOne(SnapshotChunks* chunks, raftpb::SnapshotReceipt* receipt);
  // From the first chunk on, which is in `chunk`, of a member.
  absl::Status ReceiveFrom(raft::MemberId from, SnapshotChunks* chunks, raftpb::SnapshotChunk* chunk,
                           raftpb::SnapshotReceipt* receipt);
  // Writes and verifies `dir`; `chunk` is the first and is overwritten.
  absl::Status WriteFiles(const std::string& dir, SnapshotChunks* chunks, raftpb::SnapshotChunk* chunk);

  const PeerIdentity& identity_;
  Delivery& delivery_;
  SnapshotObserver* const observer_;

  absl::Mutex mu_;
  bool busy_ ABSL_GUARDED_BY(mu_) = false;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::shared_ptr<Decision> awaited_ ABSL_GUARDED_BY(mu_);
};

}  // namespace keel::server
