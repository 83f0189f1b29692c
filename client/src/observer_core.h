#pragma once

// The engine of an ElectionObserver.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "client/src/core.h"
#include "keel/election.h"
#include "keel/watch.h"

namespace keel::client {

// Thread-safe; one Next() at a time, others wait. Reads who leads, then watches that key until it goes, or the whole
// prefix while nobody leads.
class ObserverCore {
 public:
  ObserverCore(std::shared_ptr<Core> core, std::string prefix) : core_(std::move(core)), prefix_(std::move(prefix)) {}

  absl::StatusOr<LeaderResponse> Next(absl::Time deadline);
  void Cancel();

 private:
  // False if this very pair was returned last, which a look after a compaction finds again. Remembers it.
  bool IsNews(const KeyValue& kv) ABSL_EXCLUSIVE_LOCKS_REQUIRED(next_mu_);
  // Reads the leader anew and starts the watch that goes on from there. nullopt: nobody leads.
  absl::StatusOr<std::optional<LeaderResponse>> Look(absl::Time deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(next_mu_);

  const std::shared_ptr<Core> core_;
  const std::string prefix_;

  absl::Mutex next_mu_;  // Held over a whole Next(); before mu_.
  // The last pair that was returned. A successor's may be older: it was written when the candidate queued up.
  std::string seen_key_ ABSL_GUARDED_BY(next_mu_);
  int64_t seen_revision_ ABSL_GUARDED_BY(next_mu_) = 0;  // mod_revision.
  bool has_leader_ ABSL_GUARDED_BY(next_mu_) = false;    // The watch is on the leader's key, not the prefix.

  absl::Mutex mu_;
  std::shared_ptr<Watcher> watcher_ ABSL_GUARDED_BY(mu_);  // Shared with a Next() that waits for it.
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace keel::client
