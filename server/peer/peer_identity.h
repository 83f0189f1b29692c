#pragma once

// Who speaks: every connection between members begins with a PeerHello, and a stranger is refused.

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "proto/raft.pb.h"
#include "raft/types.h"

namespace keel::server {

// Version of what members say to each other.
inline constexpr uint32_t kPeerFormat = 1;

struct PeerIdentity {
  uint64_t cluster_id = 0;
  raft::MemberId self;
  std::vector<raft::MemberId> peers;  // Ascending; without self.

  bool Knows(raft::MemberId id) const;
  raftpb::PeerHello HelloTo(raft::MemberId peer) const;

  // kFailedPrecondition: not for us, not from one of us, or of another format; the text says both sides.
  absl::Status Check(const raftpb::PeerHello& hello) const;
};

}  // namespace keel::server
