#pragma once

// What --help prints and what the man page says, of the one command tree: the same names, flags and examples.

#include <CLI/CLI.hpp>
#include <string>

namespace keel::ctl {

// For a terminal: usage, commands, flags, examples.
std::string HelpPage(const CLI::App& command);

// The whole tree as one page of section 1, in roff.
std::string ManPage(const CLI::App& root);

// "get [FLAGS] KEY [RANGE_END]" without the program's name.
std::string Synopsis(const CLI::App& command);
// "-w, --write-out FORMAT".
std::string FlagText(const CLI::Option& option);

}  // namespace keel::ctl
