#include "tools/keelctl/member_sample.h"

#include <algorithm>
#include <future>

#include "absl/time/clock.h"

namespace keel::ctl {
namespace {

constexpr const char kRequestSeconds[] = "etcd_server_request_duration_seconds";
constexpr const char kFsyncSeconds[] = "etcd_disk_wal_fsync_duration_seconds";

double Writes(const MetricsPage& page) { return page.Sum("etcd_mvcc_put_total") + page.Sum("etcd_mvcc_delete_total"); }

// A counter that went back belongs to a process that has started again.
double Rate(double before, double now, double seconds) {
  return seconds > 0 ? std::max(0.0, now >= before ? now - before : now) / seconds : 0;
}

MemberRates RatesOf(const MemberSample& before, const MemberSample& now) {
  MemberRates rates{.endpoint = now.endpoint};
  if (!now.metrics.ok()) {
    rates.error = std::string(now.metrics.status().message());
    return rates;
  }
  const MetricsPage& page = *now.metrics;
  const MetricsPage* old = before.metrics.ok() ? &*before.metrics : nullptr;
  const double seconds = old == nullptr ? 0 : absl::ToDoubleSeconds(now.taken - before.taken);
  const auto rate = [&](const auto& counter) {
    return old == nullptr ? 0 : Rate(counter(*old), counter(page), seconds);
  };
  rates.leader = page.Sum("etcd_server_is_leader") > 0;
  rates.has_leader = page.Sum("etcd_server_has_leader") > 0;
  rates.reads_per_second = rate([](const MetricsPage& p) { return p.Sum("etcd_mvcc_range_total"); });
  rates.writes_per_second = rate(Writes);
  rates.cpu_share = rate([](const MetricsPage& p) { return p.Sum("process_cpu_seconds_total"); });
  const HistogramDelta requests(page, old, kRequestSeconds);
  rates.request_p50_seconds = requests.Quantile(0.5);
  rates.request_p99_seconds = requests.Quantile(0.99);
  rates.fsync_p99_seconds = HistogramDelta(page, old, kFsyncSeconds).Quantile(0.99);
  rates.db_bytes = page.Sum("etcd_mvcc_db_total_size_in_bytes");
  rates.db_in_use_bytes = page.Sum("etcd_mvcc_db_total_size_in_use_in_bytes");
  rates.quota_bytes = page.Sum("etcd_server_quota_backend_bytes");
  rates.watchers = page.Sum("etcd_debugging_mvcc_watcher_total");
  rates.resident_bytes = page.Sum("process_resident_memory_bytes");
  return rates;
}

}  // namespace

std::vector<MemberSample> SampleMembers(const Context& context, const std::vector<std::string>& endpoints) {
  std::vector<std::future<MemberSample>> asked;
  for (const std::string& endpoint : endpoints) {
    asked.push_back(std::async(std::launch::async, [&context, endpoint] {
      MemberSample sample{.endpoint = endpoint};
      auto page = HttpGet(endpoint, "/metrics", context.flags.tls, context.flags.command_timeout);
      sample.taken = absl::Now();
      if (!page.ok()) {
        sample.metrics = page.status();
        return sample;
      }
      sample.metrics = MetricsPage::Parse(page->body);
      page->body.clear();
      sample.page = *std::move(page);
      return sample;
    }));
  }
  std::vector<MemberSample> samples;
  for (auto& each : asked) samples.push_back(each.get());
  return samples;
}

std::vector<MemberRates> RatesBetween(const std::vector<MemberSample>& before, const std::vector<MemberSample>& now) {
  std::vector<MemberRates> rows;
  double committed = 0;
  for (size_t i = 0; i < now.size(); ++i) {
    rows.push_back(RatesOf(i < before.size() ? before[i] : MemberSample{}, now[i]));
    if (now[i].metrics.ok()) {
      committed = std::max(committed, now[i].metrics->Sum("etcd_server_proposals_committed_total"));
    }
  }
  for (size_t i = 0; i < now.size(); ++i) {
    if (!now[i].metrics.ok()) continue;
    rows[i].lag = std::max(0.0, committed - now[i].metrics->Sum("etcd_server_proposals_applied_total"));
  }
  return rows;
}

}  // namespace keel::ctl
