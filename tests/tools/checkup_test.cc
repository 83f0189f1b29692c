#include "tools/keelctl/checkup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "tools/keelctl/growth_watch.h"
#include "tools/keelctl/load_run.h"
#include "tools/keelctl/progress_bar.h"

namespace keel::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

// Three members that are well; tests break one thing each.
ClusterFacts Healthy(int members = 3) {
  ClusterFacts facts{.now = kNow, .read = absl::Milliseconds(2)};
  for (int i = 1; i <= members; ++i) {
    MemberFacts member{.name = absl::StrCat("n", i), .endpoint = absl::StrCat("10.0.0.", i, ":2379"), .id = 10u + i};
    member.status = StatusResponse{.header = {.member_id = 10u + i},
                                   .version = "3.6.0",
                                   .db_size = 1000,
                                   .db_size_quota = 2'000'000,
                                   .leader = 11,
                                   .raft_index = 5000,
                                   .raft_term = 7,
                                   .raft_applied_index = 5000};
    member.metrics = MetricsPage::Parse(
        absl::StrCat("process_start_time_seconds ", absl::ToUnixSeconds(kNow) - 36000,
                     "\netcd_server_leader_changes_seen_total 2\nkeel_state_hash_checks_total 5\nprocess_open_fds 50\n"
                     "process_max_fds 1024\n"
                     "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.004\"} 1000\n"
                     "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"+Inf\"} 1000\n"
                     "etcd_disk_wal_fsync_duration_seconds_count 1000\n"));
    member.clock.Narrow(kNow, kNow + absl::Milliseconds(3), kNow);
    facts.members.push_back(std::move(member));
  }
  return facts;
}

Severity Worst(const std::vector<Finding>& findings) {
  Severity worst = Severity::kOk;
  for (const Finding& finding : findings) worst = std::max(worst, finding.severity);
  return worst;
}

StatusResponse& StatusOf(ClusterFacts& facts, size_t i) { return *facts.members[i].status; }

TEST(CheckupTest, AHealthyClusterGivesOneLineForEverySubject) {
  const std::vector<Finding> findings = Examine(Healthy());
  EXPECT_EQ(Worst(findings), Severity::kOk);
  std::vector<std::string> subjects;
  for (const Finding& finding : findings) {
    subjects.push_back(finding.subject);
    EXPECT_EQ(finding.advice, "") << finding.text;
  }
  EXPECT_THAT(subjects, ElementsAre("members", "quorum", "leader", "reads", "versions", "alarms", "space", "disk",
                                    "lag", "integrity", "elections", "files", "clocks", "certificates"));
}

TEST(CheckupTest, WhereNobodyAnswersNothingIsSaidToBeWell) {
  ClusterFacts facts = Healthy();
  facts.read = absl::UnavailableError("refused");
  for (MemberFacts& member : facts.members) {
    member.status = absl::UnavailableError("refused");
    member.metrics = absl::UnavailableError("refused");
  }
  const std::vector<Finding> findings = Examine(facts);
  EXPECT_FALSE(findings.empty());
  for (const Finding& finding : findings) EXPECT_EQ(finding.severity, Severity::kProblem) << finding.text;
}

TEST(CheckupTest, EveryThingThatIsWrongIsFoundAndHasAdvice) {
  const struct Case {
    const char* name;
    std::function<void(ClusterFacts&)> breaks;
    const char* subject;
    Severity severity;
    const char* says;
  } kCases[] = {
      {"one is down", [](ClusterFacts& f) { f.members[2].status = absl::UnavailableError("refused"); }, "members",
       Severity::kProblem, "n3 (10.0.0.3:2379) does not answer: refused"},
      {"no margin", [](ClusterFacts& f) { f.members[2].status = absl::UnavailableError("refused"); }, "quorum",
       Severity::kWarning, "2 of 3 voters answer, 2 are needed: one more failure"},
      {"no quorum",
       [](ClusterFacts& f) {
         f.members[1].status = absl::UnavailableError("refused");
         f.members[2].status = absl::UnavailableError("refused");
       },
       "quorum", Severity::kProblem, "nothing can be written"},
      {"four voters", [](ClusterFacts& f) { f = Healthy(4); }, "quorum", Severity::kWarning, "even number"},
      {"two voters", [](ClusterFacts& f) { f = Healthy(2); }, "quorum", Severity::kWarning, "one more failure"},
      {"a member without metrics", [](ClusterFacts& f) { f.members[0].metrics = absl::UnavailableError("404"); },
       "members", Severity::kWarning, "no metrics: 404"},
      {"never started", [](ClusterFacts& f) { f.members.push_back({.name = "abc", .id = 14, .learner = true}); },
       "members", Severity::kWarning, "never started"},
      {"no leader", [](ClusterFacts& f) { StatusOf(f, 1).leader = 0; }, "leader", Severity::kProblem,
       "knows no leader"},
      {"two leaders", [](ClusterFacts& f) { StatusOf(f, 1).leader = 12; }, "leader", Severity::kWarning, "disagree"},
      {"reads fail", [](ClusterFacts& f) { f.read = absl::DeadlineExceededError("late"); }, "reads", Severity::kProblem,
       "late"},
      {"reads are slow", [](ClusterFacts& f) { f.read = absl::Seconds(2); }, "reads", Severity::kWarning, "2s"},
      {"versions", [](ClusterFacts& f) { StatusOf(f, 1).version = "3.5.0"; }, "versions", Severity::kWarning,
       "3.5.0 on n2; 3.6.0 on n1, n3"},
      {"no space", [](ClusterFacts& f) { f.alarms = {{.member_id = 0xab, .type = AlarmType::kNoSpace}}; }, "alarms",
       Severity::kProblem, "member ab raised NOSPACE"},
      {"corrupt", [](ClusterFacts& f) { f.alarms = {{.member_id = 0xab, .type = AlarmType::kCorrupt}}; }, "alarms",
       Severity::kProblem, "CORRUPT"},
      {"nearly full", [](ClusterFacts& f) { StatusOf(f, 0).db_size = 1'700'000; }, "space", Severity::kWarning,
       "(85%)"},
      {"full", [](ClusterFacts& f) { StatusOf(f, 0).db_size = 1'990'000; }, "space", Severity::kProblem, "2.0 MB"},
      {"slow disk",
       [](ClusterFacts& f) {
         f.members[1].metrics = MetricsPage::Parse(
             "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.064\"} 0\n"
             "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.128\"} 1000\n"
             "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"+Inf\"} 1000\n"
             "etcd_disk_wal_fsync_duration_seconds_count 1000\n");
       },
       "disk", Severity::kWarning, "n2 (10.0.0.2:2379): 1% of the syncs of the log took more than 127 ms"},
      {"lag", [](ClusterFacts& f) { StatusOf(f, 2).raft_applied_index = 3000; }, "lag", Severity::kWarning,
       "2000 entries behind"},
      {"mismatch",
       [](ClusterFacts& f) { f.members[0].metrics = MetricsPage::Parse("keel_state_hash_mismatches_total 1\n"); },
       "integrity", Severity::kProblem, "states differ"},
      {"elections",
       [](ClusterFacts& f) {
         f.members[0].metrics =
             MetricsPage::Parse(absl::StrCat("process_start_time_seconds ", absl::ToUnixSeconds(kNow) - 7200,
                                             "\netcd_server_leader_changes_seen_total 40\n"));
       },
       "elections", Severity::kWarning, "40 changes of leader in 2.0 hours"},
      {"files",
       [](ClusterFacts& f) {
         f.members[0].metrics = MetricsPage::Parse("process_open_fds 900\nprocess_max_fds 1024\n");
       },
       "files", Severity::kWarning, "900 of 1024"},
      {"clocks",
       [](ClusterFacts& f) {
         f.members[1].clock = {};
         f.members[1].clock.Narrow(kNow, kNow + absl::Milliseconds(3), kNow + absl::Seconds(5));
       },
       "clocks", Severity::kWarning, "n2 (10.0.0.2:2379) is ahead of n1"},
      {"certificate",
       [](ClusterFacts& f) {
         f.members[0].certificates = {{.subject = "CN = n1", .expires = kNow + absl::Hours(240)}};
       },
       "certificates", Severity::kWarning, "CN = n1 expires on 2027-01-25"},
      {"expired",
       [](ClusterFacts& f) { f.members[0].certificates = {{.subject = "CN = n1", .expires = kNow - absl::Hours(1)}}; },
       "certificates", Severity::kProblem, "CN = n1 expired on"},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    ClusterFacts facts = Healthy();
    c.breaks(facts);
    bool found = false;
    for (const Finding& finding : Examine(facts)) {
      EXPECT_EQ(finding.severity == Severity::kOk, finding.advice.empty()) << finding.text;
      if (finding.subject != c.subject || finding.severity != c.severity) continue;
      found = found || finding.text.find(c.says) != std::string::npos;
    }
    EXPECT_TRUE(found);
  }
}

TEST(CheckupTest, SeveralLooksNarrowWhatIsKnownOfAClock) {
  ClockBounds clock;
  EXPECT_FALSE(clock.known());
  // The member is 0.3 s ahead; its answers carry whole seconds.
  for (const int ms : {0, 250, 500, 750}) {
    const absl::Time asked = kNow + absl::Milliseconds(ms);
    const absl::Time there = asked + absl::Milliseconds(300);
    clock.Narrow(asked, asked + absl::Milliseconds(2), absl::FromUnixSeconds(absl::ToUnixSeconds(there)));
  }
  EXPECT_TRUE(clock.known());
  EXPECT_LE(clock.low, absl::Milliseconds(300));
  EXPECT_GE(clock.high, absl::Milliseconds(300));
  EXPECT_LE(clock.high - clock.low, absl::Milliseconds(260));
}

TEST(LoadRunTest, TheVerdictSaysWhichCriterionFailed) {
  LoadResult result{.took = absl::Seconds(2), .seconds = std::vector<double>(300, 0.01)};
  EXPECT_THAT(JudgePerf(result, 150).lines,
              ElementsAre("PASS: Throughput is 151 writes/s", "PASS: Slowest request took 0.010000s",
                          "PASS: Stddev is 0.000000s", "PASS"));
  EXPECT_THAT(JudgePerf(result, 200).lines[0], "FAIL: Throughput too low: 151 writes/s");
  result.seconds[7] = 0.7;
  EXPECT_EQ(JudgePerf(result, 150).lines[1], "Slowest request took too long: 0.700000s");
  EXPECT_FALSE(JudgePerf(result, 150).pass);
  result = {.took = absl::Seconds(2), .seconds = std::vector<double>(300, 0.01), .errors = {{"no space", 2}}};
  const PerfVerdict verdict = JudgePerf(result, 100);
  EXPECT_FALSE(verdict.pass);
  EXPECT_THAT(verdict.lines, testing::Contains("FAIL: ERROR(no space) -> 2"));
}

TEST(ProgressBarTest, WritesOverItselfAndOnlyWhereItIsSeen) {
  std::ostringstream err;
  {
    ProgressBar bar(err, "saving", /*shown=*/true);
    bar.Show(5, 10, "5 MB of 10 MB");
    bar.Show(10, 10, "10 MB");
  }
  EXPECT_THAT(err.str(), HasSubstr("\rsaving [###############...............]  50% 5 MB of 10 MB"));
  EXPECT_THAT(err.str(), HasSubstr("100% 10 MB        \n"));
  std::ostringstream nobody;
  {
    ProgressBar bar(nobody, "saving", /*shown=*/false);
    bar.Show(10, 10, "10 MB");
  }
  EXPECT_EQ(nobody.str(), "");
}

TEST(GrowthWatchTest, AddsUpFilesAtAnyDepthAndShowsThem) {
  std::string dir = (std::filesystem::temp_directory_path() / "keel-growth-XXXXXX").string();
  ASSERT_NE(mkdtemp(dir.data()), nullptr);
  EXPECT_EQ(GrowthWatch::BytesIn(dir + "/absent"), 0);
  std::filesystem::create_directories(dir + "/a/b");
  std::ofstream(dir + "/one") << "12345";
  std::ofstream(dir + "/a/b/two") << "678";
  EXPECT_EQ(GrowthWatch::BytesIn(dir), 8);
  std::ostringstream err;
  {
    ProgressBar bar(err, "restoring", /*shown=*/true);
    GrowthWatch watch(bar, dir, 16);
  }
  EXPECT_THAT(err.str(), HasSubstr(" 50% 8 B written"));
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace keel::ctl
