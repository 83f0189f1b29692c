#pragma once

// What changes of membership are allowed, in the order and with the texts of rpc.md section 2.10. Pure.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "storage/state/state_store.h"

namespace keel::server {

struct MemberRules {
  bool strict = true;    // --strict-reconfig-check
  int learners_max = 1;  // --max-learners
};

// The cluster as its leader sees it. Members that await their vote count as the voters they will be.
struct MemberView {
  std::vector<storage::MemberRecord> members;
  uint64_t self = 0;
  // How long the leader has been connected to each other member without a break; who is not connected is not in it.
  std::map<uint64_t, absl::Duration> connected;
  uint64_t last_index = 0;             // Of the leader's log.
  std::map<uint64_t, uint64_t> match;  // Of each other member's.

  const storage::MemberRecord* Find(uint64_t id) const;
};

// kInvalidArgument "etcdserver: given member URLs are invalid": none, or one that cannot be dialled.
absl::Status CheckPeerUrls(const std::vector<std::string>& peer_urls);

// All others: kNotFound "etcdserver: member not found"; kFailedPrecondition and kUnavailable with the texts that say
// which rule is broken.
absl::Status CheckAdd(const MemberRules& rules, const MemberView& view, const std::vector<std::string>& peer_urls,
                      bool learner);
absl::Status CheckRemove(const MemberRules& rules, const MemberView& view, uint64_t id);
absl::Status CheckUpdate(const MemberView& view, uint64_t id, const std::vector<std::string>& peer_urls);
absl::Status CheckPromote(const MemberRules& rules, const MemberView& view, uint64_t id);
absl::Status CheckReplace(const MemberRules& rules, const MemberView& view, uint64_t id,
                          const std::vector<std::string>& peer_urls);

// Whether a member that awaits its vote has caught up far enough to get it.
bool IsReadyToVote(const MemberView& view, uint64_t id);

}  // namespace keel::server
