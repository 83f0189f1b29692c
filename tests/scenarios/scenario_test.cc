// One test per file in stories/. `--rewrite` records what the scripts print now; read the difference before you keep
// it. A broken invariant and a false `expect` fail all the same.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/scenarios/script.h"

namespace keel::raft::scenario {
namespace {

bool rewrite = false;

std::string Load(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

class Story : public testing::Test {
 public:
  explicit Story(std::filesystem::path path) : path_(std::move(path)) {}
  void TestBody() override {
    const absl::StatusOr<Script> script = ParseScript(Load(path_));
    ASSERT_TRUE(script.ok()) << path_ << ": " << script.status().message();
    SCOPED_TRACE(script->claim);
    const ScriptResult result = RunScript(*script);
    EXPECT_GT(result.comparisons, 0u) << "nothing was compared";
    if (rewrite) {
      std::ofstream(path_) << result.rewritten;
      // What was recorded must run as recorded; only this shows what `expect` and the oracle say.
      const absl::StatusOr<Script> again = ParseScript(result.rewritten);
      ASSERT_TRUE(again.ok()) << again.status().message();
      EXPECT_EQ(RunScript(*again).failure, "") << path_.filename();
      return;
    }
    EXPECT_EQ(result.failure, "") << path_.filename() << " (to record what it prints now: scenario_test --rewrite)";
  }

 private:
  const std::filesystem::path path_;
};

std::vector<std::filesystem::path> Stories() {
  std::vector<std::filesystem::path> paths;
  for (const auto& file : std::filesystem::directory_iterator(KEEL_STORIES_DIR)) {
    if (file.path().extension() == ".txt") paths.push_back(file.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// The historical failures that concern Raft, membership, snapshots and reads; E27 is topology_test.cc.
constexpr const char* kMustBeCovered[] = {"J1",  "J5",  "J6",  "J7",  "J8",  "J10", "E2",  "E12",      "E13",
                                          "E14", "E15", "E21", "E22", "E23", "E24", "E26", "figure-7", "figure-8"};

TEST(StoriesTest, EveryHistoricalFailureHasOne) {
  std::set<std::string> covered;
  for (const std::filesystem::path& path : Stories()) {
    const absl::StatusOr<Script> script = ParseScript(Load(path));
    ASSERT_TRUE(script.ok()) << path << ": " << script.status().message();
    covered.insert(script->covers.begin(), script->covers.end());
  }
  for (const char* id : kMustBeCovered) EXPECT_TRUE(covered.contains(id)) << id;
}

}  // namespace
}  // namespace keel::raft::scenario

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  using keel::raft::scenario::Story;
  for (int i = 1; i < argc; ++i) keel::raft::scenario::rewrite |= std::strcmp(argv[i], "--rewrite") == 0;
  const std::vector<std::filesystem::path> stories = keel::raft::scenario::Stories();
  if (stories.empty()) {
    std::fprintf(stderr, "no stories in %s\n", KEEL_STORIES_DIR);
    return 1;
  }
  for (const std::filesystem::path& path : stories) {
    testing::RegisterTest("ScenarioTest", path.stem().c_str(), nullptr, nullptr, __FILE__, __LINE__,
                          [path]() -> testing::Test* { return new Story(path); });
  }
  return RUN_ALL_TESTS();
}
