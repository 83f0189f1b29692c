#pragma once

// One call's way round the endpoints.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/time/time.h"
#include "client/src/core.h"

namespace keel::client {

// Remembers which endpoints a call (or watch) has tried, so that every one is tried once before any is tried again, and
// why each could not be connected to. Pure but for Next(). Owned by one thread at a time.
class Tour {
 public:
  // Where the next attempt goes.
  Route Next(Core& core);

  // The attempt found no connection; `text` is what gRPC, or we, say about it.
  void Refused(const std::string& endpoint, std::string_view text, absl::Time now);
  // Some server has taken the attempt.
  void Reached() { refused_.clear(); }

  // For how long the last `endpoints` different endpoints have refused, none of them having been reached in between.
  std::optional<absl::Duration> UnreachableFor(size_t endpoints, absl::Time now) const;
  // "endpoint 10.0.0.9:2379: connection refused". Empty if none has refused since one was reached.
  std::string Explanation(size_t endpoints) const;

 private:
  struct Refusal {
    std::string endpoint;
    std::string cause;
  };

  absl::InlinedVector<size_t, 4> tried_;  // In this round.
  std::vector<Refusal> refused_;
  absl::Time all_refused_at_ = absl::InfinitePast();  // When the last refusal of a new endpoint came.
};

}  // namespace keel::client
