#include "server/reconcile.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace keel::server {
namespace {

// The term of the log's entry `index`; nullopt when the log does not hold it. The position it starts after counts.
std::optional<raft::Term> TermAt(const storage::RaftLog::Recovered& log, raft::Index index) {
  if (index == log.start.index) return log.start.term;
  if (index < log.start.index || index > log.last) return std::nullopt;
  std::optional<raft::Term> term;
  for (const raft::TermRun& run : log.term_runs) {
    if (run.first <= index) term = run.term;
  }
  return term;
}

}  // namespace

absl::StatusOr<Reconciled> Reconcile(const storage::RaftLog::Recovered& log, storage::AppliedPosition applied,
                                     raft::Membership membership) {
  const raft::EntryId position{raft::Term{applied.term}, raft::Index{applied.index}};
  Reconciled result;
  raft::InitialState& initial = result.initial;
  initial.hard_state = log.hard_state;
  initial.applied = position.index;
  initial.membership = std::move(membership);
  if (position.index < log.start.index) {
    return absl::DataLossError(absl::StrCat("the log begins after entry ", log.start.index.value(),
                                            " but the state stands at ", applied.index,
                                            ": entries between them are missing; remove the data directory and let "
                                            "this member rejoin"));
  }
  if (TermAt(log, position.index) == position.term) {
    initial.snapshot = log.start;
    initial.term_runs = log.term_runs;
    initial.memberships = log.memberships;
    initial.last = log.last;
  } else {
    result.reset_log = true;
    initial.snapshot = position;
    initial.last = position.index;
  }
  // What was applied was committed, in a term that this member had seen though perhaps not written down; then it cannot
  // have voted in it either.
  if (initial.hard_state.term < position.term) {
    initial.hard_state.term = position.term;
    initial.hard_state.vote = raft::kNobody;
  }
  initial.hard_state.commit = std::clamp(initial.hard_state.commit, position.index, initial.last);
  return result;
}

}  // namespace keel::server
