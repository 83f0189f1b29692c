#include "tools/keelctl/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tools/command_tree.h"
#include "tools/keelctl/examples.h"
#include "tools/keelctl/help_page.h"

namespace keel::ctl {
namespace {

using ::testing::HasSubstr;

using Words = std::vector<std::string>;

TEST(CommandLineTest, ReadsCommandsFlagsAndWhatFollowsDashes) {
  const struct Case {
    Words args;
    std::string command;
    Words words;
    Words after_dashes = {};
    std::string unknown = {};
    bool help = false;
  } kCases[] = {
      {{}, "keelctl", {}},
      {{"get", "a"}, "keelctl get", {"get", "a"}},
      {{"mem", "li"}, "keelctl member list", {"member", "list"}},
      {{"-w", "json", "mem", "li"}, "keelctl member list", {"-w", "json", "member", "list"}},
      {{"-wjson", "ge", "get"}, "keelctl get", {"-wjson", "get", "get"}},
      {{"--endpoints", "get", "put", "k"}, "keelctl put", {"--endpoints", "get", "put", "k"}},
      {{"get", "a", "--cert="}, "keelctl get", {"get", "a", "--cert", ""}},
      {{"member"}, "keelctl member", {"member"}},
      {{"l"}, "keelctl", {}, {}, "l"},  // lease or lock?
      {{"nonsense", "get"}, "keelctl", {}, {}, "nonsense"},
      {{"member", "x"}, "keelctl member", {"member"}, {}, "x"},
      {{"watch", "a", "--", "watch", "-x"}, "keelctl watch", {"watch", "a"}, {"watch", "-x"}},
      {{"put", "watch", "--", "-v"}, "keelctl put", {"put", "watch", "--", "-v"}},
      {{"lock", "l", "--", "ls", "--help"}, "keelctl lock", {"lock", "l", "--", "ls", "--help"}},
      {{"help", "member", "add"}, "keelctl member add", {"member", "add"}, {}, "", true},
      {{"get", "--help"}, "keelctl get", {"get"}, {}, "", true},
      {{"get", "help"}, "keelctl get", {"get", "help"}},
  };
  CommandTree tree;
  for (const Case& c : kCases) {
    SCOPED_TRACE(testing::PrintToString(c.args));
    const CommandLine line = ReadCommandLine(tree.app, c.args);
    EXPECT_EQ(CommandPath(*line.command), c.command);
    EXPECT_EQ(line.words, c.words);
    EXPECT_EQ(line.after_dashes, c.after_dashes);
    EXPECT_EQ(line.unknown, c.unknown);
    EXPECT_EQ(line.help, c.help);
  }
}

void Visit(const CLI::App& app, const std::function<void(const CLI::App&)>& visit) {
  visit(app);
  for (const CLI::App* each : CommandsOf(app)) Visit(*each, visit);
}

TEST(HelpPageTest, EveryCommandHasAnExampleThatItsParserWouldTake) {
  CommandTree tree;
  int commands = 0;
  Visit(tree.app, [&](const CLI::App& command) {
    if (!CommandsOf(command).empty() && command.get_parent() != nullptr) return;
    const std::string path = CommandPath(command);
    SCOPED_TRACE(path);
    ++commands;
    EXPECT_THAT(std::string(ExamplesOf(path)), HasSubstr(path + (command.get_parent() == nullptr ? " " : "")));
    EXPECT_FALSE(command.get_group().empty());
    for (const CLI::Option* option : command.get_options()) {
      EXPECT_NE(option->get_description(), "") << option->get_name();
    }
    // Flags in the examples are flags of the command.
    const std::string text(ExamplesOf(path));
    for (size_t at = text.find(" --"); at != std::string::npos; at = text.find(" --", at + 1)) {
      const size_t line = text.rfind('\n', at) + 1;
      if (command.get_parent() == nullptr || text.compare(line, path.size(), path) != 0) continue;
      const std::string flag = text.substr(at + 1, text.find_first_of(" =\n", at + 1) - at - 1);
      if (flag == "--" || text.find(" -- ", line) < at) continue;
      EXPECT_NE(FindOption(command, flag), nullptr) << flag;
    }
  });
  EXPECT_GT(commands, 35);
}

TEST(HelpPageTest, NamesArgumentsFlagsAndExamples) {
  CommandTree tree;
  const std::string page = HelpPage(*FindCommand(tree.app, "lock"));
  EXPECT_THAT(page, HasSubstr("keelctl lock [FLAGS] NAME [COMMAND...]"));
  EXPECT_THAT(page, HasSubstr("--ttl"));
  EXPECT_THAT(page, HasSubstr("keelctl lock /locks/backup -- ./backup.sh"));
  const std::string all = HelpPage(tree.app);
  EXPECT_THAT(all, HasSubstr("Keys and values:"));
  EXPECT_THAT(all, HasSubstr("KEELCTL_NAME"));
}

TEST(HelpPageTest, TheManPageHasEveryCommandAndEscapesWhatRoffWouldTake) {
  CommandTree tree;
  const std::string page = ManPage(tree.app);
  EXPECT_EQ(page.find(".TH KEELCTL 1"), 0u);
  Visit(tree.app, [&](const CLI::App& command) {
    if (!CommandsOf(command).empty()) return;
    EXPECT_THAT(page, HasSubstr("\n.SS ")) << CommandPath(command);
  });
  EXPECT_THAT(page, HasSubstr("\\-\\-write\\-out FORMAT"));
  EXPECT_EQ(page.find("\n'"), std::string::npos);
}

}  // namespace
}  // namespace keel::ctl
