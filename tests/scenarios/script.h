#pragma once

// A scenario as text: commands, and below each block of them what it is expected to print. The format and the command
// language are described in README.md beside this file.

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace keel::raft::scenario {

struct Block {
  int line = 0;                       // Of its first command, from 1.
  std::vector<std::string> preamble;  // Comments and empty lines before it, as they are.
  std::vector<std::string> commands;
  std::string expected;  // Lines, each with its newline.
};

struct Script {
  std::string claim;                // What the story shows, from the line "# Claim: ...".
  std::vector<std::string> covers;  // Ids from the line "# Covers: ...".
  std::vector<Block> blocks;
  std::vector<std::string> epilogue;  // Comments after the last block.
};

// kInvalidArgument says which line is wrong: no claim, no block, a command without "----".
absl::StatusOr<Script> ParseScript(std::string_view text);
// The reverse, with every block's `expected`.
std::string FormatScript(const Script& script);

struct ScriptResult {
  std::string failure;       // Empty: it ran as written. First difference, with line and command.
  uint64_t comparisons = 0;  // Of the oracle.
  std::string rewritten;     // The script with what was really printed.
};

// Runs it. A broken invariant or a false `expect` is a failure even where the recorded output says the same.
ScriptResult RunScript(Script script);

}  // namespace keel::raft::scenario
