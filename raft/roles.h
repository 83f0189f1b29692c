#pragma once

// What a member knows only as long as it plays a role. Each is one alternative of Core::Impl::role_, made when the role
// begins and gone when it ends, so that nothing of an old role can be mistaken for the new one's.

#include <cstddef>
#include <cstdint>
#include <optional>

#include "raft/election.h"
#include "raft/membership.h"
#include "raft/message.h"
#include "raft/options.h"
#include "raft/read_index.h"
#include "raft/tracker.h"
#include "raft/types.h"

namespace keel::raft {

struct FollowerRole {
  MemberId leader = kNobody;  // Of this term, as far as known.
  uint64_t heard_at = 0;      // Tick at which it was last heard of.
  // The newest pre-vote request that loyalty to the leader let go unanswered, and when it came.
  std::optional<Message> ignored_pre_vote;
  uint64_t ignored_at = 0;
};

// Of a pre-candidate, too: Election::kind() tells.
using CandidateRole = Election;

// Leadership is being handed over (Thesis §3.10).
struct Transfer {
  MemberId target;
  uint64_t started_at = 0;
  bool asked = false;  // TimeoutNow was sent since the last tick.
};

struct LeaderRole {
  // `options` and `memberships` outlive it; `last` is the log's, `round` the newest read round of earlier leaderships.
  LeaderRole(const CoreOptions& options, const MembershipHistory& memberships, Index last, uint64_t now, uint64_t round)
      : tracker(options, memberships, last + 1, now), reads(round), term_start(last + 1) {}

  ProgressTracker tracker;
  ReadRounds reads;
  Index term_start;              // The no-op of this term.
  size_t uncommitted_bytes = 0;  // Of entries from term_start on.
  int heartbeat_elapsed = 0;
  bool flush = true;  // There may be something to send; TakeReady looks.
  std::optional<Transfer> transfer;
};

}  // namespace keel::raft
