#include "tests/differential/sequence.h"

#include <gtest/gtest.h>

#include "proto/etcdserver_kv.pb.h"
#include "tests/differential/generator.h"
#include "tests/differential/symbols.h"

namespace keel::differential {
namespace {

TEST(SequenceTest, EveryGeneratedSequenceSurvivesItsScript) {
  for (uint64_t number = 0; number < 300; ++number) {
    const Sequence sequence = Generate(1, number);
    const std::string script = PrintSequence(sequence);
    const auto parsed = ParseSequence(sequence.name, script);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    ASSERT_EQ(parsed->steps.size(), sequence.steps.size());
    for (size_t i = 0; i < sequence.steps.size(); ++i) {
      const Step& a = sequence.steps[i];
      const Step& b = parsed->steps[i];
      EXPECT_EQ(a.method, b.method);
      EXPECT_EQ(a.stream, b.stream);
      EXPECT_EQ(a.raw, b.raw);
      ASSERT_EQ(a.request == nullptr, b.request == nullptr);
      if (a.request == nullptr) continue;
      EXPECT_EQ(a.request->SerializeAsString(), b.request->SerializeAsString()) << PrintStep(a);
    }
  }
}

TEST(SequenceTest, ASeedGivesTheSameSequencesAndAnotherGivesOthers) {
  EXPECT_EQ(PrintSequence(Generate(7, 3)), PrintSequence(Generate(7, 3)));
  EXPECT_NE(PrintSequence(Generate(7, 3)), PrintSequence(Generate(7, 4)));
  EXPECT_NE(PrintSequence(Generate(7, 3)), PrintSequence(Generate(8, 3)));
}

TEST(SequenceTest, NamesStandForWhatIsKnownWhenPlaying) {
  const auto step = ParseStep(R"(range key: "@fill:3:x" revision: $now-2 min_mod_revision: $base+1)");
  ASSERT_TRUE(step.ok()) << step.status();
  etcdserverpb::RangeRequest request;
  request.CopyFrom(*step->request);
  Resolve({.now = 50, .base = 40, .chosen_leases = {}}, &request);
  EXPECT_EQ(request.key(), "xxx");
  EXPECT_EQ(request.revision(), 48);
  EXPECT_EQ(request.min_mod_revision(), 41);
  EXPECT_EQ(PrintStep(*step), R"(range key: "@fill:3:x" revision: $now-2 min_mod_revision: $base+1)");
}

TEST(SequenceTest, ChosenLeasesAreNamedBothWays) {
  const Symbols symbols{.chosen_leases = {77, 88}};
  const auto step = ParseStep(R"(put key: "a" lease: $lease1)");
  ASSERT_TRUE(step.ok()) << step.status();
  etcdserverpb::PutRequest request;
  request.CopyFrom(*step->request);
  Resolve(symbols, &request);
  EXPECT_EQ(request.lease(), 88);
  EXPECT_EQ(NameOfLease(symbols, 88), ChosenLease(1));
  EXPECT_EQ(NameOfLease(symbols, 99), 99);
}

TEST(SequenceTest, WrongLinesAreNamed) {
  EXPECT_EQ(std::string(ParseSequence("s", "range key: \"a\"\nfly key: \"a\"").status().message()),
            "s:2: there is no method \"fly\"");
  EXPECT_FALSE(ParseSequence("s", "put kee: \"a\"").ok());
  EXPECT_FALSE(ParseSequence("s", "raw/put 12").ok());
}

}  // namespace
}  // namespace keel::differential
