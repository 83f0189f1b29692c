// Copies of a core, and what tells its states apart: for those that explore what may happen next (tests/explorer).

#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"
#include "raft/core_impl.h"
#include "raft/fingerprint.h"

namespace keel::raft {

Core::Core(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

std::unique_ptr<Core> Core::Clone() const { return std::unique_ptr<Core>(new Core(impl_->Clone())); }

void Core::AppendFingerprint(std::string* out) const { impl_->AppendFingerprint(out); }

std::unique_ptr<Core::Impl> Core::Impl::Clone() const {
  auto copy = std::make_unique<Impl>(*this);
  // The one part that looks at others.
  if (LeaderRole* leader = copy->leader_role()) leader->tracker.Rebind(copy->options_, copy->memberships_);
  return copy;
}

void Core::Impl::AppendFingerprint(std::string* out) const {
  KEEL_CHECK(!HasReady()) << "take what is ready first";
  Fingerprint sink(out);
  sink(term_, vote_, written_, durable_term_, data_loss_, memberships_, log_);
  // Of time, only what has come true: how long a timer has to run decides nothing before it ends.
  sink(IsSticky(), DiskIsSlow(), DiskIsStalled(), ticks_ < hurry_until_);
  sink(role_.index());
  if (const auto* follower = std::get_if<FollowerRole>(&role_)) {
    sink(follower->leader);
    const bool is_fresh = follower->ignored_pre_vote.has_value() && ticks_ - follower->ignored_at <= 1;
    sink(is_fresh);
    if (is_fresh) {
      const Message& request = *follower->ignored_pre_vote;
      sink(request.from, request.term, std::get<VoteRequest>(request.body).last);
    }
  } else if (const auto* candidate = std::get_if<CandidateRole>(&role_)) {
    sink(*candidate);
  } else {
    const LeaderRole& leader = std::get<LeaderRole>(role_);
    sink(leader.tracker, leader.reads, leader.term_start, leader.uncommitted_bytes, leader.transfer.has_value());
    if (leader.transfer) sink(leader.transfer->target, leader.transfer->asked);
    for (const auto& [id, progress] : leader.tracker.followers()) sink(ticks_ - progress.heard_at >= election_ticks());
  }
  sink(forwarded_, install_.has_value());
  if (install_) sink(install_->meta, install_->handed);
  for (const auto& [id, fetch] : fetching_) sink(id, fetch.term, fetch.first);
  sink(sending_snapshot_, held_.payloads);
}

}  // namespace keel::raft
