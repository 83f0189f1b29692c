#pragma once

// What must hold of the whole group, seen from above: the checker knows every member's log, what of it is durable, and
// every message. The five safety properties of the paper (Raft fig. 3), durability before promises, and the
// monotonicities that make them easy to break. Every rule has a name and a count; the first violation is thrown.
//
// Owned by one thread.

#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "raft/core.h"
#include "storage/log/raft_log.h"
#include "tests/sim/ledger.h"
#include "tests/sim/log_mirror.h"
#include "tests/sim/member.h"

namespace keel::sim {

class Checker {
 public:
  // `start` is where the state of every member stood at the bootstrap, with `hash`.
  Checker(Ledger* ledger, raft::EntryId start, uint64_t hash, raft::Membership membership);

  // All in the order of the world; members by node number, null where there is none.
  void SetMembers(const std::vector<const Member*>* members) { members_ = members; }

  void OnRecovered(const Member& member, storage::RaftLog& log);
  void OnStarted(const Member& member);
  void OnWrite(const Member& member, const raft::AppendWork& work);
  void OnSend(const Member& member, const raft::Message& message);
  void OnHandedToApply(const Member& member, const raft::ApplyWork& work);
  void OnApplied(const Member& member, std::span<const raft::Entry> entries);
  void OnInstalled(const Member& member);
  void OnEvent(const Member& member);

  // Of a read: what had been committed anywhere when it began is applied when it is answered.
  raft::Index newest_commit() const { return raft::Index(committed_.size() - 1); }
  void OnReadAnswered(const Member& member, raft::Index committed_before);

  const std::vector<raft::EntryId>& committed() const { return committed_; }
  // The configuration that the committed entries up to there lead to.
  const raft::Membership& committed_membership() const { return committed_membership_; }
  uint64_t elections() const { return leaders_.size(); }
  raft::Term newest_term() const { return newest_term_; }
  // At equal positions every state machine has had this hash; what was compared so far.
  uint64_t HashAt(raft::Index index) const { return hashes_.at(index.value()); }

  // Tells a rule that may be broken by what the world did to a member's disk behind its back.
  void Exempt(raft::MemberId id) { exempt_.insert(id); }

 private:
  // What was last seen of a member.
  struct Seen {
    raft::Term term;
    raft::MemberId vote;
    raft::Index commit;
    raft::Index applied;
    raft::Term leads;         // The term it was last seen to lead.
    raft::Index leader_last;  // Its last index then.
    raft::Index membership_at;
    uint64_t name_errors = 0;  // Of its disk, when its files were as few as they should be.
  };
  struct EntryFacts {
    raft::EntryId prev;
    uint64_t hash = 0;
  };

  const Member* MemberOf(raft::MemberId id) const;
  bool IsQuorum(const raft::Membership& membership, const std::function<bool(raft::MemberId)>& holds) const;
  void CheckCommit(const Member& member, const raft::CoreStatus& status);
  void CheckLeader(const Member& member, const raft::CoreStatus& status);
  void CheckFollowers(const Member& member, const raft::CoreStatus& status);
  void CheckMembership(const Member& member, const raft::CoreStatus& status);
  void CheckAck(const Member& member, const raft::Message& message, const raft::AppendResponse& ack);

  const std::vector<const Member*>* members_ = nullptr;
  std::map<raft::MemberId, Seen> seen_;
  std::set<raft::MemberId> exempt_;
  std::map<raft::Term, raft::MemberId> leaders_;
  std::map<std::pair<raft::Term, raft::MemberId>, raft::Index> matches_;   // Counted by a term's leader.
  std::map<std::pair<raft::MemberId, raft::Term>, raft::MemberId> votes_;  // Ever sent.
  std::map<std::pair<raft::Index, raft::Term>, EntryFacts> entries_;       // Ever written by anybody.
  std::vector<raft::EntryId> committed_;                                   // By index.
  std::vector<raft::Term> commit_terms_;                                   // In whose term, by index.
  std::vector<uint64_t> hashes_;                                           // Of the state, by index.
  raft::Membership committed_membership_;
  raft::Term newest_term_;

  // The rules.
  Invariant election_safety_;
  Invariant leader_append_only_;
  Invariant log_matching_;
  Invariant leader_completeness_;
  Invariant state_machine_safety_;
  Invariant term_monotonic_;
  Invariant commit_monotonic_;
  Invariant applied_monotonic_;
  Invariant vote_stable_;
  Invariant one_vote_per_term_;
  Invariant vote_durable_;
  Invariant own_vote_durable_;
  Invariant term_durable_;
  Invariant hard_state_within_log_;
  Invariant ack_durable_;
  Invariant ack_matches_leader_;
  Invariant commit_in_own_term_;
  Invariant commit_agrees_;
  Invariant commit_durable_on_quorum_;
  Invariant commit_by_leader_;
  Invariant committed_stays_;
  Invariant match_monotonic_;
  Invariant next_above_match_;
  Invariant match_durable_;
  Invariant apply_durable_;
  Invariant apply_in_order_;
  Invariant apply_committed_;
  Invariant install_known_;
  Invariant config_from_log_;
  Invariant one_open_config_;
  Invariant config_after_own_commit_;
  Invariant read_after_apply_;
  Invariant log_keeps_durable_;
  Invariant log_invents_nothing_;
  Invariant hard_state_kept_;
  Invariant files_bounded_;

  Mark vote_while_writing_;
  Mark leader_behind_in_commit_;
  Mark recovered_interrupted_;
  Mark recovered_without_interrupted_;
  Mark log_replaced_entries_;
  Mark joint_;
  Mark snapshot_in_joint_;
};

}  // namespace keel::sim
