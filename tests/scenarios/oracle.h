#pragma once

// Watches a group from outside: it sees every message and every disk, and knows what must hold of all members together
// (Raft fig. 3, and what each promise rests on). Names are those of the usual specification of Raft. A broken
// invariant is kept as text; what happens after it means nothing.
//
// Owned by one thread.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "raft/core.h"
#include "raft/entry.h"
#include "raft/message.h"
#include "raft/types.h"

namespace keel::raft::scenario {

// A log as one would read it from a disk.
class LogImage {
 public:
  EntryId base() const { return base_; }
  EntryId last() const { return entries_.empty() ? base_ : entries_.back().id; }
  const std::vector<Entry>& entries() const { return entries_; }
  // nullopt outside [base, last].
  std::optional<Term> TermAt(Index index) const;
  // Also true below the base: what is gone was committed, and is in the state machine.
  bool Covers(EntryId id) const { return id.index < base_.index || TermAt(id.index) == id.term; }
  // REQUIRES: base < index <= last.
  const Entry& At(Index index) const { return entries_.at(index - base_.index - 1); }

  // Entries replace what is stored from the first one's index on. REQUIRES: no gap.
  void Write(const std::vector<Entry>& entries);
  void TruncatePrefix(Index through);
  void Reset(EntryId last);
  std::vector<TermRun> TermRuns() const;

 private:
  EntryId base_;
  std::vector<Entry> entries_;
};

// One member, as the oracle sees it.
struct View {
  CoreStatus status;
  const LogImage* written;  // With what is on its way to the disk: what the core believes its log to be.
  const LogImage* durable;
  const Membership* membership;  // Of the state machine, which stands at status.applied.
  HardState hard_state;          // Durable.
  bool is_installing = false;
  std::vector<FollowerStatus> followers;
};

class Oracle {
 public:
  // The first broken invariant: its name, a colon, and who and what. Empty: none.
  const std::string& violation() const { return violation_; }
  // Checks made so far; a net nothing swims into proves nothing.
  uint64_t comparisons() const { return comparisons_; }

  // The story begins with these entries committed, from index 1 on.
  void OnBeginning(const std::vector<EntryId>& committed);
  // Its disk is empty now; what it will start from is no promise any more. What it says then is.
  void OnWipe(MemberId id) { wiped_.insert(id); }
  // A member starts with what is on its disk.
  void OnStart(MemberId id, const HardState& hard_state);
  // It hands out a write; `log` is its log without it.
  void OnWrite(MemberId id, const LogImage& log, const std::optional<HardState>& hard_state,
               const std::vector<Entry>& entries);
  // A message leaves `from`.
  void OnSend(const Message& message, const View& from);
  // After every input to a member. `all`: everybody's durable log, also of those that are down.
  void OnStep(const View& member, const std::map<MemberId, const LogImage*>& all);
  // It executes an entry.
  void OnApply(MemberId id, const Entry& entry);
  // A read is asked for, and answered.
  Index CommittedNow() const { return Index(committed_.size() - 1); }
  void OnRead(MemberId id, Index committed_before, Index answer);

 private:
  struct Seen {
    Term term;
    MemberId vote = kNobody;
    Index commit;
    Index applied;
    Term leads;
    Index leader_last;
    std::map<MemberId, Index> match;
  };
  struct EntryFacts {
    EntryId prev;
    EntryType type;
    std::string payload;
    friend bool operator==(const EntryFacts&, const EntryFacts&) = default;
  };

  void Require(bool holds, const char* invariant, MemberId id, const std::string& text);
  void CheckCommit(const View& member, const std::map<MemberId, const LogImage*>& all);
  void CheckLeader(const View& member);
  void CheckMembership(const View& member);

  std::string violation_;
  uint64_t comparisons_ = 0;
  std::map<MemberId, Seen> seen_;
  std::set<MemberId> wiped_;
  std::map<Term, MemberId> leaders_;
  std::map<std::pair<MemberId, Term>, MemberId> votes_;   // Ever sent.
  std::map<std::pair<Index, Term>, EntryFacts> entries_;  // Ever written by anybody.
  std::vector<EntryId> committed_{EntryId{}};             // By index.
  std::vector<Term> commit_terms_{Term(0)};               // In whose term.
  std::map<Index, EntryFacts> applied_;
};

}  // namespace keel::raft::scenario
