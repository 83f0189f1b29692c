#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "raft/mailbox.h"
#include "raft/types.h"

namespace keel::raft {

// Reads that have their index and wait until this member has applied up to it.
//
// Thread-safe. Callbacks run on the calling thread, without a lock held. After Close every read is answered with its
// status at once.
class AppliedWaiters {
 public:
  explicit AppliedWaiters(Index applied) : applied_(applied) {}

  // Answers at once those that need not wait.
  void Add(Index index, std::vector<PendingRead> reads);
  // Everything up to `index` is applied.
  void Advance(Index index);
  // Answers those past their deadline with kDeadlineExceeded.
  void Expire(absl::Time now);
  void Close(absl::Status status);

 private:
  std::mutex mu_;
  Index applied_;  // Guarded by mu_, like all below.
  std::multimap<Index, PendingRead> waiting_;
  std::optional<absl::Status> closed_;
};

}  // namespace keel::raft
