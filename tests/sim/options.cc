#include "tests/sim/options.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/random.h"
#include "tests/sim/ledger.h"

namespace keel::sim {
namespace {

constexpr const char* kBrokenRuleNames[] = {"none",         "ack-before-sync",     "sync-does-nothing",
                                            "forget-vote",  "read-without-quorum", "apply-twice",
                                            "drop-applied", "lose-watch-event",    "hurry-leases"};
static_assert(std::size(kBrokenRuleNames) == kBrokenRules);

template <typename T, size_t N>
T Pick(Random& random, const T (&choices)[N]) {
  return choices[random.Below(N)];
}

// A class of faults exists in this world with chance `exists`; then it comes at a rate from [low, high].
double Rate(Random& random, double exists, double low, double high) {
  const double rate = LogUniform(random, low, high);
  return random.Chance(exists) ? rate : 0;
}

SimTime Duration(Random& random, SimTime low, SimTime high) {
  return static_cast<SimTime>(LogUniform(random, static_cast<double>(low), static_cast<double>(high)));
}

void DrawMember(Random& random, SimOptions* o) {
  o->core.election_ticks = Pick(random, {4, 8, 10});
  o->core.heartbeat_ticks = Pick(random, {1, 1, 2});
  // Each limit is tiny in a quarter of the worlds.
  const auto tiny = [&] { return random.Chance(0.25); };
  o->core.append_bytes_max = tiny() ? Pick<size_t>(random, {1, 150}) : 1 << 20;
  o->core.inflight_messages_max = tiny() ? Pick<size_t>(random, {1, 2, 8}) : 512;
  o->core.inflight_bytes_max = tiny() ? Pick<size_t>(random, {1, 500}) : 16 << 20;
  o->core.uncommitted_bytes_max = tiny() ? 500 : 64 << 20;
  o->core.cached_log_bytes_max = tiny() ? Pick<size_t>(random, {0, 300}) : 1 << 20;
  o->log_entries_kept = Pick<uint64_t>(random, {2, 5, 20, 100, 1000});
  o->log_bytes_kept_max = tiny() ? Pick<uint64_t>(random, {1000, 5000}) : 1 << 30;
  o->segment_bytes = Pick<size_t>(random, {700, 2 << 10, 8 << 10, 32 << 10});
  o->spare_segments = Pick(random, {0, 1, 2});
  o->sync_max = Duration(random, kMillisecond / 4, 200 * kMillisecond);
  o->apply_max = tiny() ? 2 * kSecond : Duration(random, kMillisecond / 4, 100 * kMillisecond);
  o->apply_group_max = tiny() ? 1 : 64;
  o->flush = Pick(random, {0.02, 0.3, 1.0});
  o->report_lost = Pick(random, {0.0, 0.5, 1.0});
  o->report_died = Pick(random, {0.0, 0.5, 1.0});
  if (random.Chance(0.3)) o->clock_skew = LogUniform(random, 0.05, 0.6);
}

void DrawNetwork(Random& random, SimOptions* o) {
  NetworkOptions& n = o->network;
  n.delay_mean = Duration(random, kMillisecond / 4, 200 * kMillisecond);
  n.drop = Rate(random, 0.5, 0.003, 0.3);
  n.duplicate = Rate(random, 0.4, 0.01, 0.3);
  n.replay = Rate(random, 0.25, 0.001, 0.05);
  n.straggler = Rate(random, 0.3, 0.005, 0.1);
  FaultRates& f = o->faults;
  const bool partitions = random.Chance(0.6);
  for (const FaultKind kind :
       {FaultKind::kIsolate, FaultKind::kHalves, FaultKind::kBridge, FaultKind::kRing, FaultKind::kOneWay,
        FaultKind::kMuted, FaultKind::kDeafened, FaultKind::kSwizzle, FaultKind::kFlap, FaultKind::kClog}) {
    f[kind] = Rate(random, partitions ? 0.35 : 0, 0.02, 0.4);
  }
}

void DrawFaults(Random& random, SimOptions* o) {
  FaultRates& f = o->faults;
  f.duration_max = Duration(random, kSecond, 20 * kSecond);
  f[FaultKind::kKill] = Rate(random, 0.4, 0.01, 0.5);
  f[FaultKind::kPowerCut] = Rate(random, 0.4, 0.01, 0.5);
  f[FaultKind::kPowerCutAll] = Rate(random, 0.25, 0.01, 0.1);
  f[FaultKind::kPause] = Rate(random, 0.3, 0.02, 0.3);
  f[FaultKind::kDiskStall] = Rate(random, 0.3, 0.02, 0.3);
  f[FaultKind::kDiskError] = Rate(random, 0.15, 0.01, 0.1);
  f[FaultKind::kDiskFull] = Rate(random, 0.1, 0.01, 0.05);
  f[FaultKind::kCampaign] = Rate(random, 0.3, 0.02, 0.5);
  f[FaultKind::kPeerDied] = Rate(random, 0.2, 0.02, 0.5);
  f[FaultKind::kTransfer] = Rate(random, 0.3, 0.02, 0.3);
  f[FaultKind::kTruncate] = Rate(random, 0.3, 0.02, 1);
  o->down_max = Duration(random, 100 * kMillisecond, 20 * kSecond);
}

void DrawClients(Random& random, SimOptions* o) {
  o->clients = static_cast<int>(random.Between(1, 8));
  o->think = Duration(random, 30 * kMillisecond, 3 * kSecond);
  o->patience = Duration(random, 200 * kMillisecond, 10 * kSecond);
  o->keys = Pick(random, {1, 2, 5});
  o->reads = Pick(random, {0.2, 0.5, 0.8});
  o->payload_max = Pick(random, {0, 20, 200});
}

}  // namespace

const char* BrokenRuleName(BrokenRule rule) { return kBrokenRuleNames[static_cast<size_t>(rule)]; }

std::optional<BrokenRule> BrokenRuleNamed(std::string_view name) {
  for (size_t i = 0; i < kBrokenRules; ++i) {
    if (name == kBrokenRuleNames[i]) return static_cast<BrokenRule>(i);
  }
  return std::nullopt;
}

SimOptions DrawOptions(std::string_view profile, uint64_t seed) {
  Random random(Mix(HashOf(profile), seed));
  SimOptions o;
  o.seed = seed;
  o.members = Pick(random, {1, 2, 3, 3, 3, 3, 3, 3, 4, 5, 5, 5, 7});
  o.safety = Duration(random, 8 * kSecond, 45 * kSecond);
  DrawMember(random, &o);
  DrawNetwork(random, &o);
  DrawFaults(random, &o);
  DrawClients(random, &o);
  o.majority_core = random.Chance(0.4);
  FaultRates& f = o.faults;
  if (profile == "member") {
    o.members = Pick(random, {1, 2, 3, 3, 3, 4, 5});
    o.spares = static_cast<int>(random.Between(1, 6));
    f[FaultKind::kAddLearner] = Rate(random, 0.7, 0.03, 0.5);
    f[FaultKind::kPromote] = Rate(random, 0.8, 0.1, 1);
    f[FaultKind::kAddVoter] = Rate(random, 0.6, 0.03, 0.5);
    f[FaultKind::kRemove] = Rate(random, 0.7, 0.03, 0.5);
    f[FaultKind::kReplace] = Rate(random, 0.6, 0.03, 0.5);
    f[FaultKind::kTransfer] = Rate(random, 0.6, 0.05, 1);
  }
  if (profile == "disk") {
    f[FaultKind::kRollback] = Rate(random, 0.3, 0.02, 0.2);
    f[FaultKind::kWipe] = Rate(random, 0.2, 0.02, 0.1);
    f[FaultKind::kKill] = Rate(random, 0.7, 0.05, 0.5);
    f[FaultKind::kPowerCut] = Rate(random, 0.7, 0.05, 1);
    f[FaultKind::kPowerCutAll] = Rate(random, 0.4, 0.02, 0.2);
    f[FaultKind::kDiskStall] = Rate(random, 0.5, 0.05, 0.5);
    f[FaultKind::kDiskError] = Rate(random, 0.7, 0.05, 0.7);
    f[FaultKind::kDiskFull] = Rate(random, 0.4, 0.02, 0.2);
    f[FaultKind::kBitRot] = Rate(random, 0.3, 0.02, 0.2);
    f[FaultKind::kTruncate] = Rate(random, 0.6, 0.1, 2);
    o.segment_bytes = Pick<size_t>(random, {700, 700, 2 << 10, 4 << 10});
    o.flush = Pick(random, {0.02, 0.3, 1.0});
    f[FaultKind::kTailRot] = Rate(random, 0.2, 0.02, 0.2);
  }
  return o;
}

std::string SimOptions::ToString() const {
  const auto ms = [](SimTime t) { return absl::StrFormat("%.3gms", static_cast<double>(t) / kMillisecond); };
  const auto rate = [](double r) { return absl::StrFormat("%.3g", r); };
  return absl::StrCat(
      "seed=", seed, " members=", members, " spares=", spares, " clients=", clients, " safety=", FormatTime(safety),
      " election=", core.election_ticks, " heartbeat=", core.heartbeat_ticks, " append_bytes=", core.append_bytes_max,
      " inflight=", core.inflight_messages_max, "/", core.inflight_bytes_max, " cached=", core.cached_log_bytes_max,
      " uncommitted=", core.uncommitted_bytes_max, " kept=", log_entries_kept, "/", log_bytes_kept_max,
      " segment=", segment_bytes, " spare_segments=", spare_segments, " sync=", ms(sync_max), " apply=", ms(apply_max),
      "/", apply_group_max, " flush=", rate(flush), " skew=", rate(clock_skew), " delay=", ms(network.delay_mean),
      " drop=", rate(network.drop), " duplicate=", rate(network.duplicate), " replay=", rate(network.replay),
      " straggler=", rate(network.straggler), " down=", ms(down_max), " think=", ms(think), " patience=", ms(patience),
      " keys=", keys, " reads=", rate(reads), " payload=", payload_max, " majority_core=", majority_core,
      " faults:", faults.ToString());
}

}  // namespace keel::sim
