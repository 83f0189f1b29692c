// keel-explore: what may happen to a group of three, enumerated (tests/explorer/explorer.h).
//
//   keel-explore                         every world, a minute in all
//   keel-explore --seconds=600 removal   one world, for longer
//   keel-explore --list
//
// Fails when an invariant is broken, and prints the way to it as a scenario script.

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/explorer/explorer.h"

namespace {

int Main(int argc, char** argv) {
  using namespace keel::explorer;
  double seconds = 60;
  unsigned long long states = 0;
  std::vector<const World*> chosen;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--list") {
      for (const World& world : Worlds()) std::printf("%-14s %s\n", world.name.c_str(), world.description.c_str());
      return 0;
    }
    if (word.rfind("--seconds=", 0) == 0) {
      seconds = std::atof(word.c_str() + 10);
    } else if (word.rfind("--states=", 0) == 0) {
      states = std::strtoull(word.c_str() + 9, nullptr, 10);
    } else if (const World* world = FindWorld(word)) {
      chosen.push_back(world);
    } else {
      std::fprintf(stderr, "keel-explore: there is no world %s (see --list)\n", word.c_str());
      return 2;
    }
  }
  if (chosen.empty()) {
    for (const World& world : Worlds()) chosen.push_back(&world);
  }
  bool ok = true;
  uint64_t all_states = 0;
  double left = seconds;
  std::printf("%-14s %10s %12s %6s %9s %9s %10s %12s\n", "world", "states", "transitions", "depth", "members", "inputs",
              "states/s", "comparisons");
  for (size_t i = 0; i < chosen.size(); ++i) {
    Limits limits;
    // What one world leaves over is the others'.
    limits.seconds_max = left / static_cast<double>(chosen.size() - i);
    if (states > 0) limits.states_max = states;
    const Report report = Explore(*chosen[i], limits);
    left -= report.seconds;
    all_states += report.states;
    std::printf("%-14s %10llu %12llu %5llu%s %9llu %9llu %10.0f %12llu\n", chosen[i]->name.c_str(),
                static_cast<unsigned long long>(report.states), static_cast<unsigned long long>(report.transitions),
                static_cast<unsigned long long>(report.depth), report.exhausted ? "*" : " ",
                static_cast<unsigned long long>(report.local_states), static_cast<unsigned long long>(report.executed),
                static_cast<double>(report.states) / report.seconds,
                static_cast<unsigned long long>(report.comparisons));
    std::fflush(stdout);
    if (report.comparisons == 0 || report.states < 100) {
      std::printf("  this world shows nothing\n");
      ok = false;
    }
    if (report.violation.empty()) continue;
    ok = false;
    std::printf("  %s\n  the way to it, as a scenario script:\n", report.violation.c_str());
    for (const std::string& line : report.script) std::printf("%s\n", line.c_str());
  }
  std::printf("%llu states; * the world is exhausted\n", static_cast<unsigned long long>(all_states));
  return ok ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) { return Main(argc, argv); }
