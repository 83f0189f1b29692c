#pragma once

// The compact revisions that live views were taken at: physical compaction stays at or below the lowest.
// Thread-safe.

#include <cstdint>
#include <map>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "storage/revision.h"

namespace keel::storage {

class ViewFloors {
 public:
  void Add(Revision floor) {
    absl::MutexLock lock(&mu_);
    ++floors_[floor];
    ++views_;
  }
  void Remove(Revision floor) {
    absl::MutexLock lock(&mu_);
    auto it = floors_.find(floor);
    if (--it->second == 0) floors_.erase(it);
    --views_;
  }

  int64_t views() const {
    absl::MutexLock lock(&mu_);
    return views_;
  }

  // The lower of `limit` and the lowest floor.
  Revision LowestUpTo(Revision limit) const {
    absl::MutexLock lock(&mu_);
    return floors_.empty() || floors_.begin()->first > limit ? limit : floors_.begin()->first;
  }

  // Waits until no view holds anything at or below `floor`, or for `timeout`.
  void AwaitAbove(Revision floor, absl::Duration timeout) const {
    absl::MutexLock lock(&mu_);
    auto above = [this, floor]()
                     ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return floors_.empty() || floors_.begin()->first > floor; };
    mu_.AwaitWithTimeout(absl::Condition(&above), timeout);
  }

 private:
  mutable absl::Mutex mu_;
  std::map<Revision, int> floors_ ABSL_GUARDED_BY(mu_);
  int64_t views_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace keel::storage
