#include "raft/invariants.h"

#include "base/check.h"

namespace keel::raft {

void Invariants::Check(Term term, MemberId vote, const Log& log, const ProgressTracker* tracker) {
  KEEL_CHECK_GE(term, term_) << "the term went back";
  if (term == term_ && vote_ != kNobody) KEEL_CHECK_EQ(vote, vote_) << "a second vote in term " << term;
  KEEL_CHECK_GE(log.commit(), commit_) << "commit went back";
  KEEL_CHECK_GE(log.handed(), handed_) << "apply was handed entries twice";
  KEEL_CHECK_GE(log.applied(), applied_) << "applied went back";

  KEEL_CHECK_LE(log.base().index, log.applied());
  KEEL_CHECK_LE(log.applied(), log.handed());
  KEEL_CHECK_LE(log.handed(), log.commit());
  KEEL_CHECK_LE(log.handed(), log.stable()) << "apply overtook this member's disk";
  KEEL_CHECK_LE(log.commit(), log.last().index);
  KEEL_CHECK_LE(log.stable(), log.last().index);
  KEEL_CHECK_LE(log.last().term, term) << "an entry of a future term";

  if (tracker != nullptr) {
    for (const auto& [id, progress] : tracker->followers()) {
      KEEL_CHECK_LT(progress.match(), progress.next()) << "follower " << id;
      KEEL_CHECK_LE(progress.match(), log.last().index) << "follower " << id;
    }
  }

  term_ = term;
  vote_ = vote;
  commit_ = log.commit();
  handed_ = log.handed();
  applied_ = log.applied();
}

}  // namespace keel::raft
