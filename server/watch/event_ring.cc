#include "server/watch/event_ring.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace keel::server {

void EventRing::Append(storage::RevisionEventsPtr revision) {
  KEEL_CHECK(revision->revision >= first_ && (revisions_.empty() || revision->revision > revisions_.back()->revision));
  bytes_ += revision->bytes;
  revisions_.push_back(std::move(revision));
  while (bytes_ > bytes_max_ && !revisions_.empty()) {
    bytes_ -= revisions_.front()->bytes;
    first_ = revisions_.front()->revision + 1;
    revisions_.pop_front();
  }
}

void EventRing::Reset(storage::Revision first) {
  revisions_.clear();
  bytes_ = 0;
  first_ = first;
}

std::vector<storage::RevisionEventsPtr> EventRing::Read(storage::Revision from, storage::Revision last,
                                                        size_t bytes_max) const {
  KEEL_CHECK(Covers(from));
  auto at = std::lower_bound(
      revisions_.begin(), revisions_.end(), from,
      [](const storage::RevisionEventsPtr& events, storage::Revision wanted) { return events->revision < wanted; });
  std::vector<storage::RevisionEventsPtr> read;
  size_t bytes = 0;
  for (; at != revisions_.end() && (*at)->revision <= last; ++at) {
    if (!read.empty() && bytes + (*at)->bytes > bytes_max) break;
    bytes += (*at)->bytes;
    read.push_back(*at);
  }
  return read;
}

}  // namespace keel::server
