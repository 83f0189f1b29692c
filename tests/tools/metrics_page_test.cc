#include "tools/keelctl/metrics_page.h"

#include <gtest/gtest.h>

#include "tools/keelctl/member_sample.h"
#include "tools/keelctl/top_view.h"

namespace keel::ctl {
namespace {

MetricsPage Page(const std::string& text) {
  auto page = MetricsPage::Parse(text);
  EXPECT_TRUE(page.ok()) << page.status();
  return page.ok() ? *page : MetricsPage();
}

TEST(MetricsPageTest, ReadsSamplesWithAndWithoutLabels) {
  const MetricsPage page = Page(
      "# HELP a A thing.\n# TYPE a counter\na 3\n\n"
      "b{x=\"1\",y=\"two\"} 4.5 1700000000000\nb{x=\"2\", y=\"q\\\"uo\\\\te\\n\",} 1e2\n"
      "c +Inf\nd{} -1\n");
  EXPECT_EQ(page.Sum("a"), 3);
  EXPECT_EQ(page.Sum("b"), 104.5);
  EXPECT_EQ(page.Sum("b", {{"x", "1"}}), 4.5);
  EXPECT_EQ(page.Sum("b", {{"x", "3"}}), 0);
  EXPECT_EQ(page.samples("b")[1].labels.at("y"), "q\"uo\\te\n");
  EXPECT_EQ(page.Sum("d"), -1);
  EXPECT_TRUE(page.has("c"));
  EXPECT_FALSE(page.has("e"));
}

TEST(MetricsPageTest, RefusesWhatIsNoMetrics) {
  for (const char* text : {"a", "a b", "a{x=\"1\" 2", "a{x=1} 2", "a 1 2 3", "<html>", "{x=\"1\"} 2", "a{x=\"\\"}) {
    EXPECT_FALSE(MetricsPage::Parse(text).ok()) << text;
  }
}

TEST(MetricsPageTest, QuantilesLieInTheirBuckets) {
  const std::string before =
      "h_bucket{le=\"1\"} 10\nh_bucket{le=\"2\"} 10\nh_bucket{le=\"+Inf\"} 10\nh_sum 5\nh_count 10\n";
  const std::string now =
      "h_bucket{le=\"1\"} 60\nh_bucket{le=\"2\"} 110\nh_bucket{le=\"+Inf\"} 110\nh_sum 105\nh_count 110\n";
  const MetricsPage old = Page(before);
  const HistogramDelta delta(Page(now), &old, "h");
  EXPECT_EQ(delta.count(), 100);
  EXPECT_EQ(delta.mean(), 1);
  EXPECT_DOUBLE_EQ(delta.Quantile(0.25), 0.5);
  EXPECT_DOUBLE_EQ(delta.Quantile(0.75), 1.5);
  // A process that has started again counts from its start.
  const MetricsPage later = Page(now);
  EXPECT_EQ(HistogramDelta(Page(before), &later, "h").count(), 10);
  EXPECT_EQ(
      HistogramDelta(Page("h_bucket{le=\"1\"} 0\nh_bucket{le=\"+Inf\"} 5\nh_count 5\n"), nullptr, "h").Quantile(0.5),
      1);
  EXPECT_EQ(HistogramDelta(Page(""), nullptr, "h").Quantile(0.5), 0);
}

TEST(MemberSampleTest, RatesComeFromTwoSamples) {
  const auto sample = [](const std::string& endpoint, int second, const std::string& text) {
    MemberSample taken{.endpoint = endpoint, .taken = absl::UnixEpoch() + absl::Seconds(second)};
    taken.metrics = MetricsPage::Parse(text);
    return taken;
  };
  const std::vector<MemberSample> before = {
      sample("one", 0, "etcd_mvcc_put_total 10\netcd_mvcc_range_total 5\netcd_server_proposals_committed_total 100\n"),
      sample("two", 0, "etcd_mvcc_put_total 50\n"), sample("three", 0, "")};
  std::vector<MemberSample> now = {
      sample("one", 2,
             "etcd_mvcc_put_total 20\netcd_mvcc_delete_total 2\netcd_mvcc_range_total 25\netcd_server_is_leader 1\n"
             "etcd_server_proposals_committed_total 120\netcd_server_proposals_applied_total 120\n"),
      sample("two", 2, "etcd_mvcc_put_total 4\netcd_server_proposals_applied_total 90\n"),  // Has started again.
      sample("three", 2, "")};
  now[2].metrics = absl::UnavailableError("three: refused");
  const std::vector<MemberRates> rates = RatesBetween(before, now);
  ASSERT_EQ(rates.size(), 3u);
  EXPECT_TRUE(rates[0].leader);
  EXPECT_EQ(rates[0].writes_per_second, 6);
  EXPECT_EQ(rates[0].reads_per_second, 10);
  EXPECT_EQ(rates[0].lag, 0);
  EXPECT_EQ(rates[1].writes_per_second, 2);
  EXPECT_EQ(rates[1].lag, 30);
  EXPECT_EQ(rates[2].error, "three: refused");

  const std::string text = TopText({.interval = absl::Seconds(2),
                                    .members = rates,
                                    .prefixes = {{.prefix = "/a/", .puts = 4, .deletes = 2, .bytes = 2000}},
                                    .prefixes_known = true});
  EXPECT_NE(text.find("leader"), std::string::npos);
  EXPECT_NE(text.find("three: refused"), std::string::npos);
  EXPECT_NE(text.find("2.0       1.0     1.0 kB"), std::string::npos) << text;
}

TEST(PrefixCounterTest, CountsByTheFirstPartsOfAKey) {
  const struct Case {
    const char* key;
    int depth;
    const char* prefix;
  } kCases[] = {{"/config/app/port", 1, "/config/"},
                {"/config/app/port", 2, "/config/app/"},
                {"/config/app/port", 9, "/config/app/"},
                {"config/a", 1, "config/"},
                {"alone", 1, "alone"},
                {"/alone", 1, "/alone"},
                {"", 1, ""},
                {"/", 1, "/"}};
  for (const Case& c : kCases) EXPECT_EQ(PrefixCounter::PrefixOf(c.key, c.depth), c.prefix) << c.key;
  PrefixCounter counter(1);
  for (int i = 0; i < 3; ++i) counter.Add({.kv = {.key = "b/x", .value = "12"}});
  counter.Add({.type = Event::Type::kDelete, .kv = {.key = "a/x"}});
  const auto rows = counter.Take(1);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].prefix, "b/");
  EXPECT_EQ(rows[0].puts, 3);
  EXPECT_EQ(rows[0].bytes, 15);
  EXPECT_TRUE(counter.Take(9).empty());
}

}  // namespace
}  // namespace keel::ctl
