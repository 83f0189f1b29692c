#pragma once

// Many seeds of one profile, over several processes, and what they amount to. The first failing seed ends it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/ledger.h"
#include "tests/sim/profile.h"

namespace keel::sim {

struct RunnerOptions {
  std::string profile;
  uint64_t first_seed = 1;
  uint64_t seeds = 1000;       // At most.
  double seconds = 0;          // Not 0: stop after that much time.
  int jobs = 1;                // Processes.
  uint64_t repeat_every = 50;  // Every so many seeds are run twice and compared.
  BrokenRule broken_rule = BrokenRule::kNone;
};

struct Failure {
  uint64_t seed = 0;
  uint64_t event = 0;
  Violation violation;
};

struct Summary {
  uint64_t seeds = 0;
  double seconds = 0;
  Ledger ledger;
  std::optional<Failure> failure;

  double seeds_per_minute() const { return seconds > 0 ? static_cast<double>(seeds) * 60 / seconds : 0; }
};

Summary RunSeeds(const RunnerOptions& options);

// One line: profile, seed, event, invariant, how to replay it.
std::string FailureLine(const std::string& profile, const Failure& failure, BrokenRule broken_rule);
// Several lines: seeds, events, faults by class, comparisons by check, marks, speed.
std::string Report(const std::string& profile, const Summary& summary);
// The names of checks that compared nothing and of marks that were never reached, though the profile should have.
std::vector<std::string> Untouched(const std::string& profile, const Summary& summary);

}  // namespace keel::sim
