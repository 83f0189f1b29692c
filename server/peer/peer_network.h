#pragma once

// The members' side of the network: raft messages, snapshots and lease forwarding between peers, over gRPC. Peers are
// dialled at their peer URLs; every connection names cluster and member, and a stranger is refused.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/url.h"
#include "raft/node.h"
#include "raft/transport.h"
#include "server/lease/lease_keeper.h"
#include "storage/state/state_store.h"

namespace grpc {
class Service;
}

namespace keel::server {

struct PeerAddress {
  raft::MemberId id;
  std::vector<Url> urls;  // Tried in turn.
};

struct PeerNetworkOptions {
  uint64_t cluster_id = 0;
  raft::MemberId self;
  std::vector<PeerAddress> peers;      // Without this member.
  std::vector<Url> listen;             // --listen-peer-urls
  size_t queue_bytes_max = 64u << 20;  // Unsent messages to one peer; beyond it they are dropped.
  size_t queue_messages_max = 4096;
  size_t snapshot_chunk_bytes = 256u << 10;
  size_t message_bytes_max = 64u << 20;  // Receive limit of one frame.
  std::vector<grpc::Service*> services;  // Further ones that peers may call; they outlive the network.
  // Where checkpoints are made for sending: created when missing, emptied of leftovers, best on the state's own file
  // system. Empty: SendSnapshot always fails.
  std::string scratch_dir;
};

struct PeerCounters {
  raft::MemberId peer;
  uint64_t sent_bytes = 0;
  uint64_t received_bytes = 0;
  uint64_t sent_failures = 0;
  bool connected = false;
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

  virtual std::vector<PeerCounters> counters() const = 0;
  // How many peers have an open stream from us.
  virtual int connected() const = 0;
  // Messages from peers that were malformed or not theirs to send.
  virtual uint64_t refused_messages() const = 0;

  // Closes connections and listeners; idempotent, blocks.
  virtual void Stop() = 0;
};

}  // namespace keel::server
