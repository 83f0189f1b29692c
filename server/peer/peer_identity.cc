#include "server/peer/peer_identity.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace keel::server {

bool PeerIdentity::Knows(raft::MemberId id) const { return std::binary_search(peers.begin(), peers.end(), id); }

raftpb::PeerHello PeerIdentity::HelloTo(raft::MemberId peer) const {
  raftpb::PeerHello hello;
  hello.set_cluster_id(cluster_id);
  hello.set_from(self.value());
  hello.set_to(peer.value());
  hello.set_format(kPeerFormat);
  return hello;
}

absl::Status PeerIdentity::Check(const raftpb::PeerHello& hello) const {
  if (hello.format() != kPeerFormat) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "peer protocol format mismatch: caller speaks %d, this member %d", hello.format(), kPeerFormat));
  }
  if (hello.cluster_id() != cluster_id) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "cluster ID mismatch: caller is of cluster %x, this member of %x", hello.cluster_id(), cluster_id));
  }
  if (hello.to() != self.value()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("member ID mismatch: caller dialled member %x, this is member %x", hello.to(), self.value()));
  }
  if (!Knows(raft::MemberId(hello.from()))) {
    return absl::FailedPreconditionError(absl::StrFormat("member %x is not a peer that member %x of cluster %x knows",
                                                         hello.from(), self.value(), cluster_id));
  }
  return absl::OkStatus();
}

}  // namespace keel::server
