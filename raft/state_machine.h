#pragma once

// What the log drives. server/apply implements it; simulation has its own.

#include <span>

#include "absl/status/status.h"
#include "raft/entry.h"
#include "raft/types.h"

namespace keel::raft {

// Called by the apply thread only, except where it says otherwise.
class StateMachine {
 public:
  virtual ~StateMachine() = default;

  // Executes committed entries, in order, each exactly once. An error ends the process: a member that cannot apply what
  // the others applied must not go on.
  virtual absl::Status Apply(std::span<const Entry> entries) = 0;

  // Switches to the received snapshot (the one offered last through Node::OfferSnapshot with this meta), atomically and
  // durably. An error ends the process.
  virtual absl::Status Install(const SnapshotMeta& meta) = 0;

  // The applied index that would survive a crash now; the log may be truncated up to it. Thread-safe.
  virtual Index DurableApplied() const = 0;

  // This member's log has got a membership entry, which is in force from now on, committed or not (Thesis §4.1); it may
  // be cut off again. Told before anything is sent under it, so that whom it names can be reached. In a turn
  // of the node; must not block.
  virtual void OnMembershipAppended(const Entry& /*entry*/) {}

  // Leadership, term or leader changed. In a turn of the node (node.h), so one at a time; must not block.
  virtual void OnLeadership(Role role, Term term, MemberId leader) = 0;
};

}  // namespace keel::raft
