#pragma once

// Changes of who is a member: asked for by a client of any member, decided and proposed by the leader, one at a time.
//
// A new voter first gets the log without a vote, and its vote by itself when it has caught up: no quorum ever waits for
// a member that was never started (Thesis §4.2.1). To the outside it is a voter from the beginning.

#include <functional>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "proto/peer.pb.h"
#include "raft/node.h"
#include "server/api/call.h"
#include "server/member_rules.h"
#include "server/peer/peer_network.h"
#include "server/proposer.h"
#include "storage/state/state_store.h"

namespace keel::server {

// Thread-safe.
class MemberChanger : public MemberChangeTarget {
 public:
  struct Options {
    uint64_t cluster_id = 0;
    uint64_t member_id = 0;
    MemberRules rules;
    std::string token;  // Mixed into the ids of new members, with the time.
    // How long a change may wait for a leader, and for each step of the way, when its caller would wait for ever.
    absl::Duration request_timeout = absl::Seconds(7);
    // How long a member whose change the leader has carried out waits for it to be applied here too.
    absl::Duration catch_up_max = absl::Seconds(1);
    absl::Duration poll = absl::Milliseconds(20);
    size_t waiting_max = 64;  // Changes; beyond it "etcdserver: too many requests".
    // Told how each promotion ended that this member was asked for as the leader. Must not block.
    std::function<void(const absl::Status&)> promoted = {};
  };
  using ChangeDone = absl::AnyInvocable<void(absl::StatusOr<peer::ChangeResponse>)>;

  // Borrowed, all outlive it.
  static std::unique_ptr<MemberChanger> Start(const Options& options, const Clock* clock, raft::Node* node,
                                              storage::StateStore* store, Proposer* proposer, PeerNetwork* peers);

  // For a client of this member; carried out here when it leads, else by the leader. Errors as in rpc.md section 2.10,
  // and
  //   kUnavailable        "etcdserver: no leader", "etcdserver: server stopped"; nothing was done
  //   kUnavailable        "etcdserver: request timed out..."; outcome unknown
  //   kDeadlineExceeded   "context deadline exceeded", kCancelled: the caller's; outcome unknown
  //   kResourceExhausted  "etcdserver: too many requests"; nothing was done
  virtual void Change(peer::ChangeRequest request, const Call& call, ChangeDone done) = 0;

  // Ends what waits with "etcdserver: server stopped". Idempotent, blocks.
  virtual void Stop() = 0;
};

}  // namespace keel::server
