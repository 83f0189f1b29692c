#include "server/auto_compactor.h"

#include <gtest/gtest.h>

#include <functional>

namespace keel::server {
namespace {

using storage::Revision;

absl::Time At(absl::Duration since_start) { return absl::UnixEpoch() + since_start; }

AutoCompactor Periodic(absl::Duration period) {
  return AutoCompactor(AutoCompactionMode::kPeriodic, {.period = period}, At(absl::ZeroDuration()));
}

// Polls once a second from `from` to `to`, with revision = seconds since the start; returns when it wanted what.
std::vector<std::pair<int, int64_t>> PollSeconds(
    AutoCompactor* compactor, int from, int to, const std::function<bool(int)>& leads = [](int) { return true; }) {
  std::vector<std::pair<int, int64_t>> wanted;
  for (int second = from; second <= to; ++second) {
    const absl::Time now = At(absl::Seconds(second));
    if (const auto target = compactor->Poll(now, Revision{second + 1}, leads(second))) {
      wanted.emplace_back(second, target->value());
      compactor->Compacted(*target, now);
    }
  }
  return wanted;
}

TEST(AutoCompactorTest, PeriodicKeepsOnePeriodAndComesAgainEachPeriodUpToAnHour) {
  AutoCompactor compactor = Periodic(absl::Minutes(10));
  const std::vector<std::pair<int, int64_t>> want = {{600, 1}, {1200, 601}, {1800, 1201}};
  // Revision 1 at the start: nothing is older than it, so the first wish is to compact to 1.
  EXPECT_EQ(PollSeconds(&compactor, 0, 1800), want);
}

TEST(AutoCompactorTest, LongPeriodsCompactEveryHour) {
  AutoCompactor compactor = Periodic(absl::Hours(3));
  const auto wanted = PollSeconds(&compactor, 0, 6 * 3600);
  ASSERT_EQ(wanted.size(), 4u);
  EXPECT_EQ(wanted[0], std::pair(3 * 3600, int64_t{1}));
  EXPECT_EQ(wanted[1], std::pair(4 * 3600, int64_t{3601}));
  EXPECT_EQ(wanted[3], std::pair(6 * 3600, int64_t{3 * 3600 + 1}));
}

TEST(AutoCompactorTest, AFollowerSamplesButDoesNotCompact) {
  AutoCompactor compactor = Periodic(absl::Minutes(10));
  EXPECT_TRUE(PollSeconds(&compactor, 0, 1500, [](int) { return false; }).empty());
  // Having become leader it knows the past: at the next sample it compacts to the revision of ten minutes ago.
  const auto wanted = PollSeconds(&compactor, 1501, 1600);
  ASSERT_FALSE(wanted.empty());
  EXPECT_EQ(wanted[0], std::pair(1560, int64_t{961}));
}

TEST(AutoCompactorTest, AFailedCompactionIsTriedAgainAtTheNextSample) {
  AutoCompactor compactor = Periodic(absl::Minutes(10));
  PollSeconds(&compactor, 0, 1199);
  ASSERT_TRUE(compactor.Poll(At(absl::Seconds(1200)), Revision{1201}, true).has_value());  // Fails: not Compacted().
  EXPECT_FALSE(compactor.Poll(At(absl::Seconds(1201)), Revision{1202}, true).has_value());
  EXPECT_TRUE(compactor.Poll(At(absl::Seconds(1260)), Revision{1261}, true).has_value());
}

TEST(AutoCompactorTest, AnIdleStoreIsNotCompactedTwice) {
  AutoCompactor compactor = Periodic(absl::Minutes(1));
  int wanted = 0;
  for (int second = 0; second < 3600; ++second) {
    const absl::Time now = At(absl::Seconds(second));
    if (const auto target = compactor.Poll(now, Revision{7}, true)) {
      ++wanted;
      compactor.Compacted(*target, now);
    }
  }
  EXPECT_EQ(wanted, 1);
}

TEST(AutoCompactorTest, RevisionModeKeepsACountEveryFiveMinutes) {
  AutoCompactor compactor(AutoCompactionMode::kRevision, {.revisions = 100}, At(absl::ZeroDuration()));
  const std::vector<std::pair<int, int64_t>> want = {{300, 201}, {600, 501}, {900, 801}};
  EXPECT_EQ(PollSeconds(&compactor, 0, 900), want);
}

TEST(AutoCompactorTest, RevisionModeLeavesAYoungStoreAlone) {
  AutoCompactor compactor(AutoCompactionMode::kRevision, {.revisions = 1000}, At(absl::ZeroDuration()));
  EXPECT_TRUE(PollSeconds(&compactor, 0, 900).empty());
}

TEST(AutoCompactorTest, ZeroIsOff) {
  for (const AutoCompactionMode mode : {AutoCompactionMode::kPeriodic, AutoCompactionMode::kRevision}) {
    AutoCompactor compactor(mode, ParseRetention(mode, "0").value(), At(absl::ZeroDuration()));
    EXPECT_FALSE(compactor.enabled());
    EXPECT_TRUE(PollSeconds(&compactor, 0, 7200).empty());
  }
}

TEST(RetentionTest, ABareNumberIsHoursOrRevisions) {
  EXPECT_EQ(ParseRetention(AutoCompactionMode::kPeriodic, "8")->period, absl::Hours(8));
  EXPECT_EQ(ParseRetention(AutoCompactionMode::kPeriodic, "1h30m")->period, absl::Minutes(90));
  EXPECT_EQ(ParseRetention(AutoCompactionMode::kRevision, "8")->revisions, 8);
  EXPECT_FALSE(ParseRetention(AutoCompactionMode::kRevision, "8h").ok());
  EXPECT_FALSE(ParseRetention(AutoCompactionMode::kPeriodic, "-1h").ok());
  EXPECT_FALSE(ParseRetention(AutoCompactionMode::kPeriodic, "inf").ok());
}

}  // namespace
}  // namespace keel::server
