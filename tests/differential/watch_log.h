#pragma once

// What a watch stream has delivered, by watcher, in a form in which two servers can be compared: neither promises how
// it groups the revisions of a watcher that is catching up, nor how watchers of a stream are interleaved.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/differential/connection.h"
#include "tests/differential/normaliser.h"

namespace keel::differential {

// The watcher of the stream that the runner uses to learn that all before has been delivered.
inline constexpr int64_t kMarkerWatch = 987654321;

struct WatchLog {
  // Of each watcher: whole messages where it was live, single events (as messages of one event without header) where it
  // was catching up. Answers to requests (created, cancelled on request, progress) are not here but the answer of
  // their step.
  std::map<int64_t, std::vector<MessagePtr>> watchers;
  // Broken promises that need no second server to be seen.
  std::vector<std::string> violations;
};

// `catching_up` gives, for watchers that started in the past, how many of the stream's messages may be grouped at will.
WatchLog ReadWatchLog(const ServerFacts& facts, const std::vector<MessagePtr>& messages,
                      const std::map<int64_t, size_t>& catching_up);

}  // namespace keel::differential
