#pragma once

#include <grpcpp/client_context.h>

#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/peer/delivery.h"
#include "server/peer/peer_channel.h"
#include "server/peer/peer_identity.h"
#include "server/peer/snapshot_observer.h"
#include "storage/state/state_store.h"

namespace keel::server {

struct SnapshotSenderOptions {
  std::string scratch_dir;  // Exists; on the state's file system, so that a checkpoint costs links and not copies.
  size_t chunk_bytes = 0;
  SnapshotObserver* observer = nullptr;  // May be null.
};

// Sends the state as of now to followers whose log ends before ours begins: a checkpoint, in checksummed chunks, as
// fast as the follower takes them. One thread per transfer, at most one transfer per follower; each ends with one
// Node::ReportSnapshotSent.
//
// Thread-safe.
class SnapshotSender {
 public:
  SnapshotSender(const SnapshotSenderOptions& options, const PeerIdentity* identity, storage::StateStore* store,
                 Delivery* delivery);
  ~SnapshotSender() { Stop(); }

  // Never blocks on the transfer.
  void Send(raft::MemberId follower, raft::Term term, std::shared_ptr<PeerChannels> channels);

  // Cancels and joins; idempotent.
  void Stop();

 private:
  struct Transfer {
    std::thread thread;
    std::unique_ptr<grpc::ClientContext> context;
    bool running = false;
  };

  void Run(raft::MemberId follower, raft::Term term, PeerChannels* channels, grpc::ClientContext* context);
  // The state as it was at one moment, in `dir`, and what it stands for.
  absl::StatusOr<raft::SnapshotMeta> Checkpoint(const std::string& dir);
  // `last` is set as soon as it is known.
  absl::Status SendState(raft::MemberId follower, raft::Term term, PeerChannels* channels, grpc::ClientContext* context,
                         raft::EntryId* last);
  absl::Status SendFiles(const std::string& dir, raft::MemberId follower, raft::Term term,
                         const raft::SnapshotMeta& meta, PeerChannels* channels, grpc::ClientContext* context);

  const SnapshotSenderOptions options_;
  const PeerIdentity& identity_;
  storage::StateStore* const store_;  // Null: nothing can be sent.
  Delivery& delivery_;

  absl::Mutex checkpoint_mu_;  // One checkpoint at a time.
  absl::Mutex mu_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::map<raft::MemberId, Transfer> transfers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace keel::server
