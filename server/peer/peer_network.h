#pragma once

// The members' side of the network: raft messages, snapshots and lease forwarding between peers, over gRPC. Peers are
// dialled at their peer URLs; every connection names cluster and member, and a stranger is refused. Members come and go
// while it runs.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/url.h"
#include "proto/peer.pb.h"
#include "proto/raft.pb.h"
#include "raft/node.h"
#include "raft/transport.h"
#include "server/lease/lease_keeper.h"
#include "server/peer/peer_identity.h"
#include "server/peer/snapshot_observer.h"
#include "storage/state/state_store.h"

namespace grpc {
class Service;
}

namespace keel::server {

struct PeerNetworkOptions {
  uint64_t cluster_id = 0;
  raft::MemberId self;
  storage::DirectoryRecord directory = {};
  uint64_t process = 0;                // Chosen at random by every process.
  raft::EntryId recovered = {};        // Term and last index that this process found on its disk.
  std::vector<std::string> peer_urls;  // This member's, for those who have not heard of it.
  bool joining = false;                // Until SetBook, everybody of the cluster is welcome.

  std::optional<PeerBook> book;        // The members, when they are known.
  std::vector<PeerAddress> peers;      // Further ones, without this member; until SetBook.
  std::vector<Url> listen;             // --listen-peer-urls
  size_t queue_bytes_max = 64u << 20;  // Unsent messages to one peer; beyond it they are dropped.
  size_t queue_messages_max = 4096;
  size_t snapshot_chunk_bytes = 256u << 10;
  size_t message_bytes_max = 64u << 20;  // Receive limit of one frame.
  // After a failed attempt to reach a peer; the wait doubles from the one to the other. A peer that calls here is dialled
  // at once.
  absl::Duration redial_min = absl::Milliseconds(50);
  absl::Duration redial_max = absl::Milliseconds(100);
  std::vector<grpc::Service*> services;  // Further ones that peers may call; they outlive the network.
  // Where checkpoints are made for sending: created when missing, emptied of leftovers, best on the state's own file
  // system. Empty: SendSnapshot always fails.
  std::string scratch_dir;
  // How long a peer took to answer; asked every few seconds when somebody wants to know. On a thread of the network's.
  std::function<void(raft::MemberId peer, absl::Duration took)> answered;
  SnapshotObserver* snapshots = nullptr;  // May be null.
  // A heartbeat that leaves this long after the one before it is late; 0: none is.
  absl::Duration heartbeat_late = absl::ZeroDuration();
};

struct PeerCounters {
  raft::MemberId peer;
  uint64_t sent_bytes = 0;
  uint64_t received_bytes = 0;
  uint64_t sent_failures = 0;
  uint64_t received_failures = 0;  // Messages that were malformed or not its to send.
  uint64_t disconnections = 0;     // Streams to it that were accepted and have broken.
  bool connected = false;
};

// Carries out membership changes that other members' clients have asked for. Thread-safe; must not block.
class MemberChangeTarget {
 public:
  virtual ~MemberChangeTarget() = default;
  // kUnavailable "not leader": nothing was done.
  virtual void ChangeAsLeader(peer::ChangeRequest request, absl::Time deadline,
                              absl::AnyInvocable<void(absl::StatusOr<peer::ChangeResponse>)> done) = 0;
};

class PeerNetwork : public raft::Transport, public LeaseForwarder {
 public:
  // Listens and starts dialling. kUnavailable "listen tcp ADDRESS: bind: address already in use" and the like.
  // Messages that arrive before Attach are dropped.
  // kInvalidArgument: a peer without URLs, or a TLS URL, which members do not speak to each other yet.
  static absl::StatusOr<std::unique_ptr<PeerNetwork>> Start(const PeerNetworkOptions& options,
                                                            storage::StateStore* store);

  // Where to deliver. `incoming_dir` tells where the data of a received snapshot is put before it is offered.
  virtual void Attach(raft::Node* node, LeaseKeeper* leases,
                      std::function<std::string(const raft::SnapshotMeta&)> incoming_dir) = 0;
  // Null: nobody any more, and calls of ForwardChange end.
  virtual void SetChangeTarget(MemberChangeTarget* target) = 0;
  // `refused` is told of every peer's refusal of this member; on any thread, must not block. Once, soon after the
  // start: earlier refusals are repeated by the peers.
  virtual void SetRefusalListener(
      std::function<void(raftpb::PeerAck::Refusal refusal, const std::string& reason)> refused) = 0;

  // These are the members from now on: links come, go and change their address. A removed member's connections end.
  virtual void SetBook(const PeerBook& book) = 0;
  // Log entry `index`, not applied yet, makes it a member or gives it this address: dialled there and welcome at once;
  // a book from `index` or later decides.
  virtual void Expect(const PeerAddress& peer, uint64_t index) = 0;

  // Asks `leader` to carry out a change; blocks. kUnavailable "not leader": nothing was done. Other kUnavailable and
  // kDeadlineExceeded: the outcome is unknown.
  virtual absl::StatusOr<peer::ChangeResponse> ForwardChange(raft::MemberId leader, peer::ChangeRequest request,
                                                             absl::Time deadline) = 0;

  virtual std::vector<PeerCounters> counters() const = 0;
  // How many peers have an open stream from us.
  virtual int connected() const = 0;
  // Since when, without a break; InfiniteFuture: there is none. By Clock::Real().
  virtual absl::Time connected_since(raft::MemberId peer) const = 0;
  // Messages from peers that were malformed or not theirs to send.
  virtual uint64_t refused_messages() const = 0;
  // Connections from callers that are no members, or not any more, or not of this cluster.
  virtual uint64_t refused_callers() const = 0;
  // Heartbeats that this leader sent late: its machine is overloaded, or its disk holds it up.
  virtual uint64_t late_heartbeats() const = 0;

  // Closes connections and listeners; idempotent, blocks.
  virtual void Stop() = 0;
};

}  // namespace keel::server
