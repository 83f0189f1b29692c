#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "storage/event.h"
#include "storage/revision.h"

namespace keel::server {

// The most recent revisions, bounded in bytes, for those who fell a little behind: they need not go to the disk.
// Owned by the hub, under its lock.
class EventRing {
 public:
  // Covers [first, first): nothing yet.
  EventRing(size_t bytes_max, storage::Revision first) : bytes_max_(bytes_max), first_(first) {}

  // REQUIRES: above everything in the ring.
  void Append(storage::RevisionEventsPtr revision);

  // Forgets everything; what comes next is `first` or later.
  void Reset(storage::Revision first);

  // Whether every revision from `from` to the newest is here.
  bool Covers(storage::Revision from) const { return from >= first_; }

  // Those in [from, last], whole, ascending, stopping after `bytes_max` but never before one.
  // REQUIRES: Covers(from).
  std::vector<storage::RevisionEventsPtr> Read(storage::Revision from, storage::Revision last, size_t bytes_max) const;

  size_t bytes() const { return bytes_; }

 private:
  const size_t bytes_max_;
  std::deque<storage::RevisionEventsPtr> revisions_;
  storage::Revision first_;
  size_t bytes_ = 0;
};

}  // namespace keel::server
