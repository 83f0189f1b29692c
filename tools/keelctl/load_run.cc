#include "tools/keelctl/load_run.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"

namespace keel::ctl {
namespace {

constexpr double kShareOfTarget = 0.9;
constexpr double kSlowestSeconds = 0.5;
constexpr double kStddevSeconds = 0.1;

// Different for every number, of the wished length.
std::string KeyOf(const LoadPlan& plan, int64_t number) {
  std::string key = absl::StrFormat("%s%016x", plan.prefix, number);
  if (key.size() < plan.key_bytes) key.append(plan.key_bytes - key.size(), 'k');
  return key;
}

}  // namespace

double LoadResult::puts_per_second() const {
  return took > absl::ZeroDuration() ? static_cast<double>(seconds.size()) / absl::ToDoubleSeconds(took) : 0;
}

double LoadResult::slowest() const { return seconds.empty() ? 0 : *std::max_element(seconds.begin(), seconds.end()); }

double LoadResult::stddev() const {
  if (seconds.empty()) return 0;
  const double count = static_cast<double>(seconds.size());
  const double mean = std::accumulate(seconds.begin(), seconds.end(), 0.0) / count;
  double squares = 0;
  for (const double each : seconds) squares += (each - mean) * (each - mean);
  return std::sqrt(squares / count);
}

LoadResult RunLoad(Kv& kv, const LoadPlan& plan, const std::function<void(int64_t)>& progress) {
  LoadResult result;
  absl::Mutex mutex;
  int in_flight = 0;
  int64_t answered = 0;
  const std::string value(plan.value_bytes, 'v');
  const absl::Time start = absl::Now();
  for (int64_t i = 0; i < plan.puts; ++i) {
    if (plan.puts_per_second > 0) {
      const absl::Time due = start + absl::Seconds(static_cast<double>(i) / plan.puts_per_second);
      if (const absl::Duration early = due - absl::Now(); early > absl::ZeroDuration()) absl::SleepFor(early);
    }
    int64_t done = 0;
    {
      absl::MutexLock lock(&mutex);
      const auto below_limit = [&] { return in_flight < plan.clients; };
      mutex.Await(absl::Condition(&below_limit));
      ++in_flight;
      done = answered;
    }
    if (absl::Now() > plan.deadline) {
      absl::MutexLock lock(&mutex);
      --in_flight;
      break;
    }
    progress(done);
    const absl::Time sent = absl::Now();
    kv.PutAsync(KeyOf(plan, i), value, {}, {}, [&, sent](absl::StatusOr<PutResponse> response) {
      const double seconds = absl::ToDoubleSeconds(absl::Now() - sent);
      absl::MutexLock lock(&mutex);
      if (response.ok()) {
        result.seconds.push_back(seconds);
      } else {
        ++result.errors[std::string(response.status().message())];
      }
      --in_flight;
      ++answered;
    });
  }
  absl::MutexLock lock(&mutex);
  const auto all_answered = [&] { return in_flight == 0; };
  mutex.Await(absl::Condition(&all_answered));
  progress(answered);
  result.took = absl::Now() - start;
  return result;
}

PerfVerdict JudgePerf(const LoadResult& result, double target) {
  PerfVerdict verdict{.pass = true};
  const auto judge = [&](bool pass, const std::string& good, const std::string& bad) {
    verdict.pass = verdict.pass && pass;
    verdict.lines.push_back(pass ? "PASS: " + good : bad);
  };
  const double reached = result.puts_per_second();
  const int64_t shown = static_cast<int64_t>(reached) + 1;
  judge(reached > target * kShareOfTarget, absl::StrCat("Throughput is ", shown, " writes/s"),
        absl::StrCat("FAIL: Throughput too low: ", shown, " writes/s"));
  judge(result.slowest() <= kSlowestSeconds, absl::StrFormat("Slowest request took %fs", result.slowest()),
        absl::StrFormat("Slowest request took too long: %fs", result.slowest()));
  judge(result.stddev() <= kStddevSeconds, absl::StrFormat("Stddev is %fs", result.stddev()),
        absl::StrFormat("Stddev too high: %fs", result.stddev()));
  if (!result.errors.empty()) {
    verdict.pass = false;
    verdict.lines.push_back("FAIL: too many errors");
    for (const auto& [error, count] : result.errors) {
      verdict.lines.push_back(absl::StrCat("FAIL: ERROR(", error, ") -> ", count));
    }
  }
  verdict.lines.push_back(verdict.pass ? "PASS" : "FAIL");
  return verdict;
}

}  // namespace keel::ctl
