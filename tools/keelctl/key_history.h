#pragma once

// Every change of one key that the store still knows.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "keel/client.h"

namespace keel::ctl {

struct KeyHistory {
  std::vector<Event> changes;    // Oldest first.
  int64_t compact_revision = 0;  // What was before this one is forgotten; 0: nothing is.
  int64_t revision = 0;          // Up to which the history is complete.
};

// The last `limit` changes, 0: all. Takes the revision of the store at the time of the call and waits until the watch
// has told everything up to it.
absl::StatusOr<KeyHistory> ReadHistory(Client& client, const std::string& key, size_t limit, absl::Duration timeout);

// "KEY@REVISION"; without a revision the newest (0). An "@" that no number follows belongs to the key.
struct KeyAt {
  std::string key;
  int64_t revision = 0;
};
KeyAt ParseKeyAt(const std::string& text);

}  // namespace keel::ctl
