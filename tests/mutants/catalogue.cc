#include "tests/mutants/catalogue.h"

#include <algorithm>

namespace keel::mutants {

const std::vector<Planted>& Catalogue() {
#define PLANTED(name, bug, what) \
  Planted { Mutant::k##name, #name, bug, what }
  static const std::vector<Planted> catalogue = {
      PLANTED(CommitOldTermByCounting, "1", "commits an entry of an earlier term by counting replicas"),
      PLANTED(VoteBeforeSync, "2", "a vote leaves before it is on the disk"),
      PLANTED(VoteNotWritten, "2", "the vote is never written to the disk"),
      PLANTED(SameTermStepDownClearsVote, "3", "becoming a follower in the same term forgets the vote"),
      PLANTED(OldTermVoteCounts, "4", "an answer to a vote request of an earlier term counts"),
      PLANTED(CandidateForgetsOwnVote, "5", "a candidate does not record that it voted for itself"),
      PLANTED(UpToDateByLengthOnly, "8", "the longer log is taken for the more up-to-date one"),
      PLANTED(AckBeforeSync, "9", "appends are acknowledged before they are on the disk"),
      PLANTED(LeaderCountsUnsynced, "10", "a leader counts entries that its own disk does not have"),
      PLANTED(AppendCompletionAba, "11",
              "the completion of replaced entries makes their replacements count as durable"),
      PLANTED(TruncateAlways, "12", "every append cuts the log, not only one that contradicts it"),
      PLANTED(CommitToLastIndex, "13", "a follower commits up to its own last entry, not up to what was verified"),
      PLANTED(CommitGoesBack, "14", "a heartbeat's commit index is taken as it is"),
      PLANTED(MatchGoesBack, "15", "an answer that was overtaken takes the match index back"),
      PLANTED(AckWholeLog, "16", "a follower acknowledges its whole log, not the verified part"),
      PLANTED(CommitStopsAtOldTerm, "20", "committing stops at the first entry of an earlier term"),
      PLANTED(NoNoop, "21", "a new leader appends no entry of its own"),
      PLANTED(ReadBeforeTermCommit, "21", "reads are served before the first commit of the leader's term"),
      PLANTED(ReadWithoutQuorum, "22", "reads are answered without a round to a quorum"),
      PLANTED(ReadNumbersRepeat, "23", "the numbers of forwarded reads begin anew with every start"),
      PLANTED(StalledDiskLeads, "26", "a leader whose disk stands still goes on leading"),
      PLANTED(NoCheckQuorum, "27", "a leader that hears of nobody goes on leading"),
      PLANTED(PreVoteChangesState, "28", "granting a pre-vote raises the term"),
      PLANTED(NoPreVote, "30", "a timeout starts a real election at once"),
      PLANTED(NoStickiness, "29", "votes are granted while the leader is alive"),
      PLANTED(ChangeBeforeTermCommit, "31", "a membership change is taken before the leader's first commit"),
      PLANTED(SecondChangeInFlight, "32", "a membership change is taken while another is not applied"),
      PLANTED(CutKeepsMembership, "34", "a configuration that was cut from the log stays in force"),
      PLANTED(SnapshotKeepsMembership, "35", "a snapshot leaves the configuration of the replaced log in force"),
      PLANTED(JointCountsNewOnly, "36", "a joint configuration decides with the new voters alone"),
      PLANTED(JointNeverLeft, "36", "a joint configuration is never left"),
      PLANTED(LeaderResignsAtAppend, "37", "a leader resigns when its removal is appended, not when it is committed"),
      PLANTED(RemovedLeaderStays, "37", "a leader that was removed goes on leading"),
      PLANTED(LearnerCampaigns, "38", "a learner stands for election"),
      PLANTED(TransferNeverEnds, "39", "a transfer to a member that does not answer blocks proposals for ever"),
      PLANTED(StaleSnapshotInstalls, "40", "a snapshot of what is already committed resets the member to it"),
      PLANTED(AppliesAgainAfterRestart, "45", "the last applied entry is executed again after a restart"),
      PLANTED(DamageTakenForTornTail, "46", "damage in the middle of the log is cut like a torn tail"),
      PLANTED(SyncErrorIgnored, "47", "a failed sync is ignored"),
  };
#undef PLANTED
  return catalogue;
}

const Planted* FindPlanted(std::string_view name) {
  const auto& all = Catalogue();
  const auto it = std::find_if(all.begin(), all.end(), [&](const Planted& planted) { return name == planted.name; });
  return it == all.end() ? nullptr : &*it;
}

}  // namespace keel::mutants
