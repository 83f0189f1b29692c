#pragma once

// What `doctor` makes of a cluster: facts in, findings out. Pure.

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "keel/cluster.h"
#include "keel/maintenance.h"
#include "tools/keelctl/http_get.h"
#include "tools/keelctl/metrics_page.h"

namespace keel::ctl {

// A member's clock minus ours lies in here. Each answer gives bounds; several narrow them.
struct ClockBounds {
  absl::Duration low = -absl::InfiniteDuration();
  absl::Duration high = absl::InfiniteDuration();

  // From an answer that carried `server_time` (whole seconds, cut) and was under way between `asked` and `answered`.
  void Narrow(absl::Time asked, absl::Time answered, absl::Time server_time);
  bool known() const { return low > -absl::InfiniteDuration() && low <= high; }
};

struct MemberFacts {
  std::string name;      // Or its id, when it has none yet.
  std::string endpoint;  // Empty: it never started, so it has none.
  uint64_t id = 0;
  bool learner = false;
  absl::StatusOr<StatusResponse> status = absl::UnknownError("not asked");
  absl::StatusOr<MetricsPage> metrics = absl::UnknownError("not asked");
  ClockBounds clock;
  std::vector<Certificate> certificates;
};

struct ClusterFacts {
  absl::Time now;
  std::vector<MemberFacts> members;
  std::vector<Alarm> alarms;
  absl::StatusOr<absl::Duration> read = absl::UnknownError("not tried");  // A linearizable read, and how long it took.
};

enum class Severity { kOk, kWarning, kProblem };

struct Finding {
  Severity severity = Severity::kOk;
  std::string subject;      // "quorum", "disk", ...
  std::string text;         // What is the case.
  std::string advice = {};  // What to do; empty if nothing.
};

// One finding or more for every subject, also where all is well.
std::vector<Finding> Examine(const ClusterFacts& facts);

}  // namespace keel::ctl
