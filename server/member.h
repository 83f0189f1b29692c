#pragma once

// What every request handler needs, in one place. Owned by Server; handlers borrow it.

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/clock.h"
#include "proto/etcdserver_kv.pb.h"
#include "raft/node.h"
#include "server/lease/lease_keeper.h"
#include "server/proposer.h"
#include "server/watch/watch_hub.h"
#include "storage/state/state_store.h"

namespace keel::server {

class MemberChanger;
class Metrics;
class SpaceAlarm;

struct Limits {
  size_t request_bytes_max = 1572864;
  size_t txn_ops_max = 128;
  int64_t quota_bytes = 0;                            // As configured: 0 means 2 GiB, negative none.
  absl::Duration request_timeout = absl::Seconds(7);  // 5 s + 2 * election timeout.
};

struct Member {
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  std::string name;
  Limits limits;
  std::string scratch_dir;  // For checkpoints on their way to clients; on the state's file system, emptied at start.

  const Clock* clock = nullptr;
  raft::Node* node = nullptr;
  storage::StateStore* store = nullptr;
  Proposer* proposer = nullptr;
  WatchHub* watch = nullptr;
  LeaseKeeper* leases = nullptr;
  MemberChanger* changer = nullptr;
  SpaceAlarm* space_alarm = nullptr;
  Metrics* metrics = nullptr;

  // As of the state applied here: this member has no vote. Takes a copy of the members; not for every request.
  bool IsLearner() const;

  // cluster_id, member_id, raft_term; and `revision`, which each RPC defines for itself.
  void FillHeader(int64_t revision, etcdserverpb::ResponseHeader* header) const {
    header->set_cluster_id(cluster_id);
    header->set_member_id(member_id);
    header->set_revision(revision);
    header->set_raft_term(node->term().value());
  }
};

inline bool Member::IsLearner() const {
  const std::vector<storage::MemberRecord> members = store->members();
  return std::any_of(members.begin(), members.end(),
                     [this](const auto& member) { return member.id == member_id && member.learner; });
}

}  // namespace keel::server
