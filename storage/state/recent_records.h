#pragma once

// The records written last, in the order of their changes. A member writes far more than it reads of that, so keeping a
// new record must cost next to nothing: it goes to the end of a ring, without a hash, and is found by its place.
//
// Thread-safe: one short lock.

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "boost/circular_buffer.hpp"
#include "storage/revision.h"
#include "storage/state/record.h"

namespace keel::storage {

class RecentRecords {
 public:
  explicit RecentRecords(size_t bytes_max) : bytes_max_(bytes_max) {}

  // REQUIRES: ascending, and after everything that was added before. What has to make room and was found while it was
  // here goes to `used`.
  void Append(std::vector<std::pair<ChangeId, Record>> records, std::vector<std::pair<ChangeId, Record>>* used);

  std::optional<Record> Find(ChangeId change);
  // The records from `from` on, ascending, `records_max` at most; fewer only when there are no more. nullopt: what was
  // written from there on is not all here any more.
  std::optional<std::vector<std::pair<ChangeId, Record>>> Since(ChangeId from, size_t records_max) const;
  void Erase(ChangeId change);

  size_t bytes() const;

 private:
  struct Slot {
    ChangeId change;
    Record record;  // Without `kv` when it was erased.
    bool used = false;
  };

  Slot* SlotOf(ChangeId change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const size_t bytes_max_;
  mutable absl::Mutex mu_;
  boost::circular_buffer<Slot> slots_ ABSL_GUARDED_BY(mu_);
  size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace keel::storage
