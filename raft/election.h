#pragma once

// The votes a candidate or pre-candidate has gathered in one election (Raft §5.2, Thesis §9.6). A member's first answer
// counts, repeats do not. Owned by the core; lives for one election.

#include <map>

#include "raft/quorum.h"
#include "raft/types.h"

namespace keel::raft {

class Election {
 public:
  enum class Kind { kPreVote, kVote };

  explicit Election(Kind kind) : kind_(kind) {}

  Kind kind() const { return kind_; }
  void Record(MemberId voter, bool granted) { votes_.try_emplace(voter, granted); }
  VoteOutcome Outcome(const Membership& membership) const;

  template <typename Sink>
  void DescribeTo(Sink& sink) const {
    sink(kind_, votes_);
  }

 private:
  Kind kind_;
  std::map<MemberId, bool> votes_;
};

}  // namespace keel::raft
