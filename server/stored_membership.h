#pragma once

// Raft's membership and the one in the state, which knows nothing of Raft, are the same thing.

#include <vector>

#include "raft/types.h"
#include "storage/state/state_store.h"

namespace keel::server {

inline storage::StoredMembership ToStored(const raft::Membership& membership) {
  auto ids = [](const std::vector<raft::MemberId>& members) {
    std::vector<uint64_t> out;
    for (const raft::MemberId id : members) out.push_back(id.value());
    return out;
  };
  return {.index = 0,
          .voters = ids(membership.voters),
          .outgoing_voters = ids(membership.outgoing_voters),
          .learners = ids(membership.learners),
          .next_learners = ids(membership.learners_next)};
}

inline raft::Membership FromStored(const storage::StoredMembership& membership) {
  auto ids = [](const std::vector<uint64_t>& members) {
    std::vector<raft::MemberId> out;
    for (const uint64_t id : members) out.push_back(raft::MemberId(id));
    return out;
  };
  return {.voters = ids(membership.voters),
          .outgoing_voters = ids(membership.outgoing_voters),
          .learners = ids(membership.learners),
          .learners_next = ids(membership.next_learners)};
}

}  // namespace keel::server
