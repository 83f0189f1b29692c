#pragma once

// The nets that a planted bug may swim into, by name:
//
//   script/NAME             a story of tests/scenarios
//   unit/SUITE.CASE         a directed test of tests/raft or tests/log
//   sim/PROFILE/FIRST/N     seeds [FIRST, FIRST + N) of the simulation
//   explorer/WORLD/STATES   the bounded explorer, up to so many states
//
// Each runs in the calling process and returns what it found.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace keel::mutants {

struct Check {
  std::string name;
  double seconds_max = 0;  // Longer, and it does not end.
  // What it found, empty when nothing; counts seeds or states in its argument.
  std::function<std::string(volatile uint64_t*)> run;
};

// nullopt: no such check.
std::optional<Check> FindCheck(std::string_view name);

// All of one kind, cheapest first.
std::vector<std::string> ScriptChecks();
std::vector<std::string> UnitChecks();
std::vector<std::string> ExplorerChecks(uint64_t states_max);
std::vector<std::string> SimChecks(uint64_t seeds_max);

}  // namespace keel::mutants
