// Tab in the shells themselves: what the scripts of `keelctl completion` make of it there.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tools/keelctl/completion.h"
#include "tools/local_cluster/child_process.h"

namespace keel::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

using Lines = std::vector<std::string>;

// A folder with the script of one shell in it; keelctl is in PATH.
class CompletionShellsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = (std::filesystem::temp_directory_path() / "keel-completion-XXXXXX").string();
    ASSERT_NE(mkdtemp(dir_.data()), nullptr);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  static bool Has(const std::string& shell) {
    const auto found = tools::RunCommand({.argv = {"sh", "-c", absl::StrCat("command -v ", shell)}});
    return found.ok() && found->exit_code == 0;
  }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = absl::StrCat(dir_, "/", name);
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << text;
    return path;
  }
  std::string WriteScript(const std::string& name, const std::string& shell) {
    return Write(name, *CompletionScript(shell, "keelctl"));
  }

  // The lines that a program prints. It runs in a folder with one file, "backup.db".
  Lines Run(const std::vector<std::string>& argv) {
    Write("here/backup.db", "");
    std::vector<std::string> in_folder = {"sh", "-c", absl::StrCat("cd '", dir_, "/here' && exec \"$@\""), "sh"};
    in_folder.insert(in_folder.end(), argv.begin(), argv.end());
    const std::string bin = std::filesystem::path(KEEL_KEELCTL_PATH).parent_path().string();
    const auto result = tools::RunCommand(
        {.argv = in_folder,
         .environment = {absl::StrCat("PATH=", bin, ":", std::getenv("PATH")), absl::StrCat("HOME=", dir_),
                         absl::StrCat("XDG_CONFIG_HOME=", dir_, "/config"), "TERM=dumb"},
         .output_file = "",
         .stdin_text = ""},
        absl::Minutes(2));
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok()) return {};
    EXPECT_EQ(result->exit_code, 0) << result->out << result->err;
    return absl::StrSplit(result->out, '\n', absl::SkipEmpty());
  }

  std::string dir_;
};

TEST_F(CompletionShellsTest, Bash) {
  if (!Has("bash")) GTEST_SKIP() << "bash is not in PATH";
  const std::string script = WriteScript("keelctl.bash", "bash");
  const auto offered = [&](const std::string& words) {
    return Run({"bash", "--norc", "-c",
                absl::StrCat("source ", script, "; COMP_WORDS=(", words,
                             "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _keelctl 2>/dev/null; "
                             "printf '%s\\n' \"${COMPREPLY[@]}\"")});
  };
  EXPECT_THAT(offered("keelctl mem"), ElementsAre("member"));
  EXPECT_THAT(offered("keelctl lease ''"), UnorderedElementsAre("grant", "revoke", "timetolive", "list", "keep-alive"));
  EXPECT_THAT(offered("keelctl get --order=D"), ElementsAre("--order=DESCEND"));
}

TEST_F(CompletionShellsTest, Fish) {
  if (!Has("fish")) GTEST_SKIP() << "fish is not in PATH; scripts/setup installs it";
  const std::string script = WriteScript("keelctl.fish", "fish");
  const auto offered = [&](const std::string& line) {
    return Run({"fish", "--no-config", "-c", absl::StrCat("source ", script, "; complete -C '", line, "'")});
  };
  EXPECT_THAT(offered("keelctl mem"), ElementsAre("member\tthe members of the cluster"));
  // After a blank the next word, and no files beside it.
  EXPECT_THAT(offered("keelctl lease "),
              UnorderedElementsAre(StartsWith("grant\t"), StartsWith("revoke\t"), StartsWith("timetolive\t"),
                                   StartsWith("list\t"), StartsWith("keep-alive\t")));
  EXPECT_THAT(offered("keelctl get \"a b\" --pre"), ElementsAre(StartsWith("--prefix\t")));
  EXPECT_THAT(offered("keelctl get -w t"), ElementsAre("table"));
  EXPECT_THAT(offered("keelctl get --order=D"), ElementsAre("--order=DESCEND"));
  EXPECT_THAT(offered("keelctl snapshot restore ba"), ElementsAre("backup.db"));
}

// Types each line and a Tab into a zsh of its own, and writes what the line has become.
constexpr char kTypist[] = R"(
zmodload zsh/zpty
setup=$1 out=$2
shift 2
zpty shell zsh -f -i
await() { zpty -r -m shell answer "*$1*" }
zpty -w shell "PS1=''; stty -echo; $setup"
zpty -w shell "show() { print -r -- \$BUFFER >> ${(q)out}; BUFFER=''; zle -R; print -n SHOWN; }"
zpty -w shell "zle -N show; bindkey '^Xs' show; print REA''DY"
await READY
for line in "$@"; do
  zpty -w -n shell "$line"$'\t\x18s'
  await SHOWN
done
zpty -d shell
cat $out
)";

TEST_F(CompletionShellsTest, Zsh) {
  if (!Has("zsh")) GTEST_SKIP() << "zsh is not in PATH; scripts/setup installs it";
  const std::string script = WriteScript("functions/_keelctl", "zsh");
  const std::string typist = Write("typist.zsh", kTypist);
  const std::string installed =
      absl::StrCat("fpath=(", dir_, "/functions $fpath); autoload -Uz compinit; compinit -D -u");
  EXPECT_THAT(Run({"zsh", "-f", typist, installed, absl::StrCat(dir_, "/lines"), "keelctl mem", "keelctl lease gr",
                   "keelctl get --pre", "keelctl get -w ta", "keelctl get --order=D", "keelctl snapshot restore ba"}),
              ElementsAre("keelctl member ", "keelctl lease grant ", "keelctl get --prefix ", "keelctl get -w table ",
                          "keelctl get --order=DESCEND ", "keelctl snapshot restore backup.db "));
  const std::string sourced = absl::StrCat("autoload -Uz compinit; compinit -D -u; source ", script);
  EXPECT_THAT(Run({"zsh", "-f", typist, sourced, absl::StrCat(dir_, "/more_lines"), "keelctl mem"}),
              ElementsAre("keelctl member "));
}

}  // namespace
}  // namespace keel::ctl
