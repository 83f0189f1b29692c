#pragma once

// From what was typed to what the parser reads: abbreviated commands, `help`, and the words after "--".

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace keel::ctl {

struct CommandLine {
  std::vector<std::string> words;         // For the parser, commands written out.
  std::vector<std::string> after_dashes;  // Of `watch`: the command to run per event.
  bool had_dashes = false;                // Also when nothing followed them.
  const CLI::App* command = nullptr;      // As far as the words name one; the root if none.
  bool help = false;                      // It is to be explained, not run.
  std::string unknown;                    // A word where a command should be that names none, or several.
};

// Pure. Commands may be cut short as long as they are unambiguous: "mem li".
CommandLine ReadCommandLine(const CLI::App& root, const std::vector<std::string>& args);

// "keelctl member add".
std::string CommandPath(const CLI::App& command);
// The command of that name, whole or its only beginning; null if none or several.
const CLI::App* FindCommand(const CLI::App& parent, const std::string& word);
// All commands below `parent` that are shown to users, in order.
std::vector<const CLI::App*> CommandsOf(const CLI::App& parent);
// The option that `word` ("-w", "--rev", "--rev=3") names, in `command` or above it; null if there is none.
const CLI::Option* FindOption(const CLI::App& command, const std::string& word);
// Whether the value of the option `word` is the next word.
bool TakesNextWord(const CLI::App& command, const std::string& word);

}  // namespace keel::ctl
