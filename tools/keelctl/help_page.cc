#include "tools/keelctl/help_page.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/version.h"
#include "tools/keelctl/command_line.h"
#include "tools/keelctl/examples.h"

namespace keel::ctl {
namespace {

bool IsPositional(const CLI::Option& option) { return option.get_positional(); }

std::string Upper(const CLI::Option& option) {
  return absl::AsciiStrToUpper(absl::StrReplaceAll(option.get_name(true, false), {{"-", "_"}}));
}

// The flags of a command, in the order they were added; its positional arguments are not among them.
std::vector<const CLI::Option*> FlagsOf(const CLI::App& command) {
  return command.get_options([](const CLI::Option* option) { return !IsPositional(*option); });
}

std::vector<const CLI::Option*> ArgumentsOf(const CLI::App& command) {
  return command.get_options([](const CLI::Option* option) { return IsPositional(*option); });
}

std::string Default(const CLI::Option& option) {
  const std::string text = option.get_default_str();
  return text.empty() ? "" : absl::StrCat(" (default ", text, ")");
}

// Two columns; the second begins at `width`.
std::string Row(const std::string& left, const std::string& right, size_t width) {
  const std::string gap(left.size() + 4 <= width ? width - left.size() - 2 : 2, ' ');
  return absl::StrCat("  ", left, gap, right, "\n");
}

struct Pair {
  std::string left;
  std::string right;
};

std::string Section(const std::string& title, const std::vector<Pair>& rows) {
  if (rows.empty()) return "";
  size_t width = 0;
  for (const Pair& row : rows) width = std::max(width, row.left.size());
  width = std::min<size_t>(width + 4, 34);
  std::string text = absl::StrCat("\n", title, ":\n");
  for (const Pair& row : rows) absl::StrAppend(&text, Row(row.left, row.right, width));
  return text;
}

std::vector<Pair> FlagRows(const CLI::App& command) {
  std::vector<Pair> rows;
  for (const CLI::Option* flag : FlagsOf(command)) {
    rows.push_back({FlagText(*flag), absl::StrCat(flag->get_description(), Default(*flag))});
  }
  return rows;
}

const CLI::App& RootOf(const CLI::App& command) {
  const CLI::App* app = &command;
  while (app->get_parent() != nullptr) app = app->get_parent();
  return *app;
}

// The commands below `command` by their groups, in order of appearance.
std::string CommandSections(const CLI::App& command) {
  std::vector<std::string> groups;
  for (const CLI::App* each : CommandsOf(command)) {
    if (std::find(groups.begin(), groups.end(), each->get_group()) == groups.end()) {
      groups.push_back(each->get_group());
    }
  }
  std::string text;
  for (const std::string& group : groups) {
    std::vector<Pair> rows;
    for (const CLI::App* each : CommandsOf(command)) {
      if (each->get_group() == group) rows.push_back({each->get_name(), each->get_description()});
    }
    absl::StrAppend(&text, Section(group, rows));
  }
  return text;
}

std::string Indented(std::string_view block) {
  std::string text;
  for (const absl::string_view line : absl::StrSplit(absl::string_view(block.data(), block.size()), '\n')) {
    absl::StrAppend(&text, line.empty() ? "" : "  ", line, "\n");
  }
  return text;
}

std::string Roff(absl::string_view text) {
  std::string escaped = absl::StrReplaceAll(text, {{"\\", "\\e"}, {"-", "\\-"}});
  // A line that begins with a dot or a quote would be a request.
  if (!escaped.empty() && (escaped[0] == '.' || escaped[0] == '\'')) escaped = "\\&" + escaped;
  return escaped;
}

void AppendFlags(const CLI::App& command, std::string* text) {
  for (const Pair& row : FlagRows(command)) {
    absl::StrAppend(text, ".TP\n.B ", Roff(row.left), "\n", Roff(row.right), "\n");
  }
}

void AppendExamples(const CLI::App& command, std::string* text) {
  const std::string_view examples = ExamplesOf(CommandPath(command));
  if (examples.empty()) return;
  absl::StrAppend(text, ".PP\n.EX\n");
  for (const absl::string_view line : absl::StrSplit(absl::string_view(examples.data(), examples.size()), '\n')) {
    absl::StrAppend(text, "    ", Roff(line), "\n");
  }
  absl::StrAppend(text, ".EE\n");
}

void AppendCommand(const CLI::App& command, std::string* text) {
  const auto below = CommandsOf(command);
  if (below.empty()) {
    absl::StrAppend(text, ".SS ", Roff(Synopsis(command)), "\n", Roff(command.get_description()), ".\n");
    for (const CLI::Option* argument : ArgumentsOf(command)) {
      absl::StrAppend(text, ".TP\n.I ", Upper(*argument), "\n", Roff(argument->get_description()), "\n");
    }
  }
  AppendFlags(command, text);
  if (below.empty()) AppendExamples(command, text);
  for (const CLI::App* each : below) AppendCommand(*each, text);
}

}  // namespace

std::string FlagText(const CLI::Option& option) {
  std::string text;
  for (const std::string& name : option.get_snames()) absl::StrAppend(&text, text.empty() ? "" : ", ", "-", name);
  for (const std::string& name : option.get_lnames()) absl::StrAppend(&text, text.empty() ? "" : ", ", "--", name);
  if (option.get_items_expected_max() > 0) absl::StrAppend(&text, " ", option.get_type_name());
  return text;
}

std::string Synopsis(const CLI::App& command) {
  const std::string path = CommandPath(command);
  const size_t space = path.find(' ');
  std::string text = space == std::string::npos ? "" : path.substr(space + 1);
  if (!CommandsOf(command).empty()) return absl::StrCat(text, text.empty() ? "" : " ", "COMMAND");
  if (!FlagsOf(command).empty()) absl::StrAppend(&text, " [FLAGS]");
  for (const CLI::Option* argument : ArgumentsOf(command)) {
    std::string name = Upper(*argument);
    if (argument->get_items_expected_max() > 1) name += "...";
    absl::StrAppend(&text, argument->get_required() ? absl::StrCat(" ", name) : absl::StrCat(" [", name, "]"));
  }
  return text;
}

std::string HelpPage(const CLI::App& command) {
  const CLI::App& root = RootOf(command);
  std::string text =
      absl::StrCat(command.get_description(), "\n\nUsage:\n  ", root.get_name(), " ", Synopsis(command), "\n");
  std::vector<Pair> arguments;
  for (const CLI::Option* argument : ArgumentsOf(command)) {
    arguments.push_back({Upper(*argument), argument->get_description()});
  }
  absl::StrAppend(&text, Section("Arguments", arguments), CommandSections(command));
  if (&command != &root) {
    std::vector<Pair> flags = FlagRows(command);
    // Groups have flags that hold for all of their commands.
    for (const CLI::App* app = command.get_parent(); app != &root; app = app->get_parent()) {
      for (Pair& row : FlagRows(*app)) flags.push_back(std::move(row));
    }
    absl::StrAppend(&text, Section("Flags", flags));
  } else {
    absl::StrAppend(&text, Section("Flags of every command, also as KEELCTL_NAME or ETCDCTL_NAME in the environment",
                                   FlagRows(root)));
  }
  if (const std::string_view examples = ExamplesOf(CommandPath(command)); !examples.empty()) {
    absl::StrAppend(&text, "\nExamples:\n", Indented(examples));
  }
  absl::StrAppend(&text, "\n",
                  &command == &root ? absl::StrCat("'", root.get_name(), " help COMMAND' explains a command.\n")
                                    : absl::StrCat("'", root.get_name(), " help' lists the flags of every command.\n"));
  return text;
}

std::string ManPage(const CLI::App& root) {
  const std::string name = root.get_name();
  std::string text = absl::StrCat(".TH ", absl::AsciiStrToUpper(name), " 1 \"\" \"Keel ", kVersion,
                                  "\" \"Keel\"\n.SH NAME\n", name, " \\- ", Roff(root.get_description()),
                                  "\n.SH SYNOPSIS\n.B ", name, "\n[FLAGS] COMMAND [ARGUMENTS]\n.SH OPTIONS\n",
                                  "Every command takes these; the environment gives their defaults, as KEELCTL_NAME or "
                                  "ETCDCTL_NAME.\n");
  AppendFlags(root, &text);
  absl::StrAppend(&text, ".SH COMMANDS\n");
  for (const CLI::App* command : CommandsOf(root)) AppendCommand(*command, &text);
  absl::StrAppend(&text, ".SH EXAMPLES\n");
  AppendExamples(root, &text);
  absl::StrAppend(&text, ".SH EXIT STATUS\n");
  constexpr struct {
    const char* code;
    const char* meaning;
  } kCodes[] = {{"0", "Done; also when a range was empty."},
                {"1", "The server refused, an endpoint is unhealthy, or a flag is unknown."},
                {"2", "No connection could be made, or a lease is gone. diff: an error. doctor: a failure."},
                {"3", "The input of txn or watch cannot be read, or check found its prefix in use."},
                {"4", "A flag has a value that is not one of its choices."},
                {"5", "A watch was cancelled by the server, or a snapshot broke off."},
                {"6", "A file could not be written or read."},
                {"128", "Arguments are missing, too many, or contradict each other."}};
  for (const auto& [code, meaning] : kCodes) absl::StrAppend(&text, ".TP\n.B ", code, "\n", Roff(meaning), "\n");
  absl::StrAppend(&text, ".PP\n.B ", name, " lock\nwith a command ends with that command's status.\n");
  return text;
}

}  // namespace keel::ctl
