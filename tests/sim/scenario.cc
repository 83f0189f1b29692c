#include "tests/sim/scenario.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "base/string_view.h"

namespace keel::sim {

std::string Scenario::ToString() const {
  std::string out = absl::StrCat("profile ", profile, "\nseed ", seed, "\n");
  if (!run.message_faults) absl::StrAppend(&out, "message-faults off\n");
  if (run.client_operations_max) absl::StrAppend(&out, "client-operations ", *run.client_operations_max, "\n");
  if (run.schedule) {
    absl::StrAppend(&out, "schedule\n");
    for (const FaultEvent& event : *run.schedule) absl::StrAppend(&out, event.ToString(), "\n");
  }
  return out;
}

absl::StatusOr<Scenario> Scenario::Parse(std::string_view text) {
  Scenario scenario;
  for (absl::string_view line : absl::StrSplit(ToAbsl(text), '\n')) {
    line = absl::StripAsciiWhitespace(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    if (scenario.run.schedule) {
      KEEL_ASSIGN_OR_RETURN(const FaultEvent event, FaultEvent::Parse(ToStd(line)));
      scenario.run.schedule->push_back(event);
      continue;
    }
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint64_t number = 0;
    const bool has_number = words.size() == 2 && absl::SimpleAtoi(words[1], &number);
    if (words[0] == "profile" && words.size() == 2) {
      scenario.profile = words[1];
    } else if (words[0] == "seed" && has_number) {
      scenario.seed = number;
    } else if (line == "message-faults off") {
      scenario.run.message_faults = false;
    } else if (words[0] == "client-operations" && has_number) {
      scenario.run.client_operations_max = number;
    } else if (line == "schedule") {
      scenario.run.schedule.emplace();
    } else {
      return absl::InvalidArgumentError(absl::StrCat("scenario: cannot read the line \"", line, "\""));
    }
  }
  if (FindProfile(scenario.profile) == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("scenario: there is no profile \"", scenario.profile, "\""));
  }
  return scenario;
}

namespace {

class Minimiser {
 public:
  Minimiser(Scenario scenario, double seconds_max)
      : best_(std::move(scenario)),
        end_(std::chrono::steady_clock::now() + std::chrono::milliseconds(static_cast<int64_t>(seconds_max * 1000))) {}

  std::optional<Minimised> Run() {
    RunResult first = RunSeedIsolated(best_.profile, best_.seed, best_.run);
    ++runs_;
    if (first.ok()) return std::nullopt;
    invariant_ = first.violation->invariant;
    result_ = std::move(first);
    if (!best_.run.schedule) best_.run.schedule = result_.schedule;
    const size_t before = best_.run.schedule->size();
    // What comes after the failure did not cause it.
    Try([&](RunOptions* run) {
      std::erase_if(*run->schedule, [&](const FaultEvent& event) { return event.at > result_.end; });
    });
    Try([](RunOptions* run) { run->message_faults = false; });
    DropEvents();
    FewerOperations();
    ShorterFaults();
    DropEvents();
    return Minimised{.scenario = best_, .result = result_, .events_before = before, .runs = runs_};
  }

 private:
  bool out_of_time() const { return std::chrono::steady_clock::now() >= end_; }

  // Keeps a change with which the same invariant fails.
  bool Try(const std::function<void(RunOptions*)>& change) {
    if (out_of_time()) return false;
    RunOptions run = best_.run;
    change(&run);
    RunResult result = RunSeedIsolated(best_.profile, best_.seed, run);
    ++runs_;
    if (result.ok() || result.violation->invariant != invariant_) return false;
    best_.run = std::move(run);
    result_ = std::move(result);
    return true;
  }

  // Delta debugging: without each chunk, in ever smaller chunks.
  void DropEvents() {
    for (size_t chunk = std::max<size_t>(best_.run.schedule->size() / 2, 1);; chunk /= 2) {
      bool dropped = true;
      while (dropped && !out_of_time()) {
        dropped = false;
        for (size_t i = 0; i < best_.run.schedule->size();) {
          const bool ok = Try([&](RunOptions* run) {
            const auto begin = run->schedule->begin() + static_cast<std::ptrdiff_t>(i);
            const size_t n = std::min(chunk, run->schedule->size() - i);
            run->schedule->erase(begin, begin + static_cast<std::ptrdiff_t>(n));
          });
          dropped |= ok;
          if (!ok) i += chunk;
        }
      }
      if (chunk <= 1) return;
    }
  }

  void FewerOperations() {
    uint64_t enough = result_.client_operations;
    uint64_t too_few = 0;
    if (Try([](RunOptions* run) { run->client_operations_max = 0; })) return;
    while (enough > too_few + 1 && !out_of_time()) {
      const uint64_t middle = too_few + (enough - too_few) / 2;
      (Try([&](RunOptions* run) { run->client_operations_max = middle; }) ? enough : too_few) = middle;
    }
  }

  void ShorterFaults() {
    for (size_t i = 0; i < best_.run.schedule->size(); ++i) {
      while (best_.run.schedule->at(i).duration > 10 * kMillisecond &&
             Try([&](RunOptions* run) { run->schedule->at(i).duration /= 4; })) {
      }
    }
  }

  Scenario best_;
  const std::chrono::steady_clock::time_point end_;
  std::string invariant_;
  RunResult result_;
  uint64_t runs_ = 0;
};

}  // namespace

std::optional<Minimised> Minimise(const Scenario& scenario, double seconds_max) {
  return Minimiser(scenario, seconds_max).Run();
}

}  // namespace keel::sim
