#pragma once

// The log as the core sees it: the terms of everything on disk, the entries of its tail, and how far each stage has
// come. It does no I/O.
//
//   base   the entry before the first one the log still has
//   stable durable here                     handed   given to apply          (base <= applied <= handed)
//   commit known on a quorum (Raft §5.3)    applied  confirmed by apply      (handed <= min(commit, stable))
//
// Entries stay in memory while they are not durable or not handed to apply, and beyond that as long as they fit
// `cached_bytes_max`; older ones are known by their terms only, run-length encoded, so that every consistency check is
// answered without a disk. Owned by one thread (the core's).

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "raft/core.h"
#include "raft/entry.h"
#include "raft/mutant.h"
#include "raft/ready.h"
#include "raft/types.h"

namespace keel::raft {

class Log {
 public:
  // What recovery found. REQUIRES: consistent (see InitialState).
  Log(const InitialState& initial, size_t cached_bytes_max);

  EntryId base() const { return base_; }
  Index first() const { return base_.index + 1; }
  EntryId last() const { return last_; }
  Index commit() const { return commit_; }
  Index stable() const { return stable_; }
  Index handed() const { return handed_; }
  Index applied() const { return applied_; }
  size_t cached_bytes() const { return cached_bytes_; }
  // First index held in memory; last().index + 1 when none is.
  Index cached_first() const { return last_.index + 1 - entries_.size(); }

  // The term of the entry at `index`; nullopt outside [base, last].
  std::optional<Term> TermAt(Index index) const;
  bool Has(EntryId id) const { return TermAt(id.index) == id.term; }
  // The last index at or below `at_most` that may agree with a log whose entry at `at_most` has `term`: the terms of a
  // log never decrease, so nothing of a later term can (Raft §5.3, the optimisation of rejections). An index below the
  // base when the answer lies there.
  Index FloorByTerm(Index at_most, Term term) const;
  // Raft §5.4.1.
  bool IsUpToDate(EntryId candidate) const {
    if (KEEL_MUTANT(kUpToDateByLengthOnly)) return candidate.index >= last_.index;
    return candidate.term != last_.term ? candidate.term > last_.term : candidate.index >= last_.index;
  }

  // Entries [first, ...] from memory, at most `bytes_max` but at least one. REQUIRES: cached_first() <= first <= last.
  std::vector<Entry> Slice(Index first, size_t bytes_max) const;
  const Entry& CachedAt(Index index) const;

  // REQUIRES: follows last().
  void Append(Entry entry);
  // Removes all after `index`. REQUIRES: commit <= index < last.
  void CutAfter(Index index);
  // After a snapshot install: nothing but `last`, which is committed, applied and durable.
  void Reset(EntryId last);
  // Forgets up to `through`. REQUIRES: through <= applied.
  void TruncatePrefix(Index through);

  // REQUIRES: commit <= index <= last.
  void CommitTo(Index index);

  // The stages. What was appended since the last call, to be written; empty if nothing was.
  std::vector<Entry> TakeUnwritten();
  bool has_unwritten() const { return written_ < last_.index; }
  AppendTicket Ticket(Term term) const { return {.generation = generation_, .last = last_, .term = term}; }
  // Some handed-out entries are not yet known durable.
  bool has_unstable_written() const { return stable_ < written_; }
  // A completion from before a cut says nothing of the entries that took the place of those it names: it is ignored,
  // and the append that follows every cut completes both.
  void OnStable(const AppendTicket& ticket);

  // The next committed and durable entries for apply, marked as handed.
  std::optional<ApplyWork> TakeApplicable();
  bool has_applicable() const { return handed_ < std::min(commit_, stable_); }
  void OnApplied(Index index);

  template <typename Sink>
  void DescribeTo(Sink& sink) const {
    sink(base_, last_, commit_, written_, stable_, handed_, applied_, generation_, entries_);
    for (const TermRun& run : runs_) sink(run.first, run.term);
  }

 private:
  // The run that holds `index`. REQUIRES: base < index <= last.
  std::vector<TermRun>::const_iterator RunOf(Index index) const;
  void Evict();

  const size_t cached_bytes_max_;

  EntryId base_;
  EntryId last_;
  std::vector<TermRun> runs_;  // Ascending, of (base, last]; the first may begin at or below base.
  std::deque<Entry> entries_;  // The tail [cached_first, last].
  size_t cached_bytes_ = 0;

  Index commit_;
  Index written_;  // Handed out to be written.
  Index stable_;
  Index handed_;
  Index applied_;
  uint64_t generation_ = 0;

  // Bytes that apply holds, per hand-out, so that a slow apply does not keep everything in memory.
  struct Handout {
    Index last;
    size_t bytes;
  };
  std::deque<Handout> handouts_;
  size_t handed_bytes_ = 0;
};

}  // namespace keel::raft
