#pragma once

// A run as a file: the seed's own, or what the minimiser has left of one. Lines; # begins a comment.
//
//   profile core
//   seed 4711
//   message-faults off
//   client-operations 12
//   schedule
//   12.500000 power-cut target=leader other=2 for=3.100000 param=17

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tests/sim/profile.h"

namespace keel::sim {

struct Scenario {
  std::string profile;
  uint64_t seed = 0;
  RunOptions run;

  std::string ToString() const;
  // kInvalidArgument names the line.
  static absl::StatusOr<Scenario> Parse(std::string_view text);
};

struct Minimised {
  Scenario scenario;
  RunResult result;  // Of its last run; fails as the first did.
  size_t events_before = 0;
  uint64_t runs = 0;
};

// Less and less of a failing seed, as long as the same invariant fails: the faults of single messages, fault events by
// halves (delta debugging), client operations, the length of faults. nullopt: the seed does not fail.
std::optional<Minimised> Minimise(const Scenario& scenario, double seconds_max);

}  // namespace keel::sim
