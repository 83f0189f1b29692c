// The simulation of whole members is itself as it must be: it replays, and it notices.

#include <iterator>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sim_full/cluster.h"

namespace keel::sim {
namespace {

class FullSimTest : public ::testing::Test {
 protected:
  FullSimTest() {
    LogOptions log;
    log.level = LogLevel::kError;  // The rest is a flood.
    KEEL_CHECK(ConfigureLog(log).ok());
  }

  static RunResult Run(uint64_t seed, BrokenRule broken = BrokenRule::kNone) {
    RunOptions run;
    run.broken_rule = broken;
    return FullProfile().run(seed, run);
  }
};

// The same seed gives the same run, or a failure could not be studied.
TEST_F(FullSimTest, ASeedReplaysExactly) {
  for (uint64_t seed : {3, 14, 15}) {
    SCOPED_TRACE(seed);
    const RunResult a = Run(seed);
    const RunResult b = Run(seed);
    EXPECT_TRUE(a.ok()) << a.violation->invariant << ": " << a.violation->detail;
    EXPECT_EQ(a.events, b.events);
    EXPECT_EQ(a.digest, b.digest);
    EXPECT_EQ(a.ledger.ToString(), b.ledger.ToString());
  }
}

// What notices is what the table of docs/SIMULATION.md says. Where several may, any is right.
TEST_F(FullSimTest, EveryBrokenRuleIsCaught) {
  const struct {
    BrokenRule rule;
    std::vector<std::string> caught_by;
  } cases[] = {
      {BrokenRule::kSyncDoesNothing, {"restart-works", "messages-accepted"}},
      {BrokenRule::kReadWithoutQuorum, {"real-time-order"}},
      {BrokenRule::kDropApplied, {"restart-works"}},
      {BrokenRule::kLoseWatchEvent, {"watch-delivers-exactly", "watch-progress-is-true"}},
      {BrokenRule::kHurryLeases, {"lease-lives-as-promised"}},
  };
  ASSERT_EQ(std::size(cases), FullProfile().breakable.size());
  for (const auto& c : cases) {
    SCOPED_TRACE(BrokenRuleName(c.rule));
    std::string invariant = "nothing";
    for (uint64_t seed = 1; seed <= 60 && invariant == "nothing"; ++seed) {
      if (const RunResult result = Run(seed, c.rule); !result.ok()) invariant = result.violation->invariant;
    }
    EXPECT_THAT(c.caught_by, ::testing::Contains(invariant));
  }
}

}  // namespace
}  // namespace keel::sim
