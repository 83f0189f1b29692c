// keel-sim: runs seeds of a simulated cluster. See docs/SIMULATION.md.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/random.h"
#include "tests/sim/profile.h"
#include "tests/sim/runner.h"
#include "tests/sim/scenario.h"
#include "tests/sim_full/cluster.h"

namespace keel::sim {
namespace {

struct Flags {
  std::string profile;
  std::optional<uint64_t> seed;
  uint64_t first = 1;
  uint64_t seeds = 1000;
  double minutes = 0;
  bool fresh = false;
  int jobs = 2;
  uint64_t until = UINT64_MAX;
  bool trace = false;
  bool minimise = false;
  std::string output;
  std::string broken = "none";
  std::vector<std::string> scenarios;
};

// One run of one scenario, told in full.
int RunScenario(const Flags& flags, Scenario scenario) {
  scenario.run.until = flags.until;
  scenario.run.trace = flags.trace;
  const RunResult result = RunSeedIsolated(scenario.profile, scenario.seed, scenario.run);
  if (!result.ok()) {
    const Failure failure{scenario.seed, result.events, *result.violation};
    std::printf("%s\n", FailureLine(scenario.profile, failure, scenario.run.broken_rule).c_str());
    return 1;
  }
  Summary summary;
  summary.seeds = 1;
  summary.ledger = result.ledger;
  std::printf("%s\n%s", result.options.c_str(), Report(scenario.profile, summary).c_str());
  return 0;
}

int RunMinimiser(const Flags& flags, const Scenario& scenario) {
  static constexpr double kSecondsMax = 300;
  const std::optional<Minimised> found = Minimise(scenario, flags.minutes > 0 ? flags.minutes * 60 : kSecondsMax);
  if (!found) {
    std::printf("seed %llu of %s does not fail\n", static_cast<unsigned long long>(scenario.seed),
                scenario.profile.c_str());
    return 0;
  }
  const Failure failure{scenario.seed, found->result.events, *found->result.violation};
  const std::string text =
      absl::StrCat("# ", found->result.violation->invariant, ": ", found->result.violation->detail, "\n# ",
                   found->events_before, " fault events before, ", found->scenario.run.schedule->size(),
                   " left, after ", found->runs, " runs\n", found->scenario.ToString());
  std::printf("%s", text.c_str());
  if (!flags.output.empty()) {
    std::ofstream(flags.output) << text;
    std::printf("replay: keel-sim --scenario %s --trace\n", flags.output.c_str());
  }
  std::printf("%s\n", FailureLine(scenario.profile, failure, scenario.run.broken_rule).c_str());
  return 1;
}

std::optional<Scenario> ReadScenario(const std::string& path) {
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.is_open() || text.empty()) {
    std::fprintf(stderr, "keel-sim: cannot read the scenario %s\n", path.c_str());
    return std::nullopt;
  }
  absl::StatusOr<Scenario> scenario = Scenario::Parse(text);
  if (!scenario.ok()) {
    std::fprintf(stderr, "keel-sim: %s: %s\n", path.c_str(), std::string(scenario.status().message()).c_str());
    return std::nullopt;
  }
  return *std::move(scenario);
}

int RunManySeeds(Flags flags, BrokenRule broken) {
  static constexpr double kFreshMinutes = 1.25;
  if (flags.fresh && flags.minutes == 0) {
    const char* const minutes = std::getenv("KEEL_SIM_MINUTES");
    flags.minutes = minutes != nullptr ? std::atof(minutes) : kFreshMinutes;
    if (flags.minutes <= 0) {
      std::fprintf(stderr, "keel-sim: KEEL_SIM_MINUTES=%s is no time to run for\n", minutes);
      return 2;
    }
  }
  RunnerOptions options{.profile = flags.profile,
                        .first_seed = flags.first,
                        .seeds = flags.minutes > 0 ? UINT64_MAX / 4 : flags.seeds,
                        .seconds = flags.minutes * 60,
                        .jobs = flags.jobs,
                        .broken_rule = broken};
  if (flags.fresh) {
    options.first_seed = Random::EntropySeed() >> 24;
    std::printf("fresh seeds from %llu on\n", static_cast<unsigned long long>(options.first_seed));
  }
  const Summary summary = RunSeeds(options);
  std::printf("%s", Report(flags.profile, summary).c_str());
  if (summary.failure) {
    std::printf("%s\n", FailureLine(flags.profile, *summary.failure, broken).c_str());
    return 1;
  }
  // With few seeds some things do not happen.
  const std::vector<std::string> untouched = Untouched(flags.profile, summary);
  if (summary.seeds >= FindProfile(flags.profile)->enough_seeds && !untouched.empty()) {
    std::printf("FAIL profile=%s: nothing was compared or reached by: %s\n", flags.profile.c_str(),
                absl::StrJoin(untouched, ", ").c_str());
    return 1;
  }
  if (summary.seeds == 0) {
    std::printf("FAIL profile=%s: no seed was run\n", flags.profile.c_str());
    return 1;
  }
  return 0;
}

int Main(int argc, char** argv) {
  CLI::App app("Runs seeds of a simulated Keel cluster and checks every step.", "keel-sim");
  Flags flags;
  std::vector<std::string> names;
  for (const Profile& profile : Profiles()) names.push_back(profile.name);
  app.add_option("profile", flags.profile, "what kind of world: " + absl::StrJoin(names, ", "))
      ->check(CLI::IsMember(names));
  app.add_option("--seed", flags.seed, "run this one seed");
  app.add_option("--first", flags.first, "the first of many seeds")->capture_default_str();
  app.add_option("--seeds", flags.seeds, "how many seeds")->capture_default_str();
  app.add_option("--minutes", flags.minutes, "instead: as many as fit in that time; also bounds --minimise");
  app.add_flag("--fresh", flags.fresh,
               "begin with a seed that nobody has seen; for a minute and a quarter, unless --minutes says otherwise");
  app.add_option("--jobs", flags.jobs, "processes")
      ->capture_default_str()
      ->envname("KEEL_SIM_JOBS")
      ->check(CLI::Range(1, 256));
  app.add_option("--until", flags.until, "stop the seed before this event");
  app.add_flag("--trace", flags.trace, "print what happens");
  app.add_flag("--minimise", flags.minimise, "find out how little of the seed's faults makes it fail");
  app.add_option("--output", flags.output, "where --minimise writes the scenario it is left with");
  app.add_option("--scenario", flags.scenarios, "run what these files say, as --minimise writes them")
      ->check(CLI::ExistingFile);
  std::vector<std::string> rules;
  for (size_t i = 0; i < kBrokenRules; ++i) rules.push_back(BrokenRuleName(static_cast<BrokenRule>(i)));
  app.add_option("--break", flags.broken, "break a rule on purpose, to see it caught: " + absl::StrJoin(rules, ", "))
      ->check(CLI::IsMember(rules));
  CLI11_PARSE(app, argc, argv);
  // What members log about failing disks is part of the plan.
  if (const absl::Status status = ConfigureLog({.level = LogLevel::kError}); !status.ok()) return 2;

  const BrokenRule broken = *BrokenRuleNamed(flags.broken);
  if (!flags.scenarios.empty()) {
    int failed = 0;
    for (const std::string& path : flags.scenarios) {
      std::optional<Scenario> scenario = ReadScenario(path);
      if (!scenario) return 2;
      scenario->run.broken_rule = broken;
      failed |= flags.minimise ? RunMinimiser(flags, *scenario) : RunScenario(flags, *scenario);
    }
    return failed;
  }
  if (flags.profile.empty()) {
    std::fprintf(stderr, "keel-sim: say which profile to run: %s\n", absl::StrJoin(names, ", ").c_str());
    return 2;
  }
  if (const std::vector<BrokenRule>& breakable = FindProfile(flags.profile)->breakable;
      broken != BrokenRule::kNone && std::find(breakable.begin(), breakable.end(), broken) == breakable.end()) {
    std::fprintf(stderr, "keel-sim: the members of profile %s do not know how to break %s\n", flags.profile.c_str(),
                 BrokenRuleName(broken));
    return 2;
  }
  if (!flags.seed) return RunManySeeds(flags, broken);
  const Scenario scenario{.profile = flags.profile, .seed = *flags.seed, .run = {.broken_rule = broken}};
  return flags.minimise ? RunMinimiser(flags, scenario) : RunScenario(flags, scenario);
}

}  // namespace
}  // namespace keel::sim

int main(int argc, char** argv) {
  keel::sim::Profiles().push_back(keel::sim::FullProfile());
  return keel::sim::Main(argc, argv);
}
