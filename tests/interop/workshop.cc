#include "tests/interop/workshop.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "tools/local_cluster/child_process.h"

namespace keel::interop {
namespace {

namespace fs = std::filesystem;

constexpr char kBuilt[] = "built";
constexpr char kSkipped[] = "skipped: ";
// What `timeout` exits with when it had to end the command.
constexpr int kTimedOut = 124;

bool InPath(const std::string& program) {
  const char* path = std::getenv("PATH");
  for (absl::string_view dir : absl::StrSplit(path == nullptr ? "/usr/bin" : path, ':')) {
    if (access(absl::StrCat(dir, "/", program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

std::string Contents(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

// Makes the files below `to` those below `from`, touching only what differs, so that compilers see what is new. A list
// of what was copied tells the files that have left the source tree from those that the build made.
void Synchronise(const std::string& from, const std::string& to) {
  const std::string list_file = to + "/sources";
  std::set<std::string> gone;
  for (absl::string_view name : absl::StrSplit(Contents(list_file), '\n', absl::SkipEmpty())) gone.emplace(name);
  std::string list;
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    const std::string name = fs::relative(entry.path(), from).string();
    const std::string copy = to + "/" + name;
    if (entry.is_directory()) {
      fs::create_directories(copy);
      continue;
    }
    absl::StrAppend(&list, name, "\n");
    gone.erase(name);
    const std::string text = Contents(entry.path().string());
    if (!fs::exists(copy) || Contents(copy) != text) Write(copy, text);
  }
  for (const std::string& name : gone) fs::remove(to + "/" + name);
  Write(list_file, list);
}

// The end of a command's output, where it says what went wrong, on one line.
std::string LastWords(std::string_view text) {
  constexpr size_t kMax = 300;
  text = text.substr(text.size() > kMax ? text.size() - kMax : 0);
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(std::string(text), absl::ByAnyChar("\r\n"))) {
    if (!absl::StripAsciiWhitespace(line).empty()) lines.emplace_back(absl::StripAsciiWhitespace(line));
  }
  return absl::StrJoin(lines, " | ");
}

}  // namespace

absl::StatusOr<BuildOutcome> Workshop::Build() {
  const std::string outcome_file = dir_ + "/outcome";
  fs::remove(outcome_file);
  KEEL_ASSIGN_OR_RETURN(BuildOutcome outcome, BuildAfresh());
  Write(outcome_file, outcome.skipped ? absl::StrCat(kSkipped, outcome.reason) : kBuilt);
  return outcome;
}

absl::StatusOr<BuildOutcome> Workshop::BuildAfresh() {
  // Copied, so that no tool leaves anything in the source tree.
  fs::create_directories(dir_);
  Synchronise(sources_, dir_);

  for (const std::string& program : program_.needs) {
    if (!InPath(program)) return BuildOutcome{.skipped = true, .reason = absl::StrCat("no ", program, " in PATH")};
  }
  const std::string downloaded_file = dir_ + "/downloaded";
  if (!program_.download.empty() && Contents(downloaded_file) != Locks()) {
    fs::remove(downloaded_file);
    for (const ClientProgram::Command& command : program_.download) {
      const absl::Status status = Run(command);
      if (!status.ok()) return BuildOutcome{.skipped = true, .reason = absl::StrCat("download: ", status.message())};
    }
    Write(downloaded_file, Locks());
  }
  for (const ClientProgram::Command& command : program_.compile) {
    const absl::Status status = Run(command);
    if (absl::IsDeadlineExceeded(status)) {
      return BuildOutcome{.skipped = true, .reason = absl::StrCat("compilation: ", status.message())};
    }
    KEEL_RETURN_IF_ERROR(status);
  }
  return BuildOutcome{};
}

absl::StatusOr<BuildOutcome> Workshop::Outcome() const {
  const std::string text = Contents(dir_ + "/outcome");
  if (text == kBuilt) return BuildOutcome{};
  if (absl::StartsWith(text, kSkipped)) {
    return BuildOutcome{.skipped = true, .reason = text.substr(sizeof kSkipped - 1)};
  }
  return absl::FailedPreconditionError(
      absl::StrCat(program_.name, " has not been built; first: keel-interop build ", program_.name));
}

absl::Status Workshop::Run(const ClientProgram::Command& command) const {
  // `timeout` ends the compilers that a build tool has started as well; other tests come first on a busy machine.
  std::vector<std::string> argv = {"nice",
                                   "-n",
                                   "10",
                                   "env",
                                   "-C",
                                   dir_,
                                   "timeout",
                                   "--kill-after=5",
                                   absl::StrCat(absl::ToInt64Seconds(command.limit))};
  argv.insert(argv.end(), command.argv.begin(), command.argv.end());
  const std::string what = absl::StrJoin(command.argv, " ");
  auto result =
      tools::RunCommand({.argv = argv, .environment = program_.environment}, command.limit + absl::Seconds(30));
  KEEL_RETURN_IF_ERROR(result.status());
  if (result->exit_code == kTimedOut) {
    return absl::DeadlineExceededError(
        absl::StrCat("'", what, "' did not end within ", absl::FormatDuration(command.limit)));
  }
  if (result->exit_code == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("'", what, "' failed: ", LastWords(absl::StrCat(result->out, "\n", result->err))));
}

std::string Workshop::Locks() const {
  std::string all;
  for (const std::string& file : program_.locks) absl::StrAppend(&all, file, "\n", Contents(dir_ + "/" + file), "\n");
  return all;
}

}  // namespace keel::interop
