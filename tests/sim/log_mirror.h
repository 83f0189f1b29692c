#pragma once

// What a member's log must hold, kept beside it by the simulation: of every entry its term, type and a hash. One mirror
// follows what the member has handed to be written, another what has become durable. Owned by one thread.

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "raft/core.h"
#include "raft/entry.h"
#include "raft/types.h"

namespace keel::sim {

uint64_t HashOfEntry(const raft::Entry& entry);

class LogMirror {
 public:
  struct Fact {
    raft::Term term;
    raft::EntryType type = raft::EntryType::kNoop;
    uint64_t hash = 0;

    friend bool operator==(const Fact&, const Fact&) = default;
  };

  raft::EntryId base() const { return base_; }
  raft::EntryId last() const {
    return entries_.empty() ? base_ : raft::EntryId{entries_.back().term, base_.index + entries_.size()};
  }
  // nullopt outside [base, last].
  std::optional<raft::Term> TermAt(raft::Index index) const;
  // nullptr outside (base, last].
  const Fact* At(raft::Index index) const;
  // Also true below the base: what is gone was committed, and is in the state machine.
  bool Covers(raft::EntryId id) const { return id.index < base_.index || TermAt(id.index) == id.term; }

  // Entries replace what is there from the first one's index on. False: they leave a gap.
  bool Write(std::span<const raft::Entry> entries);
  // Forgets up to `through`.
  void TruncatePrefix(raft::Index through);
  void Reset(raft::EntryId last);

  // The newest configuration of the log, and where it is; nullopt: none of its entries holds one.
  std::optional<std::pair<raft::Index, raft::Membership>> newest_membership() const;
  // The one that the entry at `index` holds; nullptr: it is of another type, or not there.
  const raft::Membership* MembershipAt(raft::Index index) const;
  // How many configurations lie after `index`.
  size_t memberships_after(raft::Index index) const;

 private:
  raft::EntryId base_;
  std::vector<Fact> entries_;
  std::vector<std::pair<raft::Index, raft::Membership>> memberships_;
};

}  // namespace keel::sim
