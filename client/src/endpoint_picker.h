#pragma once

// Which endpoint the next attempt goes to. Pure: time and randomness are passed in.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "keel/options.h"

namespace keel::client {

// An endpoint that failed is left alone for a while, longer every time, unless all are in that state: then the one
// whose time ends first is tried. Owned by one thread (or guarded by its owner).
class EndpointPicker {
 public:
  // REQUIRES: count > 0. `start` is the index of the first choice, taken modulo count.
  EndpointPicker(size_t count, Balance balance, uint64_t start);

  // None of `avoid`, unless it names all of them.
  size_t Pick(absl::Time now, std::span<const size_t> avoid = {});

  void Succeeded(size_t endpoint);
  void Failed(size_t endpoint, absl::Time now);

  // True while some endpoint has failed and not succeeded since.
  bool has_failures() const;
  // Whom Balance::kLeader goes to while it is healthy; unset: not known, it then stays where it is.
  void set_leader(std::optional<size_t> endpoint) { leader_ = endpoint; }
  size_t size() const { return endpoints_.size(); }

 private:
  struct Endpoint {
    int failures = 0;  // In a row.
    absl::Time rest_until = absl::InfinitePast();
  };

  std::vector<Endpoint> endpoints_;
  const Balance balance_;
  size_t next_;  // First choice; kSticky moves it only on failure.
  std::optional<size_t> leader_;
};

}  // namespace keel::client
