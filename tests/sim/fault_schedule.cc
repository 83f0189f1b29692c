#include "tests/sim/fault_schedule.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/string_view.h"

namespace keel::sim {
namespace {

constexpr const char* kNames[] = {"kill",      "power-cut", "power-cut-all", "pause",     "disk-stall", "disk-error",
                                  "disk-full", "bit-rot",   "rollback",      "wipe",      "isolate",    "halves",
                                  "bridge",    "ring",      "one-way",       "muted",     "deafened",   "swizzle",
                                  "flap",      "clog",      "campaign",      "peer-died", "transfer",   "add-learner",
                                  "promote",   "add-voter", "remove",        "replace",   "truncate",   "tail-rot"};
static_assert(std::size(kNames) == kFaultKinds);

// A member that leads is where most faults matter.
constexpr double kAimAtLeader = 0.35;

std::optional<FaultKind> KindOf(absl::string_view name) {
  for (size_t i = 0; i < kFaultKinds; ++i) {
    if (name == kNames[i]) return static_cast<FaultKind>(i);
  }
  return std::nullopt;
}

bool ParseTime(absl::string_view text, SimTime* out) {
  double seconds = 0;
  if (!absl::SimpleAtod(text, &seconds) || !(seconds >= 0) || seconds > 1e9) return false;
  *out = static_cast<SimTime>(std::llround(seconds * kSecond));
  return true;
}

}  // namespace

const char* FaultName(FaultKind kind) { return kNames[static_cast<size_t>(kind)]; }

std::string FaultEvent::ToString() const {
  return absl::StrCat(FormatTime(at), " ", FaultName(kind),
                      " target=", target == kLeader ? std::string("leader") : absl::StrCat(target), " other=", other,
                      " for=", FormatTime(duration), " param=", param);
}

absl::StatusOr<FaultEvent> FaultEvent::Parse(std::string_view line) {
  const auto bad = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("fault event \"", ToAbsl(line), "\": ", why));
  };
  const std::vector<absl::string_view> words = absl::StrSplit(ToAbsl(line), ' ', absl::SkipEmpty());
  if (words.size() < 2) return bad("wants a time and a kind");
  FaultEvent event;
  if (!ParseTime(words[0], &event.at)) return bad("the time is not a number of seconds");
  const std::optional<FaultKind> kind = KindOf(words[1]);
  if (!kind) return bad("no such kind");
  event.kind = *kind;
  for (size_t i = 2; i < words.size(); ++i) {
    const std::vector<absl::string_view> pair = absl::StrSplit(words[i], absl::MaxSplits('=', 1));
    if (pair.size() != 2) return bad("wants name=value");
    bool ok = false;
    if (pair[0] == "target") {
      event.target = kLeader;
      ok = pair[1] == "leader" || absl::SimpleAtoi(pair[1], &event.target);
    } else if (pair[0] == "other") {
      ok = absl::SimpleAtoi(pair[1], &event.other);
    } else if (pair[0] == "for") {
      ok = ParseTime(pair[1], &event.duration);
    } else if (pair[0] == "param") {
      ok = absl::SimpleAtoi(pair[1], &event.param);
    }
    if (!ok) return bad(absl::StrCat("cannot read ", words[i]));
  }
  return event;
}

std::string FaultRates::ToString() const {
  std::string out;
  for (size_t i = 0; i < kFaultKinds; ++i) {
    if (per_second[i] > 0) absl::StrAppend(&out, " ", kNames[i], "=", absl::StrFormat("%.3g", per_second[i]));
  }
  return out;
}

FaultSchedule DrawSchedule(const FaultRates& rates, int nodes, SimTime length, Random random) {
  FaultSchedule schedule;
  for (size_t i = 0; i < kFaultKinds; ++i) {
    const double rate = rates.per_second[i];
    if (rate <= 0) continue;
    double at = 0;
    while (true) {
      // The time to the next one is exponential.
      const double unit = static_cast<double>(1 + random.Below(1u << 20)) / (1u << 20);
      at -= std::log(unit) / rate * static_cast<double>(kSecond);
      if (at >= static_cast<double>(length)) break;
      FaultEvent event{.at = static_cast<SimTime>(at), .kind = static_cast<FaultKind>(i)};
      event.target = random.Chance(kAimAtLeader) ? kLeader : static_cast<int>(random.Between(1, nodes));
      event.other = static_cast<int>(random.Between(1, nodes));
      event.duration = static_cast<SimTime>(
          LogUniform(random, static_cast<double>(kMillisecond), static_cast<double>(rates.duration_max)));
      event.param = random.Next() >> 32;
      schedule.push_back(event);
    }
  }
  std::stable_sort(schedule.begin(), schedule.end(),
                   [](const FaultEvent& a, const FaultEvent& b) { return a.at < b.at; });
  return schedule;
}

}  // namespace keel::sim
