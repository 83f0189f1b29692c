// The demo is a promise of the README: its story must hold, and it must leave nothing behind.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/end_to_end/fixture.h"

namespace keel::test {
namespace {

using ::testing::HasSubstr;

TEST(DemoTest, TellsItsStory) {
  TempDir dir;
  const std::string packages = dir.path() + "/status";
  std::ofstream file(packages);
  for (int i = 0; i < 200; ++i) {
    file << "Package: p" << i << "\nArchitecture: amd64\nDescription: " << std::string(500, 'd') << "\n\n";
  }
  file.close();
  auto result =
      tools::RunCommand({.argv = {KEEL_DEMO_PATH, "--keeld", KEELD_PATH, "--packages", packages, "--increments", "10"}},
                        absl::Seconds(120));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 0) << result->out << result->err;
  EXPECT_THAT(result->out, HasSubstr("Loaded 200 packages"));
  EXPECT_THAT(result->out, HasSubstr("The counter is 40 after 40 increments"));
  EXPECT_THAT(result->out, HasSubstr("exactly once and in order"));
  EXPECT_THAT(result->out, HasSubstr("The three members hold the same data"));
}

}  // namespace
}  // namespace keel::test
