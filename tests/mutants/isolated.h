#pragma once

// Runs a check in a child process: a mutant may break an invariant, fail a KEEL_CHECK, crash, or never end.

#include <cstdint>
#include <functional>
#include <string>

namespace keel::mutants {

struct Outcome {
  bool caught = false;
  std::string how;        // The invariant, check or signal.
  uint64_t progress = 0;  // What the check had reached, see below.
  double seconds = 0;
};

// `check` returns what it found, empty when nothing is wrong; it keeps its progress in the counter (seeds, states),
// from where it is known even if the process dies. Longer than `seconds_max`: caught, it does not end; unless it says
// that its time is limited anyway. REQUIRES: one thread.
Outcome RunIsolated(const std::function<std::string(volatile uint64_t*)>& check, double seconds_max);

}  // namespace keel::mutants
