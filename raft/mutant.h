#pragma once

// Planted bugs. Each is a mistake that implementations of Raft have really made, switched on by name in a build of its
// own (tests/mutants), to prove that the tests would notice. In every other build KEEL_MUTANT(name) is the constant
// false, and the compiler leaves nothing of it.
//
//   if (index <= log_.commit() || (log_.TermAt(index) != term_ && !KEEL_MUTANT(kCommitOldTermByCounting))) return;

#ifdef KEEL_MUTANTS

namespace keel {

enum class Mutant {
  kNone,
  // Elections.
  kVoteBeforeSync,
  kSameTermStepDownClearsVote,
  kOldTermVoteCounts,
  kCandidateForgetsOwnVote,
  kUpToDateByLengthOnly,
  kPreVoteChangesState,
  kNoPreVote,
  kNoStickiness,
  kNoCheckQuorum,
  kStalledDiskLeads,
  // Replication.
  kCommitOldTermByCounting,
  kAckBeforeSync,
  kLeaderCountsUnsynced,
  kAppendCompletionAba,
  kTruncateAlways,
  kCommitToLastIndex,
  kCommitGoesBack,
  kMatchGoesBack,
  kAckWholeLog,
  kCommitStopsAtOldTerm,
  // Reads.
  kNoNoop,
  kReadBeforeTermCommit,
  kReadWithoutQuorum,
  kReadNumbersRepeat,
  // Membership.
  kChangeBeforeTermCommit,
  kSecondChangeInFlight,
  kCutKeepsMembership,
  kSnapshotKeepsMembership,
  kJointCountsNewOnly,
  kJointNeverLeft,
  kLeaderResignsAtAppend,
  kRemovedLeaderStays,
  kLearnerCampaigns,
  kTransferNeverEnds,
  // Snapshots and restart.
  kStaleSnapshotInstalls,
  kAppliesAgainAfterRestart,
  // The log on disk.
  kDamageTakenForTornTail,
  kSyncErrorIgnored,
  kVoteNotWritten,
};

// Set once, before anything else happens in the process.
inline Mutant active_mutant = Mutant::kNone;

}  // namespace keel

#define KEEL_MUTANT(name) (::keel::active_mutant == ::keel::Mutant::name)

#else

#define KEEL_MUTANT(name) false

#endif
