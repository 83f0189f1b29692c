#include "tools/keelctl/line_diff.h"

#include <gtest/gtest.h>

#include <sstream>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "tools/keelctl/key_history.h"

namespace keel::ctl {
namespace {

const DiffNames kNames = {.before = "a", .after = "b"};

TEST(LineDiffTest, WritesTheUnifiedFormat) {
  const struct Case {
    const char* name;
    std::string before;
    std::string after;
    std::string diff;  // Without the two lines of names.
  } kCases[] = {
      {"changed", "1\n2\n3\n", "1\nx\n3\n", "@@ -1,3 +1,3 @@\n 1\n-2\n+x\n 3\n"},
      {"from nothing", "", "1\n", "@@ -0,0 +1 @@\n+1\n"},
      {"to nothing", "1\n", "", "@@ -1 +0,0 @@\n-1\n"},
      {"no end of line", "1", "2", "@@ -1 +1 @@\n-1\n\\ No newline at end of file\n+2\n\\ No newline at end of file\n"},
      {"an end of line is gone", "1\n2\n", "1\n2", "@@ -1,2 +1,2 @@\n 1\n-2\n+2\n\\ No newline at end of file\n"},
      {"an end of line has come", "1", "1\n", "@@ -1 +1 @@\n-1\n\\ No newline at end of file\n+1\n"},
      {"two hunks", "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "x\n2\n3\n4\n5\n6\n7\n8\ny\n",
       "@@ -1,4 +1,4 @@\n-1\n+x\n 2\n 3\n 4\n@@ -6,4 +6,4 @@\n 6\n 7\n 8\n-9\n+y\n"},
      {"near changes share a hunk", "1\n2\n3\n4\n5\n6\n7\n8\n", "x\n2\n3\n4\n5\n6\n7\ny\n",
       "@@ -1,8 +1,8 @@\n-1\n+x\n 2\n 3\n 4\n 5\n 6\n 7\n-8\n+y\n"},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(UnifiedDiff(c.before, c.after, kNames), "--- a\n+++ b\n" + c.diff);
  }
  EXPECT_EQ(UnifiedDiff("same", "same", kNames), "");
}

// What `patch` would make of `before`.
std::string Apply(const std::string& before, const std::string& diff) {
  std::vector<std::string> lines;
  std::istringstream in(before);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  std::string after;
  size_t at = 0;
  std::istringstream script(diff);
  std::string line;
  while (std::getline(script, line)) {
    if (absl::StartsWith(line, "---") || absl::StartsWith(line, "+++")) continue;
    if (absl::StartsWith(line, "@@ -")) {
      size_t begin = std::stoul(line.substr(4));
      if (line.find(",0 +") == std::string::npos) --begin;
      while (at < begin) absl::StrAppend(&after, lines[at++], "\n");
    } else if (line[0] == '+') {
      absl::StrAppend(&after, line.substr(1), "\n");
    } else {
      EXPECT_EQ(lines.at(at), line.substr(1));
      if (line[0] == ' ') absl::StrAppend(&after, lines[at], "\n");
      ++at;
    }
  }
  while (at < lines.size()) absl::StrAppend(&after, lines[at++], "\n");
  return after;
}

size_t Common(const std::vector<int>& a, const std::vector<int>& b) {
  std::vector<std::vector<size_t>> best(a.size() + 1, std::vector<size_t>(b.size() + 1, 0));
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      best[i][j] = a[i - 1] == b[j - 1] ? best[i - 1][j - 1] + 1 : std::max(best[i - 1][j], best[i][j - 1]);
    }
  }
  return best[a.size()][b.size()];
}

TEST(LineDiffTest, RandomDiffsApplyAndAreShortest) {
  const uint64_t seed = 20240607;
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  Random random(seed);
  for (int round = 0; round < 300; ++round) {
    const auto text = [&](std::vector<int>* numbers) {
      std::string lines;
      for (uint64_t n = random.Below(20); n > 0; --n) {
        numbers->push_back(static_cast<int>(random.Below(4)));
        absl::StrAppend(&lines, numbers->back(), "\n");
      }
      return lines;
    };
    std::vector<int> a;
    std::vector<int> b;
    const std::string before = text(&a);
    const std::string after = text(&b);
    const std::string diff = UnifiedDiff(before, after, kNames);
    ASSERT_EQ(Apply(before, diff), after) << diff;
    size_t edits = 0;
    std::istringstream in(diff);
    for (std::string line; std::getline(in, line);) {
      edits += (line[0] == '+' || line[0] == '-') && line != "--- a" && line != "+++ b";
    }
    ASSERT_EQ(edits, a.size() + b.size() - 2 * Common(a, b)) << diff;
  }
}

TEST(LineDiffTest, HugeDifferencesAreShownAsAWhole) {
  std::string before;
  std::string after;
  for (int i = 0; i < 4000; ++i) absl::StrAppend(&before, i, "\n");
  for (int i = 4000; i < 8000; ++i) absl::StrAppend(&after, i, "\n");
  EXPECT_EQ(Apply(before, UnifiedDiff(before, after, kNames)), after);
}

TEST(KeyAtTest, TheLastAtBeforeANumberNamesTheRevision) {
  const struct Case {
    std::string text;
    std::string key;
    int64_t revision;
  } kCases[] = {{"k", "k", 0},   {"k@3", "k", 3}, {"a@b", "a@b", 0},  {"a@1@2", "a@1", 2},
                {"k@", "k@", 0}, {"@5", "@5", 0}, {"k@-1", "k@-1", 0}};
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(ParseKeyAt(c.text).key, c.key);
    EXPECT_EQ(ParseKeyAt(c.text).revision, c.revision);
  }
}

}  // namespace
}  // namespace keel::ctl
