#include "tests/mutants/checks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/string_view.h"
#include "tests/explorer/explorer.h"
#include "tests/scenarios/script.h"
#include "tests/sim/profile.h"

namespace keel::mutants {
namespace {

constexpr double kScriptSeconds = 10;
constexpr double kUnitSeconds = 20;
// A mutant that livelocks makes a seed endless, which is a verdict of its own.
constexpr double kSeedsSeconds = 120;
constexpr double kExplorerSeconds = 120;

std::string RunStory(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  const auto script = raft::scenario::ParseScript(text.str());
  if (!script.ok()) return absl::StrCat("the script is broken: ", script.status().message());
  const std::string failure = raft::scenario::RunScript(*script).failure;
  // "line 12: deliver 1->2\n  MatchIsMonotonic: ..." or "line 12: ...\nexpected:\n...": the first says more.
  std::vector<std::string> lines = absl::StrSplit(failure, '\n');
  if (lines.size() > 1 && lines[1].rfind("  ", 0) == 0) return lines[1].substr(2);
  return failure.empty() ? "" : absl::StrCat("other output at ", lines[0]);
}

std::string RunUnit(const std::string& filter) {
  testing::GTEST_FLAG(filter) = filter;
  if (RUN_ALL_TESTS() == 0) return "";
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  for (int s = 0; s < all.total_test_suite_count(); ++s) {
    const testing::TestSuite& suite = *all.GetTestSuite(s);
    for (int t = 0; t < suite.total_test_count(); ++t) {
      const testing::TestInfo& test = *suite.GetTestInfo(t);
      if (test.should_run() && test.result()->Failed()) return absl::StrCat(suite.name(), ".", test.name());
    }
  }
  return "a test failed";
}

std::string RunSeeds(const std::string& profile, uint64_t first, uint64_t count, volatile uint64_t* progress) {
  for (uint64_t seed = first; seed < first + count; ++seed) {
    *progress = seed - first + 1;
    const sim::RunResult result = sim::RunSeed(profile, seed, {});
    if (!result.ok()) return result.violation->invariant;
  }
  return "";
}

std::string RunExplorer(const std::string& world, uint64_t states_max, volatile uint64_t* progress) {
  explorer::Limits limits;
  limits.states_max = states_max;
  const explorer::Report report = explorer::Explore(*explorer::FindWorld(world), limits, progress);
  return report.violation.empty() ? "" : report.violation;
}

}  // namespace

std::optional<Check> FindCheck(std::string_view name) {
  const std::vector<std::string> parts = absl::StrSplit(ToAbsl(name), '/');
  Check check;
  check.name = std::string(name);
  if (parts[0] == "script" && parts.size() == 2) {
    const std::filesystem::path path = std::filesystem::path(KEEL_STORIES_DIR) / (parts[1] + ".txt");
    if (!std::filesystem::exists(path)) return std::nullopt;
    check.seconds_max = kScriptSeconds;
    check.run = [path](volatile uint64_t*) { return RunStory(path); };
    return check;
  }
  if (parts[0] == "unit" && parts.size() == 2) {
    check.seconds_max = kUnitSeconds;
    check.run = [filter = parts[1]](volatile uint64_t*) { return RunUnit(filter); };
    return check;
  }
  if (parts[0] == "sim" && parts.size() == 4) {
    uint64_t first = 0, count = 0;
    if (sim::FindProfile(parts[1]) == nullptr) return std::nullopt;
    if (!absl::SimpleAtoi(parts[2], &first) || !absl::SimpleAtoi(parts[3], &count)) return std::nullopt;
    check.seconds_max = kSeedsSeconds;
    check.run = [profile = parts[1], first, count](volatile uint64_t* progress) {
      return RunSeeds(profile, first, count, progress);
    };
    return check;
  }
  if (parts[0] == "explorer" && parts.size() == 3) {
    uint64_t states = 0;
    if (explorer::FindWorld(parts[1]) == nullptr || !absl::SimpleAtoi(parts[2], &states)) return std::nullopt;
    check.seconds_max = kExplorerSeconds;
    check.run = [world = parts[1], states](volatile uint64_t* progress) {
      return RunExplorer(world, states, progress);
    };
    return check;
  }
  return std::nullopt;
}

std::vector<std::string> ScriptChecks() {
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(KEEL_STORIES_DIR)) {
    if (file.path().extension() == ".txt") names.push_back(absl::StrCat("script/", file.path().stem().string()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> UnitChecks() {
  std::vector<std::string> names;
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  for (int s = 0; s < all.total_test_suite_count(); ++s) {
    names.push_back(absl::StrCat("unit/", all.GetTestSuite(s)->name(), ".*"));
  }
  return names;
}

std::vector<std::string> ExplorerChecks(uint64_t states_max) {
  std::vector<std::string> names;
  for (const explorer::World& world : explorer::Worlds()) {
    names.push_back(absl::StrCat("explorer/", world.name, "/", states_max));
  }
  return names;
}

std::vector<std::string> SimChecks(uint64_t seeds_max) {
  std::vector<std::string> names;
  for (const char* profile : {"core", "member", "disk"}) {
    names.push_back(absl::StrCat("sim/", profile, "/1/", seeds_max));
  }
  return names;
}

}  // namespace keel::mutants
