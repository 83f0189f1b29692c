#pragma once

// The kinds of worlds there are, by name, and how one seed of one of them is run. Everything above (the runner, its
// command line, the minimiser, tests of tests) knows worlds only through this.
//
//   RunResult result = RunSeed("core", 4711, {});
//   if (!result.ok()) std::puts(result.violation->invariant.c_str());
//
// Profiles are added at the start of main, by one thread.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/fault_schedule.h"
#include "tests/sim/ledger.h"
#include "tests/sim/options.h"

namespace keel::sim {

struct RunOptions {
  uint64_t until = UINT64_MAX;  // Stop before this event.
  bool trace = false;
  BrokenRule broken_rule = BrokenRule::kNone;
  // Instead of the seed's own: what a minimised or stored run does. Rates of single messages' faults and client
  // operations remain, unless switched off below.
  std::optional<FaultSchedule> schedule;
  bool message_faults = true;
  std::optional<uint64_t> client_operations_max;
};

struct RunResult {
  std::optional<Violation> violation;
  uint64_t events = 0;
  uint64_t digest = 0;  // Equal for equal runs.
  SimTime end = 0;
  std::string options;     // What the seed's world was like, for people.
  FaultSchedule schedule;  // What was to be done to it.
  uint64_t client_operations = 0;
  Ledger ledger;

  bool ok() const { return !violation.has_value(); }
};

struct Profile {
  std::string name;
  std::string description;
  // In this process; a KEEL_CHECK that fails ends it. Throws nothing.
  std::function<RunResult(uint64_t seed, const RunOptions& options)> run;
  // Checks and marks that this profile has no use for. All others must have compared something, or been reached, in a
  // run of enough seeds.
  std::vector<std::string> idle;
  // Those that its members know how to break.
  std::vector<BrokenRule> breakable;
  // A run of so many must have compared, and reached, everything else.
  uint64_t enough_seeds = 1000;
};

// The process's list. "core", "member" and "disk" are there from the beginning.
std::vector<Profile>& Profiles();
const Profile* FindProfile(std::string_view name);

// In this process. REQUIRES: the profile exists.
RunResult RunSeed(std::string_view profile, uint64_t seed, const RunOptions& options);

// In a child process, so that a failed KEEL_CHECK, a crash or an endless loop is a result too: the invariant is then
// "check", "crash" or "endless". The ledger comes along, trace goes to the standard output.
RunResult RunSeedIsolated(std::string_view profile, uint64_t seed, const RunOptions& options);

}  // namespace keel::sim
