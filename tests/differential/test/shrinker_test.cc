#include "tests/differential/shrinker.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "tests/differential/generator.h"

namespace keel::differential {
namespace {

Sequence Parse(const std::string& script) {
  auto sequence = ParseSequence("s", script);
  EXPECT_TRUE(sequence.ok()) << sequence.status();
  return *std::move(sequence);
}

TEST(ShrinkerTest, LeavesOnlyTheStepsAndFieldsThatMatter) {
  const Sequence sequence = Parse(R"(
    put key: "a" value: "1"
    put key: "b" value: "2" prev_kv: true
    range key: "a"
    txn compare { key: "a" } success { request_put { key: "x" } } success { request_range { key: "b" limit: 3 } }
    range key: "z"
    delete key: "a"
  )");
  const auto shows = [](const Sequence& candidate) {
    const std::string text = PrintSequence(candidate);
    return absl::StrContains(text, "value: \"2\"") && absl::StrContains(text, "limit: 3");
  };
  EXPECT_EQ(PrintSequence(Shrink(sequence, shows, 1000)),
            "put value: \"2\"\ntxn success { request_range { limit: 3 } }\n");
}

TEST(ShrinkerTest, NeverTakesACandidateThatDoesNotShow) {
  const Sequence sequence = Generate(1, 1);
  const Step last = sequence.steps.back();
  const auto shows = [&](const Sequence& candidate) {
    return candidate.steps.size() >= 3 && candidate.steps.back().request == last.request;
  };
  const Sequence small = Shrink(sequence, shows, 1000);
  EXPECT_EQ(small.steps.size(), 3u);
  EXPECT_TRUE(shows(small));
}

TEST(ShrinkerTest, KeepsToItsNumberOfTries) {
  size_t tries = 0;
  const auto shows = [&](const Sequence&) {
    ++tries;
    return false;
  };
  Shrink(Generate(1, 2), shows, 17);
  EXPECT_EQ(tries, 17u);
}

}  // namespace
}  // namespace keel::differential
