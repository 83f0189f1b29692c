#pragma once

// Linearizable reads without log entries (Thesis §6.4). The leader notes its commit index, proves by a round of
// messages that it still led after the read had arrived, and hands the index out.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "raft/types.h"

namespace keel::raft {

// The leader's side. One round is under way at a time; all reads that arrive meanwhile share the next one. Owned by the
// leader's core; lives for one leadership.
class ReadRounds {
 public:
  struct Read {
    MemberId from;  // kNobody: a caller on this member.
    ReadId id;
  };
  struct Batch {
    Index index;
    std::vector<Read> reads;
  };

  // Enough for every member's batches many times over; a bound all the same.
  static constexpr size_t kWaitingMax = 65536;

  // Rounds are numbered on from `round`: an echo of an older leadership must not confirm a new one.
  explicit ReadRounds(uint64_t round) : round_(round) {}

  // False: too many are waiting.
  bool Add(Read read);
  bool can_start() const { return !waiting_.empty() && !current_.has_value(); }
  // Starts a round for all that wait; they will read at `commit`. REQUIRES: can_start(), and the leader has committed
  // an entry of its own term, without which it may not know what its predecessors committed.
  uint64_t Start(Index commit);
  // A quorum has echoed `round`. The batch of the round under way, if that confirms it.
  std::optional<Batch> Confirm(uint64_t round);
  // The newest round started.
  uint64_t round() const { return round_; }
  bool is_under_way() const { return current_.has_value(); }
  // All reads that have no answer yet.
  std::vector<Read> TakeAll();

  template <typename Sink>
  void DescribeTo(Sink& sink) const {
    sink(current_.has_value());
    if (current_) sink(current_->index);
    for (const auto* reads : {&waiting_, current_ ? &current_->reads : nullptr}) {
      if (reads == nullptr) continue;
      for (const Read& read : *reads) sink(read.from, read.id);
    }
  }

 private:
  uint64_t round_;
  std::vector<Read> waiting_;
  std::optional<Batch> current_;
};

// A follower's side: reads it has asked its leader about. On the wire they carry numbers of our own, which never repeat
// over restarts (they start at a random point), whatever the caller does. Lives as long as the core.
class ForwardedReads {
 public:
  explicit ForwardedReads(uint64_t first) : next_(first) {}

  // The number to ask with.
  ReadId Add(ReadId id, uint64_t now);
  // The caller's id, once; nullopt: nobody waits for it any more.
  std::optional<ReadId> Take(ReadId number);
  // Those asked at or before `deadline`.
  std::vector<ReadId> TakeOlder(uint64_t deadline);
  std::vector<ReadId> TakeAll();

  template <typename Sink>
  void DescribeTo(Sink& sink) const {
    for (const Asked& asked : asked_) sink(asked.id);
  }

 private:
  struct Asked {
    ReadId number;
    ReadId id;
    uint64_t at;
  };

  uint64_t next_;
  std::deque<Asked> asked_;  // In order of asking, thus of `at`.
};

}  // namespace keel::raft
