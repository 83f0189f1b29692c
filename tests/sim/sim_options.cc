#include "tests/sim/sim_options.h"

#include "absl/strings/str_cat.h"
#include "base/random.h"

namespace keel::raft::sim {
namespace {

template <typename T, size_t N>
T Pick(Random& random, const T (&choices)[N]) {
  return choices[random.Below(N)];
}

}  // namespace

SimOptions SimOptions::Draw(uint64_t seed) {
  Random random(seed * 2 + 1);
  SimOptions o;
  o.seed = seed;
  o.members = Pick(random, {1, 3, 3, 3, 3, 3, 5, 5});
  o.core.election_ticks = Pick(random, {4, 8, 10});
  o.core.heartbeat_ticks = Pick(random, {1, 1, 2});
  o.core.append_bytes_max = Pick<size_t>(random, {1, 150, 1 << 20});
  o.core.inflight_messages_max = Pick<size_t>(random, {1, 2, 8, 512});
  o.core.inflight_bytes_max = Pick<size_t>(random, {1, 500, 16 << 20});
  o.core.uncommitted_bytes_max = Pick<size_t>(random, {500, 64 << 20});
  o.core.cached_log_bytes_max = Pick<size_t>(random, {0, 300, 1 << 20});
  o.ticks = static_cast<int>(random.Between(150, 400));
  o.delay_max = Pick(random, {1, 5, 20, 80});
  o.sync_max = Pick(random, {0, 3, 10, 60});
  o.apply_max = Pick(random, {0, 5, 100});
  o.report_lost = Pick(random, {0.0, 0.5, 1.0});
  if (random.Chance(0.6)) o.drop = Pick(random, {0.01, 0.05, 0.2, 0.3});
  if (random.Chance(0.4)) o.duplicate = Pick(random, {0.02, 0.2});
  if (random.Chance(0.6)) o.crash = Pick(random, {0.005, 0.02, 0.06});
  if (random.Chance(0.3)) o.power_cut = Pick(random, {0.005, 0.02});
  if (random.Chance(0.6)) o.partition = Pick(random, {0.01, 0.04, 0.1});
  o.heal = Pick(random, {0.02, 0.05, 0.2});
  if (random.Chance(0.3)) o.disk_stall = Pick(random, {0.005, 0.02});
  if (random.Chance(0.3)) o.pause = Pick(random, {0.005, 0.02});
  if (random.Chance(0.4)) o.clock_skew = Pick(random, {0.2, 0.6});
  if (random.Chance(0.6)) o.truncate = Pick(random, {0.02, 0.2});
  o.flush = Pick(random, {0.02, 0.3, 1.0});
  o.log_kept = Pick<uint64_t>(random, {0, 3, 20});
  o.client = Pick(random, {0.1, 0.5, 1.0});
  o.payload_max = Pick(random, {0, 20, 200});
  return o;
}

std::string SimOptions::ToString() const {
  return absl::StrCat(
      "seed=", seed, " members=", members, " ticks=", ticks, " election=", core.election_ticks,
      " append_bytes=", core.append_bytes_max, " inflight=", core.inflight_messages_max, "/", core.inflight_bytes_max,
      " cached=", core.cached_log_bytes_max, " uncommitted=", core.uncommitted_bytes_max, " drop=", drop,
      " duplicate=", duplicate, " delay=", delay_max, " sync=", sync_max, " apply=", apply_max, " crash=", crash,
      " power_cut=", power_cut, " partition=", partition, " heal=", heal, " disk_stall=", disk_stall, " pause=", pause,
      " clock_skew=", clock_skew, " truncate=", truncate, " flush=", flush, " client=", client);
}

}  // namespace keel::raft::sim
