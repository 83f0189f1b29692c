#pragma once

// A leader's view of the whole group: one Progress per other member, and what a quorum of them makes true. Iterates in
// order of member id. Owned by the leader's core; lives for one leadership.

#include <cstdint>
#include <map>

#include "raft/membership.h"
#include "raft/options.h"
#include "raft/progress.h"
#include "raft/types.h"

namespace keel::raft {

class ProgressTracker {
 public:
  // `options` and `memberships` outlive the tracker. `now` in ticks: everyone counts as heard of at the start.
  ProgressTracker(const CoreOptions& options, const MembershipHistory& memberships, Index next, uint64_t now);

  // The membership is another now: newcomers begin at `next`, and count as heard of `now`. Who has left is kept for a
  // while, so that it learns of it: nobody counts on it or waits for it, but it gets what the others get.
  void Update(Index next, uint64_t now);
  // Forgets those who left long enough ago.
  void DropLeavers(uint64_t now);

  // nullptr: not a member, or this member itself.
  Progress* Find(MemberId id);
  std::map<MemberId, Progress>& followers() { return followers_; }
  const std::map<MemberId, Progress>& followers() const { return followers_; }

  // The last index that a quorum has durably, this member counting with its own `stable` (Raft §5.4).
  Index QuorumMatch(Index stable) const;
  // The newest read round that a quorum has echoed, this member counting itself (Thesis §6.4).
  uint64_t QuorumRound(uint64_t own_round) const;
  // The latest tick since which a quorum has been heard of (CheckQuorum).
  uint64_t QuorumHeardAt(uint64_t now) const;
  // Somebody else could lead.
  bool HasOtherVoter() const;

  // The same options and history, somewhere else.
  void Rebind(const CoreOptions& options, const MembershipHistory& memberships);

  template <typename Sink>
  void DescribeTo(Sink& sink) const {
    sink(followers_);
  }

 private:
  const CoreOptions* options_;
  const MembershipHistory* memberships_;
  std::map<MemberId, Progress> followers_;
};

}  // namespace keel::raft
