#pragma once

// Puts at a given rate by many clients at once, and what became of them: for `check`.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "keel/client.h"

namespace keel::ctl {

struct LoadPlan {
  std::string prefix;
  int64_t puts = 0;
  double puts_per_second = 0;  // 0: as fast as it goes.
  int clients = 1;             // Puts in flight at most.
  size_t key_bytes = 256;
  size_t value_bytes = 1024;
  absl::Time deadline = absl::InfiniteFuture();  // No put begins later.
};

struct LoadResult {
  absl::Duration took;
  std::vector<double> seconds;        // Of every put that succeeded.
  std::map<std::string, int> errors;  // How many failed for which reason.

  double puts_per_second() const;
  double slowest() const;
  double stddev() const;
};

// Blocks. `progress` hears how many have been answered.
LoadResult RunLoad(Kv& kv, const LoadPlan& plan, const std::function<void(int64_t done)>& progress);

// The verdict of `check perf` on a run that was to reach `target` puts per second: its lines, the last one PASS or
// FAIL.
struct PerfVerdict {
  bool pass = false;
  std::vector<std::string> lines;
};
PerfVerdict JudgePerf(const LoadResult& result, double target);

}  // namespace keel::ctl
