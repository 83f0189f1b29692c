#pragma once

// What Tab offers in a shell. The scripts for the shells ask `keelctl __complete`, so they know every command and flag
// of the program that is installed.

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace keel::ctl {

struct Candidate {
  std::string word;
  std::string help;

  friend bool operator==(const Candidate&, const Candidate&) = default;
};

// What may stand where the last of `words` is; the words before it are complete. Pure.
std::vector<Candidate> Complete(const CLI::App& root, const std::vector<std::string>& words);

// For "bash", "zsh" or "fish". kUnimplemented: another shell.
absl::StatusOr<std::string> CompletionScript(std::string_view shell, std::string_view program);

}  // namespace keel::ctl
