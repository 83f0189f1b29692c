#include "tests/differential/campaign.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "tests/differential/generator.h"
#include "tests/differential/known_differences.h"
#include "tests/differential/shrinker.h"

namespace keel::differential {
namespace {

// Hundreds of candidates show the difference again while it is made smaller.
constexpr absl::Duration kHastyPatience = absl::Seconds(1);

// A sequence takes a fraction of a second. One that took longer met a machine that stood still, and its time limits
// mean nothing.
constexpr absl::Duration kStoodStill = absl::Seconds(15);

void Print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

}  // namespace

bool Campaign::StartServers() {
  pair_.reset();
  auto pair = Pair::Start(options_.servers);
  if (!pair.ok()) {
    Print(absl::StrCat("keel-differential: ", pair.status().message(), "\n"));
    return false;
  }
  pair_ = *std::move(pair);
  return true;
}

std::pair<Sequence, Finding> Campaign::ShrinkFinding(const Sequence& sequence, const Finding& finding) {
  Finding last = finding;
  const auto shows = [&](const Sequence& candidate) {
    if (pair_ == nullptr) return false;
    Played played = Runner(pair_.get(), kHastyPatience).Play(candidate);
    if (!played.status.ok()) {
      // A smaller request may be one that ends a server: that is another matter.
      StartServers();
      return false;
    }
    if (!played.finding.has_value()) return false;
    last = *std::move(played.finding);
    return true;
  };
  Sequence small = sequence;
  small.steps.resize(finding.step + 1);
  if (!shows(small)) return {sequence, finding};
  small = Shrink(std::move(small), shows, options_.shrink_tries_max);
  // The finding belongs to the last candidate that showed one, which is the one kept.
  return {std::move(small), std::move(last)};
}

void Campaign::Report(const Sequence& sequence, const Finding& finding, absl::Duration took) {
  ++findings_;
  Print(absl::StrCat("\nDIFFERENCE in sequence ", sequence.name, " of ", sequence.steps.size(),
                     " requests; making it smaller\n"));
  // Does it show again? What does not is reported all the same.
  Played again = Runner(pair_.get()).Play(sequence);
  std::pair<Sequence, Finding> smallest = {sequence, finding};
  if (again.finding.has_value()) {
    smallest = ShrinkFinding(sequence, *again.finding);
  } else {
    if (took > kStoodStill) {
      --findings_;
      Print("It took " + absl::FormatDuration(took) + " and did not show a second time: not counted\n");
      return;
    }
    Print("It did not show a second time: it depends on time. What it looked like:\n");
  }
  const auto& [small, shown] = smallest;
  std::string text;
  for (size_t i = 0; i < small.steps.size(); ++i) {
    absl::StrAppend(&text, i == shown.step ? "  > " : "    ", PrintStep(small.steps[i]), "\n");
  }
  if (!shown.etcd.messages.empty() || !shown.keel.messages.empty() || !shown.etcd.status.ok() ||
      !shown.keel.status.ok()) {
    absl::StrAppend(&text, "  etcd answers  ", PrintAnswer(shown.etcd), "\n  keeld answers ", PrintAnswer(shown.keel),
                    "\n");
  }
  for (const FieldDifference& difference : shown.differences) {
    absl::StrAppend(&text, "  differs: ", difference.path, "\n      etcd  ", difference.etcd, "\n      keeld ",
                    difference.keel, "\n");
  }
  const std::string dir =
      options_.keep_dir.empty() ? std::filesystem::temp_directory_path().string() : options_.keep_dir;
  const std::string path = absl::StrCat(dir, "/difference-", small.name, ".txt");
  std::ofstream(path) << PrintSequence(small);
  absl::StrAppend(&text, "  again: ", options_.program, " --replay ", path, "\n  whole: ", options_.program, " --seed ",
                  options_.seed, "  (sequence ", sequence.name, ")\n\n");
  Print(text);
}

bool Campaign::PlayOne(const Sequence& sequence) {
  Played played = Runner(pair_.get()).Play(sequence);
  if (!played.status.ok()) {
    ++findings_;
    Print(absl::StrCat("\nAfter sequence ", sequence.name, ": ", played.status.message(), "\n", PrintSequence(sequence),
                       "\n"));
    return StartServers();
  }
  counts_.Add(played.counts);
  if (played.finding.has_value()) Report(sequence, *played.finding, played.took);
  return pair_ != nullptr;
}

bool Campaign::DirectedMeetAll() const {
  bool all = true;
  for (const KnownDifference& known : KnownDifferences()) {
    if (!known.not_shown.empty() || counts_.known.count(known.name) != 0) continue;
    Print(absl::StrCat("The known difference \"", known.name, "\" did not show in sequence \"", known.shown_by,
                       "\": take it off the list, or mend the sequence\n"));
    all = false;
  }
  return all;
}

void Campaign::PrintSummary(absl::Duration took) const {
  std::string text = absl::StrFormat(
      "seed %d: %d sequences, %d requests, %d fields and %d watch events compared in %.0f s; %d differences",
      options_.seed, counts_.sequences, counts_.requests, counts_.fields, counts_.events, absl::ToDoubleSeconds(took),
      findings_);
  absl::StrAppend(&text, "\nrequests:");
  for (const auto& [method, n] : counts_.by_method) absl::StrAppend(&text, " ", method, " ", n);
  absl::StrAppend(&text, "\nerrors that both gave alike:\n");
  for (const auto& [error, n] : counts_.errors) absl::StrAppend(&text, absl::StrFormat("  %6d  %s\n", n, error));
  absl::StrAppend(&text, "known differences met:\n");
  for (const auto& [name, n] : counts_.known) absl::StrAppend(&text, absl::StrFormat("  %6d  %s\n", n, name));
  Print(text);
}

int Campaign::Run() {
  const absl::Time start = absl::Now();
  Print(absl::StrCat("keel-differential: seed ", options_.seed, "\n"));
  if (!StartServers()) return 1;
  bool going = true;
  for (const std::string& path : options_.directed) {
    auto sequence = ReadSequence(path);
    if (!sequence.ok()) {
      Print(absl::StrCat("keel-differential: ", sequence.status().message(), "\n"));
      return 2;
    }
    going = going && PlayOne(*sequence);
  }
  const bool all_met = options_.only_directed || DirectedMeetAll();
  const absl::Time deadline = start + options_.duration;
  for (uint64_t i = 0; going && !options_.only_directed && absl::Now() < deadline; ++i) {
    if (options_.sequences.has_value() && i >= *options_.sequences) break;
    if (findings_ >= options_.findings_max) break;
    going = PlayOne(Generate(options_.seed, options_.first + i));
  }
  PrintSummary(absl::Now() - start);
  if (counts_.requests == 0 || counts_.fields == 0) {
    Print("keel-differential: nothing was compared\n");
    return 1;
  }
  return going && findings_ == 0 && all_met ? 0 : 1;
}

}  // namespace keel::differential
