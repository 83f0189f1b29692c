#include "server/leadership_log.h"

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace keel::server {

void LeadershipLog::Changed(raft::Role role, raft::Term term, raft::MemberId leader) {
  if (role == raft::Role::kLeader && term != led_term_) {
    led_term_ = term;
    KEEL_LOG_INFO("became leader at term", {{"term", term}});
  }
  if (leader == leader_) return;
  if (leader == raft::kNobody) {
    KEEL_LOG_INFO("lost leader", {{"leader", absl::StrCat(absl::Hex(leader_.value()))}, {"term", term}});
  } else {
    KEEL_LOG_INFO("elected leader", {{"leader", absl::StrCat(absl::Hex(leader.value()))}, {"term", term}});
  }
  leader_ = leader;
  metrics_.LeaderChanged(leader != raft::kNobody, role == raft::Role::kLeader);
}

}  // namespace keel::server
