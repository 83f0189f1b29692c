#pragma once

// One member's disk in the simulation: writes queue, become durable in order and later, and a crash loses what was not:
// a random prefix of the queue survives, down to half a batch.

#include <deque>
#include <optional>
#include <vector>

#include "base/random.h"
#include "raft/core.h"
#include "raft/ready.h"

namespace keel::raft::sim {

// A log as a reader would find it.
class LogImage {
 public:
  EntryId base() const { return base_; }
  EntryId last() const { return entries_.empty() ? base_ : entries_.back().id; }
  // nullopt outside [base, last].
  std::optional<Term> TermAt(Index index) const;
  // Also true below the base: what is gone was committed, and is in the state machine.
  bool Covers(EntryId id) const { return id.index < base_.index || TermAt(id.index) == id.term; }
  // REQUIRES: base < index <= last.
  const Entry& At(Index index) const { return entries_.at(index - base_.index - 1); }

  // Entries replace what is stored from the first one's index on. False: they leave a gap.
  bool Write(const std::vector<Entry>& entries);
  void TruncatePrefix(Index through);
  void Reset(EntryId last);
  std::vector<TermRun> TermRuns() const;

 private:
  EntryId base_;
  std::vector<Entry> entries_;
};

struct PendingWrite {
  std::optional<AppendWork> append;
  std::vector<Message> messages;  // Leave once it is durable.
};

struct SimDisk {
  HardState hard_state;  // Durable.
  LogImage durable;
  LogImage written;  // With everything queued; what a crash may take away.
  std::deque<PendingWrite> queue;

  bool Queue(PendingWrite write);
  // The oldest write is durable now.
  PendingWrite CompleteOne();
  void Crash(Random& random);
};

}  // namespace keel::raft::sim
