#pragma once

// What /metrics of the members says of them, now and over an interval.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tools/keelctl/cli.h"
#include "tools/keelctl/http_get.h"
#include "tools/keelctl/metrics_page.h"

namespace keel::ctl {

// One endpoint, asked once.
struct MemberSample {
  std::string endpoint;
  absl::Time taken;
  absl::StatusOr<MetricsPage> metrics = absl::UnknownError("not asked");
  HttpPage page = {};  // Without its body.
};

// All endpoints at once.
std::vector<MemberSample> SampleMembers(const Context& context, const std::vector<std::string>& endpoints);

// What happened at one member between two samples of it.
struct MemberRates {
  std::string endpoint;
  std::string error;  // Not empty: it could not be asked, and nothing below is known.
  bool leader = false;
  bool has_leader = false;
  double reads_per_second = 0;   // Ranges, executed here.
  double writes_per_second = 0;  // Puts and deletes, applied here; those of transactions too.
  double request_p50_seconds = 0;
  double request_p99_seconds = 0;
  double fsync_p99_seconds = 0;
  double lag = 0;  // Entries committed at the furthest member and not applied here.
  double db_bytes = 0;
  double db_in_use_bytes = 0;
  double quota_bytes = 0;
  double watchers = 0;
  double cpu_share = 0;  // 1: one core.
  double resident_bytes = 0;
};

// Pure. `before` and `now` name the same endpoints in the same order; a member without an earlier sample has rates 0.
std::vector<MemberRates> RatesBetween(const std::vector<MemberSample>& before, const std::vector<MemberSample>& now);

}  // namespace keel::ctl
