// keel-mutants: shows for every planted bug which net catches it, and after how much.
//
//   keel-mutants                     every mutant against the check that is recorded for it, then against all others
//                                    until one catches it; fails when one survives
//   keel-mutants --all [MUTANT...]   every mutant against every kind of net, to see how wide each is
//   keel-mutants --list
//
// The recorded checks are in recorded.txt beside this file: "MUTANT CHECK" lines. First of all, every one of them must
// pass without any mutant: a net that catches everything proves nothing.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/mutants/catalogue.h"
#include "tests/mutants/checks.h"
#include "tests/mutants/isolated.h"

namespace keel::mutants {
namespace {

constexpr uint64_t kSearchSeeds = 3000;
constexpr uint64_t kSearchStates = 300'000;

struct Row {
  std::string mutant;
  std::string check;  // Empty: it survived.
  std::string how;
  uint64_t progress = 0;
  double seconds = 0;
};

std::map<std::string, std::vector<std::string>> Recorded() {
  std::map<std::string, std::vector<std::string>> recorded;
  std::ifstream in(KEEL_RECORDED_CHECKS);
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string mutant, check;
    if (line.empty() || line[0] == '#' || !(words >> mutant >> check)) continue;
    recorded[mutant].push_back(check);
  }
  return recorded;
}

Outcome Run(Mutant mutant, const Check& check) {
  return RunIsolated(
      [&](volatile uint64_t* progress) {
        active_mutant = mutant;
        return check.run(progress);
      },
      check.seconds_max);
}

// "17 seeds", "1200 states", or nothing: a script is a script.
std::string Effort(const std::string& check, uint64_t progress) {
  if (check.rfind("sim/", 0) == 0) return absl::StrCat(progress, progress == 1 ? " seed" : " seeds");
  if (check.rfind("explorer/", 0) == 0) return absl::StrCat(progress, " states");
  return "";
}

void Print(const Row& row) {
  const std::string effort = Effort(row.check, row.progress);
  std::printf("%-28s %-7s %6.2fs  %s%s%s  %s\n", row.mutant.c_str(), row.check.empty() ? "LIVES" : "caught",
              row.seconds, row.check.c_str(), effort.empty() ? "" : ", ", effort.c_str(),
              row.how.substr(0, 110).c_str());
  std::fflush(stdout);
}

// The first of `names` that catches it; a Row without a check when none does.
Row Try(const Planted& planted, const std::vector<std::string>& names) {
  Row row{.mutant = planted.name};
  for (const std::string& name : names) {
    const std::optional<Check> check = FindCheck(name);
    if (!check) {
      row.how = absl::StrCat("recorded.txt names ", name, ", which does not exist");
      continue;
    }
    const Outcome outcome = Run(planted.mutant, *check);
    row.seconds += outcome.seconds;
    if (!outcome.caught) continue;
    row.check = name;
    row.how = outcome.how;
    row.progress = outcome.progress;
    return row;
  }
  return row;
}

std::vector<std::string> EverythingElse() {
  std::vector<std::string> names = ScriptChecks();
  for (const auto& more : {UnitChecks(), ExplorerChecks(kSearchStates), SimChecks(kSearchSeeds)}) {
    names.insert(names.end(), more.begin(), more.end());
  }
  return names;
}

// Without a mutant nothing may be caught. The names of those that did.
std::vector<std::string> FalseAlarms(const std::map<std::string, std::vector<std::string>>& recorded) {
  std::set<std::string> names;
  for (const auto& [mutant, checks] : recorded) names.insert(checks.begin(), checks.end());
  std::vector<std::string> alarms;
  for (const std::string& name : names) {
    const std::optional<Check> check = FindCheck(name);
    if (!check) continue;
    const Outcome outcome = Run(Mutant::kNone, *check);
    if (outcome.caught) alarms.push_back(absl::StrCat(name, ": ", outcome.how));
  }
  std::printf("without a mutant: %zu checks, %zu false alarms\n", names.size(), alarms.size());
  return alarms;
}

int RunRecorded(const std::vector<const Planted*>& chosen) {
  const auto recorded = Recorded();
  const std::vector<std::string> alarms = FalseAlarms(recorded);
  for (const std::string& alarm : alarms) std::printf("  %s\n", alarm.c_str());
  size_t caught = 0, searched = 0;
  std::vector<std::string> survivors;
  for (const Planted* planted : chosen) {
    const auto known = recorded.find(planted->name);
    Row row = known == recorded.end() ? Row{.mutant = planted->name} : Try(*planted, known->second);
    if (row.check.empty()) {
      ++searched;
      row = Try(*planted, EverythingElse());
    }
    Print(row);
    if (row.check.empty()) {
      survivors.push_back(row.mutant);
    } else {
      ++caught;
    }
  }
  std::printf("%zu mutants, %zu caught, %zu survive; %zu were not caught by what is recorded for them\n", chosen.size(),
              caught, survivors.size(), searched);
  for (const std::string& name : survivors) std::printf("SURVIVES: %s: %s\n", name.c_str(), FindPlanted(name)->what);
  return survivors.empty() && alarms.empty() && !chosen.empty() ? 0 : 1;
}

// One line per mutant: for every kind of net, the first that catches it and what that took.
int RunAll(const std::vector<const Planted*>& chosen) {
  bool all_caught = true;
  std::printf("| mutant | bug | scripts | directed tests | explorer | simulation |\n|---|---|---|---|---|---|\n");
  for (const Planted* planted : chosen) {
    bool caught = false;
    std::string line = absl::StrCat("| ", planted->name, " | ", planted->bug);
    for (const auto& names : {ScriptChecks(), UnitChecks(), ExplorerChecks(kSearchStates), SimChecks(kSearchSeeds)}) {
      const Row row = Try(*planted, names);
      caught |= !row.check.empty();
      const std::string effort = Effort(row.check, row.progress);
      absl::StrAppend(&line, " | ", row.check.empty() ? "-" : row.check.substr(row.check.find('/') + 1),
                      effort.empty() ? "" : ", ", effort,
                      row.check.empty() ? "" : absl::StrFormat(" (%.1f s)", row.seconds));
    }
    std::printf("%s |\n", line.c_str());
    std::fflush(stdout);
    all_caught &= caught;
  }
  return all_caught ? 0 : 1;
}

int Main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  bool all = false;
  std::vector<const Planted*> chosen;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--list") {
      for (const Planted& planted : Catalogue())
        std::printf("%-28s bug %-3s %s\n", planted.name, planted.bug, planted.what);
      return 0;
    }
    if (word == "--all") {
      all = true;
    } else if (const Planted* planted = FindPlanted(word)) {
      chosen.push_back(planted);
    } else {
      std::fprintf(stderr, "keel-mutants: there is no mutant %s (see --list)\n", word.c_str());
      return 2;
    }
  }
  if (chosen.empty()) {
    for (const Planted& planted : Catalogue()) chosen.push_back(&planted);
  }
  return all ? RunAll(chosen) : RunRecorded(chosen);
}

}  // namespace
}  // namespace keel::mutants

int main(int argc, char** argv) { return keel::mutants::Main(argc, argv); }
