#include "tools/keelctl/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tools/command_tree.h"

namespace keel::ctl {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

using Words = std::vector<std::string>;

Words Offered(const Words& words) {
  CommandTree tree;
  Words offered;
  for (const Candidate& each : Complete(tree.app, words)) offered.push_back(each.word);
  return offered;
}

TEST(CompletionTest, OffersWhatMayStandThere) {
  EXPECT_THAT(Offered({"le"}), UnorderedElementsAre("lease"));
  EXPECT_THAT(Offered({"lease", ""}), UnorderedElementsAre("grant", "revoke", "timetolive", "list", "keep-alive"));
  EXPECT_THAT(Offered({"lease", "re"}), UnorderedElementsAre("revoke"));
  EXPECT_THAT(Offered({"-w", "table", "member", "l"}), UnorderedElementsAre("list"));
  EXPECT_THAT(Offered({""}), Contains("help"));
  EXPECT_THAT(Offered({"help", "lo"}), UnorderedElementsAre("lock"));
  EXPECT_THAT(Offered({""}), Not(Contains("__complete")));
}

TEST(CompletionTest, OffersFlagsOfTheCommandAndOfAll) {
  EXPECT_THAT(Offered({"get", "--pre"}), UnorderedElementsAre("--prefix"));
  EXPECT_THAT(Offered({"get", "--writ"}), UnorderedElementsAre("--write-out"));
  EXPECT_THAT(Offered({"lease", "--pre"}), IsEmpty());
  EXPECT_THAT(Offered({"endpoint", "health", "--cl"}), UnorderedElementsAre("--cluster"));
}

TEST(CompletionTest, OffersTheValuesOfFlagsThatHaveAFew) {
  EXPECT_THAT(Offered({"get", "-w", "t"}), UnorderedElementsAre("table"));
  EXPECT_THAT(Offered({"get", "--order=D"}), UnorderedElementsAre("--order=DESCEND"));
  EXPECT_THAT(Offered({"get", "--rev", ""}), IsEmpty());
}

TEST(CompletionTest, SaysNothingOfOtherPeoplesWords) {
  EXPECT_THAT(Offered({"lock", "l", "--", "--"}), IsEmpty());
  EXPECT_THAT(Offered({"nonsense", "--"}), IsEmpty());
  EXPECT_THAT(Offered({"get", "k"}), IsEmpty());
}

TEST(CompletionTest, ScriptsAskTheProgramUnderItsName) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    auto script = CompletionScript(shell, "keelctl");
    ASSERT_TRUE(script.ok());
    EXPECT_THAT(*script, HasSubstr("keelctl __complete"));
    EXPECT_THAT(*script, Not(HasSubstr("PROGRAM")));
  }
  EXPECT_EQ(CompletionScript("powershell", "keelctl").status().code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace keel::ctl
