#include "tests/sim/runner.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "tests/sim/isolation.h"

namespace keel::sim {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kSecondsPerSeed = 120;
constexpr uint64_t kSeedsPerReport = 16;

double SecondsSince(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

// Runs it, twice now and then.
RunResult RunOne(const RunnerOptions& options, uint64_t seed, Ledger* ledger) {
  const RunOptions run{.broken_rule = options.broken_rule};
  RunResult result = RunSeed(options.profile, seed, run);
  ledger->Add(result.ledger);
  if (!result.ok() || options.repeat_every == 0 || seed % options.repeat_every != 0) return result;
  const RunResult again = RunSeed(options.profile, seed, run);
  ++ledger->checks["a-seed-repeats-itself"];
  if (again.digest != result.digest || again.events != result.events || again.ok() != result.ok()) {
    result.violation = Violation{"a-seed-repeats-itself",
                                 absl::StrCat("two runs differ: ", result.events, " and ", again.events, " events")};
  }
  return result;
}

// One process that works through its share of the seeds.
class Worker {
 public:
  Worker(const RunnerOptions& options, uint64_t first, uint64_t step, SteadyClock::time_point start)
      : options_(options), next_(first), step_(step), start_(start) {
    Restart();
  }

  int pipe() const { return child_->pipe(); }
  bool is_done() const { return done_; }
  uint64_t seeds() const { return seeds_; }
  const Ledger& ledger() const { return ledger_; }

  // Something can be read. Returns the failure it tells of.
  std::optional<Failure> Read() {
    std::optional<Failure> failure;
    const bool open = child_->ReadLines(/*wait=*/false, [&](const std::string& line) { OnLine(line, &failure); });
    if (open || failure) return failure;
    done_ = true;
    if (const std::optional<Violation> died = child_->Wait()) failure = Failure{current_, 0, *died};
    return failure;
  }

 private:
  void Restart() {
    child_.emplace(Child::Start([this](const auto& say) {
      Ledger ledger;
      uint64_t unreported = 0;
      const auto report = [&] {
        say(absl::StrCat("ledger ", unreported, " ", absl::StrReplaceAll(ledger.ToString(), {{"\n", ";"}})));
        ledger = Ledger();
        unreported = 0;
      };
      const uint64_t end = options_.first_seed + options_.seeds;
      for (uint64_t seed = next_; seed < end; seed += step_) {
        if (options_.seconds > 0 && SecondsSince(start_) >= options_.seconds) break;
        say(absl::StrCat("seed ", seed));
        LimitProcessorTime(kSecondsPerSeed);
        const RunResult result = RunOne(options_, seed, &ledger);
        ++unreported;
        if (!result.ok()) {
          report();
          say(absl::StrCat("fail ", seed, " ", result.events, " ", result.violation->invariant, " ",
                           absl::StrReplaceAll(result.violation->detail, {{"\n", " "}})));
          break;
        }
        if (unreported >= kSeedsPerReport) report();
      }
      report();
    }));
  }

  void OnLine(const std::string& line, std::optional<Failure>* failure) {
    const std::vector<std::string> words = absl::StrSplit(line, absl::MaxSplits(' ', 4));
    const auto number = [&](size_t i) { return std::strtoull(words.at(i).c_str(), nullptr, 10); };
    if (words[0] == "seed") {
      current_ = number(1);
    } else if (words[0] == "ledger") {
      seeds_ += number(1);
      const std::string rest = line.substr(words[0].size() + words[1].size() + 2);
      KEEL_CHECK(ledger_.Parse(absl::StrReplaceAll(rest, {{";", "\n"}})));
    } else if (words[0] == "fail") {
      *failure = Failure{number(1), number(2), {words.at(3), words.size() > 4 ? words[4] : ""}};
    }
  }

  const RunnerOptions& options_;
  const uint64_t next_;
  const uint64_t step_;
  const SteadyClock::time_point start_;
  std::optional<Child> child_;
  uint64_t current_ = 0;
  uint64_t seeds_ = 0;
  Ledger ledger_;
  bool done_ = false;
};

void PrintCounts(const char* title, const Counts& counts, std::string* out) {
  if (counts.empty()) return;
  absl::StrAppend(out, title, "\n");
  size_t column = 0;
  for (const auto& [name, count] : counts) {
    absl::StrAppendFormat(out, "  %-36s %12d%s", name, count, ++column % 2 == 0 ? "\n" : "");
  }
  if (column % 2 != 0) absl::StrAppend(out, "\n");
}

uint64_t Sum(const Counts& counts) {
  uint64_t sum = 0;
  for (const auto& [name, count] : counts) sum += count;
  return sum;
}

}  // namespace

Summary RunSeeds(const RunnerOptions& options) {
  const auto start = SteadyClock::now();
  Summary summary;
  std::vector<std::unique_ptr<Worker>> workers;
  const uint64_t jobs = static_cast<uint64_t>(std::max(options.jobs, 1));
  for (uint64_t i = 0; i < jobs; ++i) {
    workers.push_back(std::make_unique<Worker>(options, options.first_seed + i, jobs, start));
  }
  while (!summary.failure) {
    std::vector<pollfd> pipes;
    std::vector<Worker*> open;
    for (const auto& worker : workers) {
      if (worker->is_done()) continue;
      pipes.push_back({.fd = worker->pipe(), .events = POLLIN, .revents = 0});
      open.push_back(worker.get());
    }
    if (open.empty()) break;
    if (poll(pipes.data(), pipes.size(), -1) < 0) continue;
    for (size_t i = 0; i < open.size(); ++i) {
      if (pipes[i].revents == 0) continue;
      if (const auto failure = open[i]->Read(); failure && !summary.failure) summary.failure = failure;
    }
  }
  for (const auto& worker : workers) {
    summary.seeds += worker->seeds();
    summary.ledger.Add(worker->ledger());
  }
  summary.seconds = SecondsSince(start);
  return summary;
}

std::string FailureLine(const std::string& profile, const Failure& failure, BrokenRule broken_rule) {
  const std::string broken =
      broken_rule == BrokenRule::kNone ? "" : absl::StrCat(" --break ", BrokenRuleName(broken_rule));
  return absl::StrCat("FAIL profile=", profile, " seed=", failure.seed, " event=", failure.event,
                      " invariant=", failure.violation.invariant, " (", failure.violation.detail, ") replay: keel-sim ",
                      profile, " --seed ", failure.seed, broken, " --trace");
}

std::string Report(const std::string& profile, const Summary& summary) {
  const Ledger& ledger = summary.ledger;
  const auto events = ledger.totals.find("events");
  std::string out = absl::StrFormat(
      "profile %s: %d seeds in %.1f s, %.0f seeds per minute; %d events, %d faults injected, %d comparisons made\n",
      profile, summary.seeds, summary.seconds, summary.seeds_per_minute(),
      events == ledger.totals.end() ? 0 : events->second, Sum(ledger.faults), Sum(ledger.checks));
  PrintCounts("done", ledger.totals, &out);
  PrintCounts("faults injected", ledger.faults, &out);
  PrintCounts("comparisons made", ledger.checks, &out);
  PrintCounts("reached", ledger.marks, &out);
  return out;
}

std::vector<std::string> Untouched(const std::string& profile, const Summary& summary) {
  const std::vector<std::string>& idle = FindProfile(profile)->idle;
  std::vector<std::string> names;
  for (const Counts* counts : {&summary.ledger.checks, &summary.ledger.marks}) {
    for (const auto& [name, count] : *counts) {
      if (count == 0 && std::find(idle.begin(), idle.end(), name) == idle.end()) names.push_back(name);
    }
  }
  return names;
}

}  // namespace keel::sim
