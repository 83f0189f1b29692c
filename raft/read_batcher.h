#pragma once

#include <map>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "raft/applied_waiters.h"
#include "raft/mailbox.h"
#include "raft/ready.h"
#include "raft/types.h"

namespace keel::raft {

// Turns reads into attempts at a read point: all reads that have gathered share one attempt, that is one ReadId, that
// is one round trip. An attempt that fails or stays without an answer is given up, and its reads go into a later one
// with a fresh id (an id is never used again: an answer to an old attempt must not pass for one to a newer read).
//
// Owned by the raft thread. Callbacks run there.
class ReadBatcher {
 public:
  // Ids count from `first_id`. Answered reads go to `waiters`, which must outlive this.
  ReadBatcher(ReadId first_id, AppliedWaiters* waiters) : next_id_(first_id), waiters_(*waiters) {}

  void Add(std::vector<PendingRead>* reads);

  // The id of a new attempt for everything that waits, to be given to Core::ReadIndex. nullopt: nothing waits, enough
  // attempts are out, or the last one failed and the next is due only after a tick or a change of leader.
  std::optional<ReadId> StartAttempt(absl::Time now);
  bool is_waiting() const { return !waiting_.empty(); }  // For an attempt to begin.
  void OnResult(const ReadResult& result);
  // Whoever leads now may answer: try again at once.
  void OnLeaderChange() { backing_off_ = false; }
  // Ends reads past their deadline and attempts without an answer.
  void OnTick(absl::Time now);
  void FailAll(const absl::Status& status);

 private:
  struct Attempt {
    absl::Time started;
    std::vector<PendingRead> reads;
  };

  ReadId next_id_;
  AppliedWaiters& waiters_;
  std::vector<PendingRead> waiting_;
  std::map<ReadId, Attempt> attempts_;
  bool backing_off_ = false;
};

}  // namespace keel::raft
