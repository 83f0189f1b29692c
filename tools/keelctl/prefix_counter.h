#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "keel/types.h"

namespace keel::ctl {

// Which prefixes are written most. Thread-safe; bounded: when there are too many prefixes, new ones are counted
// together as "(others)".
class PrefixCounter {
 public:
  struct Row {
    std::string prefix;
    int64_t puts = 0;
    int64_t deletes = 0;
    int64_t bytes = 0;  // Of keys and values.
  };

  // A prefix is the first `depth` parts of a key, slashes included: "/config/app/" at depth 2.
  explicit PrefixCounter(int depth) : depth_(depth) {}

  void Add(const Event& event);
  // The `most` busiest since the last call, and begins anew.
  std::vector<Row> Take(size_t most);

  static std::string PrefixOf(const std::string& key, int depth);

 private:
  const int depth_;
  absl::Mutex mutex_;
  std::map<std::string, Row> rows_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace keel::ctl
