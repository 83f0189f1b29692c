#include "tests/scenarios/script.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/string_view.h"
#include "tests/scenarios/interpreter.h"

namespace keel::raft::scenario {
namespace {

constexpr char kSeparator[] = "----";

bool IsComment(const std::string& line) { return line.empty() || line[0] == '#'; }

std::string After(const std::string& line, const std::string& prefix) {
  return line.rfind(prefix, 0) == 0 ? line.substr(prefix.size()) : "";
}

absl::Status At(int line, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("line ", line, ": ", what));
}

}  // namespace

absl::StatusOr<Script> ParseScript(std::string_view text) {
  std::vector<std::string> lines = absl::StrSplit(ToAbsl(text), '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  Script script;
  size_t i = 0;
  while (i < lines.size()) {
    Block block;
    for (; i < lines.size() && IsComment(lines[i]); ++i) {
      if (const std::string claim = After(lines[i], "# Claim: "); !claim.empty()) script.claim = claim;
      if (const std::string ids = After(lines[i], "# Covers: "); !ids.empty()) {
        for (absl::string_view id : absl::StrSplit(ids, ", ")) script.covers.emplace_back(id);
      }
      block.preamble.push_back(lines[i]);
    }
    if (i == lines.size()) {
      script.epilogue = std::move(block.preamble);
      break;
    }
    block.line = static_cast<int>(i) + 1;
    while (i < lines.size() && lines[i] != kSeparator && !lines[i].empty()) block.commands.push_back(lines[i++]);
    if (i == lines.size() || lines[i].empty()) return At(block.line, "these commands have no ---- below them");
    if (block.commands.empty()) return At(static_cast<int>(i) + 1, "---- without a command above it");
    for (++i; i < lines.size() && !lines[i].empty(); ++i) absl::StrAppend(&block.expected, lines[i], "\n");
    script.blocks.push_back(std::move(block));
  }
  if (script.claim.empty()) return absl::InvalidArgumentError("no line \"# Claim: ...\" says what the story shows");
  if (script.blocks.empty()) return absl::InvalidArgumentError("the script has no commands");
  return script;
}

std::string FormatScript(const Script& script) {
  std::string text;
  for (const Block& block : script.blocks) {
    for (const std::string& line : block.preamble) absl::StrAppend(&text, line, "\n");
    for (const std::string& line : block.commands) absl::StrAppend(&text, line, "\n");
    absl::StrAppend(&text, kSeparator, "\n", block.expected);
  }
  for (const std::string& line : script.epilogue) absl::StrAppend(&text, line, "\n");
  return text;
}

ScriptResult RunScript(Script script) {
  ScriptResult result;
  Interpreter interpreter;
  for (Block& block : script.blocks) {
    std::string printed;
    for (const std::string& command : block.commands) {
      if (command[0] == '#') continue;
      absl::StrAppend(&printed, interpreter.Execute(command));
      if (result.failure.empty() && !interpreter.failure().empty()) {
        result.failure = absl::StrCat("line ", block.line, ": ", command, "\n  ", interpreter.failure());
      }
    }
    if (printed.empty()) printed = "ok\n";
    if (result.failure.empty() && printed != block.expected) {
      result.failure = absl::StrCat("line ", block.line, ": ", absl::StrJoin(block.commands, "; "), "\nexpected:\n",
                                    block.expected, "but it printed:\n", printed);
    }
    block.expected = printed;
    if (!interpreter.failure().empty()) break;
  }
  result.comparisons = interpreter.comparisons();
  result.rewritten = FormatScript(script);
  return result;
}

}  // namespace keel::raft::scenario
