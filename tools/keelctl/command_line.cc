#include "tools/keelctl/command_line.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/string_view.h"

namespace keel::ctl {

std::vector<const CLI::App*> CommandsOf(const CLI::App& parent) {
  // An empty group hides a command from users.
  return parent.get_subcommands([](const CLI::App* app) { return !app->get_group().empty(); });
}

std::string CommandPath(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent == nullptr ? command.get_name() : absl::StrCat(CommandPath(*parent), " ", command.get_name());
}

const CLI::App* FindCommand(const CLI::App& parent, const std::string& word) {
  const CLI::App* found = nullptr;
  int matches = 0;
  for (const CLI::App* command : parent.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == word) return command;
    if (word.empty() || command->get_group().empty() || !absl::StartsWith(command->get_name(), word)) continue;
    found = command;
    ++matches;
  }
  return matches == 1 ? found : nullptr;
}

const CLI::Option* FindOption(const CLI::App& command, const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  for (const CLI::App* app = &command; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      if (absl::StartsWith(name, "--")) {
        if (option->check_lname(name.substr(2))) return option;
      } else if (name.size() >= 2 && name[0] == '-' && option->check_sname(name.substr(1, 1))) {
        return option;
      }
    }
  }
  return nullptr;
}

bool TakesNextWord(const CLI::App& command, const std::string& word) {
  const CLI::Option* option = FindOption(command, word);
  if (option == nullptr || option->get_items_expected_max() == 0 || absl::StrContains(word, "=")) return false;
  return absl::StartsWith(word, "--") || word.size() == 2;  // "-wjson" has its value with it.
}

CommandLine ReadCommandLine(const CLI::App& root, const std::vector<std::string>& args) {
  CommandLine line{.command = &root};
  bool naming = true;  // The words still name commands.
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& word = args[i];
    if (word == "--") {
      line.had_dashes = true;
      // What follows belongs to somebody else: to watch's handler apart, elsewhere as plain arguments.
      if (line.command->get_name() == "watch") {
        line.after_dashes.assign(args.begin() + static_cast<std::ptrdiff_t>(i) + 1, args.end());
      } else {
        line.words.insert(line.words.end(), args.begin() + static_cast<std::ptrdiff_t>(i), args.end());
      }
      break;
    }
    if (word.size() > 1 && word[0] == '-') {
      if (word == "-h" || word == "--help") {
        line.help = true;
        continue;
      }
      const CLI::Option* option = FindOption(*line.command, word);
      if (word.back() == '=' && option != nullptr && option->get_items_expected_max() > 0) {
        // An empty value, given on purpose; the parser would take it for a missing one.
        line.words.insert(line.words.end(), {word.substr(0, word.size() - 1), ""});
        continue;
      }
      line.words.push_back(word);
      if (TakesNextWord(*line.command, word) && i + 1 < args.size()) line.words.push_back(args[++i]);
      continue;
    }
    if (naming && word == "help" && line.command == &root) {
      line.help = true;
      continue;
    }
    naming = naming && !line.command->get_subcommands([](const CLI::App*) { return true; }).empty();
    if (!naming) {
      line.words.push_back(word);
      continue;
    }
    const CLI::App* found = FindCommand(*line.command, word);
    if (found == nullptr) {
      line.unknown = word;
      return line;
    }
    line.command = found;
    line.words.push_back(found->get_name());
  }
  return line;
}

}  // namespace keel::ctl
