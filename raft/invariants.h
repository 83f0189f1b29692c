#pragma once

// What must hold of one member's state at every moment, whatever its peers do. A violation is a bug or broken memory:
// the process stops before it can spread (KEEL_CHECK).

#include "raft/log.h"
#include "raft/tracker.h"
#include "raft/types.h"

namespace keel::raft {

// Compares each state with the one before it. Owned by one core. Costs a few comparisons, and one per follower.
class Invariants {
 public:
  // `tracker` is null unless leader.
  void Check(Term term, MemberId vote, const Log& log, const ProgressTracker* tracker);

 private:
  Term term_;
  MemberId vote_ = kNobody;
  Index commit_;
  Index handed_;
  Index applied_;
};

}  // namespace keel::raft
