#include "tools/keelctl/completion.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/string_view.h"
#include "tools/keelctl/command_line.h"

namespace keel::ctl {
namespace {

struct Choice {
  const char* flag;
  std::vector<std::string> values;
};

const std::vector<Choice>& Choices() {
  static const auto* choices = new std::vector<Choice>{
      {"write-out", {"simple", "json", "fields", "protobuf", "table"}},
      {"order", {"ASCEND", "DESCEND"}},
      {"sort-by", {"CREATE", "KEY", "MODIFY", "VALUE", "VERSION"}},
      {"consistency", {"l", "s"}},
      {"load", {"s", "m", "l", "xl"}},
  };
  return *choices;
}

// Values of an option that has a fixed few; `before` goes in front of each ("--order=").
std::vector<Candidate> ValuesOf(const CLI::Option& option, const std::string& before) {
  std::vector<Candidate> values;
  for (const Choice& choice : Choices()) {
    if (!option.check_lname(choice.flag)) continue;
    for (const std::string& value : choice.values) values.push_back({absl::StrCat(before, value), ""});
  }
  return values;
}

void AppendFlags(const CLI::App& command, std::vector<Candidate>* found) {
  for (const CLI::App* app = &command; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        found->push_back({absl::StrCat("--", name), option->get_description()});
      }
    }
  }
  found->push_back({"--help", "explain the command"});
}

constexpr std::string_view kBash =
    R"(# Completion of PROGRAM for bash: source this file, or put it into /etc/bash_completion.d.
_PROGRAM() {
  local IFS=$'\n'
  COMPREPLY=($(PROGRAM __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1))
  [[ ${#COMPREPLY[@]} -eq 0 ]] && compopt -o default
}
# "=" separates words for bash unless it is told otherwise.
COMP_WORDBREAKS=${COMP_WORDBREAKS//=/}
complete -F _PROGRAM PROGRAM
)";

constexpr std::string_view kZsh = R"(#compdef PROGRAM
# Completion of PROGRAM for zsh: put this file as _PROGRAM into a directory of $fpath, or source
# it after compinit.
_PROGRAM() {
  local -a offered
  local word help
  while IFS=$'\t' read -r word help; do
    offered+=("${word//:/\\:}${help:+:$help}")
  done < <(PROGRAM __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( ${#offered} )); then
    _describe PROGRAM offered
  else
    _files
  fi
}
# Loaded by the first Tab, which wants its answer; or sourced.
if [[ $funcstack[1] == _PROGRAM ]]; then
  _PROGRAM "$@"
else
  compdef _PROGRAM PROGRAM
fi
)";

constexpr std::string_view kFish =
    R"fish(# Completion of PROGRAM for fish: put this file into ~/.config/fish/completions.
function __PROGRAM_complete
  set -l words (commandline -opc)
  set -l last (commandline -ct)
  PROGRAM __complete $words[2..-1] "$last" 2>/dev/null
end
function __PROGRAM_offers
  test -n "$(__PROGRAM_complete | string collect)"
end
# Where it has nothing to offer, files.
complete -c PROGRAM -f -n __PROGRAM_offers -a '(__PROGRAM_complete)'
)fish";

}  // namespace

std::vector<Candidate> Complete(const CLI::App& root, const std::vector<std::string>& words) {
  if (words.empty()) return Complete(root, {""});
  const std::string& partial = words.back();
  const std::vector<std::string> before(words.begin(), words.end() - 1);
  std::vector<Candidate> found;
  // `help` takes the names of commands, like nothing at all.
  const CommandLine line = ReadCommandLine(root, before);
  if (line.had_dashes || !line.unknown.empty()) return {};

  const CLI::Option* waiting = nullptr;
  if (!before.empty() && TakesNextWord(*line.command, before.back())) {
    waiting = FindOption(*line.command, before.back());
  }
  if (waiting != nullptr) {
    found = ValuesOf(*waiting, "");
  } else if (absl::StartsWith(partial, "--") && absl::StrContains(partial, "=")) {
    const CLI::Option* option = FindOption(*line.command, partial);
    if (option != nullptr) found = ValuesOf(*option, partial.substr(0, partial.find('=') + 1));
  } else if (absl::StartsWith(partial, "-")) {
    AppendFlags(*line.command, &found);
  } else {
    for (const CLI::App* command : CommandsOf(*line.command)) {
      found.push_back({command->get_name(), command->get_description()});
    }
    if (line.command == &root && !line.help) found.push_back({"help", "explain a command"});
  }
  found.erase(std::remove_if(found.begin(), found.end(),
                             [&](const Candidate& c) { return !absl::StartsWith(c.word, partial); }),
              found.end());
  return found;
}

absl::StatusOr<std::string> CompletionScript(std::string_view shell, std::string_view program) {
  std::string_view script;
  if (shell == "bash") {
    script = kBash;
  } else if (shell == "zsh") {
    script = kZsh;
  } else if (shell == "fish") {
    script = kFish;
  } else {
    return absl::UnimplementedError(absl::StrCat("no completion for '", ToAbsl(shell), "'; use bash, zsh or fish"));
  }
  return absl::StrReplaceAll(ToAbsl(script), {{"PROGRAM", ToAbsl(program)}});
}

}  // namespace keel::ctl
