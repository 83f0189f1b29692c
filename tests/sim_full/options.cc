#include "tests/sim_full/options.h"

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "tests/sim/ledger.h"

namespace keel::sim {

FullOptions DrawFullOptions(uint64_t seed) {
  FullOptions o;
  o.sim = DrawOptions("full", seed);
  SimOptions& s = o.sim;
  Random random(Mix(HashOf("whole members"), seed));
  static constexpr int kMembers[] = {1, 2, 3, 3, 3, 3, 3, 3, 3, 5};
  s.members = kMembers[random.Below(std::size(kMembers))];
  s.clients = static_cast<int>(random.Between(2, 8));
  s.safety = random.Between(8, 30) * kSecond;
  s.think = static_cast<SimTime>(LogUniform(random, 10 * kMillisecond, 500 * kMillisecond));
  s.patience = random.Between(500, 5000) * kMillisecond;
  s.segment_bytes = size_t{8} << 10;
  s.log_entries_kept = random.Chance(0.5) ? random.Below(20) + 2 : 1000;
  s.apply_max = random.Chance(0.2) ? kSecond : random.Between(1, 30) * kMillisecond;
  if (s.core.append_bytes_max < 100) s.core.append_bytes_max = 2000;
  // Damage of disks, and changes of membership, are the business of other profiles.
  for (const FaultKind kind : {FaultKind::kDiskError, FaultKind::kDiskFull, FaultKind::kBitRot, FaultKind::kRollback,
                               FaultKind::kWipe, FaultKind::kCampaign, FaultKind::kAddLearner, FaultKind::kPromote,
                               FaultKind::kAddVoter, FaultKind::kRemove, FaultKind::kReplace}) {
    s.faults[kind] = 0;
  }
  const auto tiny = [&] { return random.Chance(0.3); };
  if (tiny()) o.hub.ring_bytes_max = random.Chance(0.5) ? 1 : 500;
  if (tiny()) o.hub.stream_buffer_bytes_max = random.Chance(0.5) ? 1 : 1000;
  if (tiny()) o.hub.fragment_bytes = 64;
  o.hub.progress_interval = random.Chance(0.5) ? absl::Milliseconds(700) : absl::Seconds(10);
  o.leases.check_interval = absl::Milliseconds(random.Between(20, 500));
  o.leases.checkpoint_interval = random.Chance(0.5) ? absl::Seconds(1) : absl::Minutes(5);
  if (tiny()) o.leases.expiries_per_entry_max = 1;
  if (tiny()) o.value_cache_bytes = 0;
  if (tiny()) o.compact_step = 1;
  if (tiny()) o.log_bytes_kept_max = 4000;
  // Followers that were away for a moment only then need a snapshot. From a source of its own: old seeds stay what they
  // were.
  Random later(Mix(HashOf("short logs"), seed));
  if (later.Chance(0.25)) {
    s.log_entries_kept = 1;
    s.flush = 0.3;
    o.log_bytes_kept_max = 500;
  }
  if (later.Chance(0.5)) o.hub.stream_backlog_bytes = later.Below(300);
  o.poll_max = tiny() ? 200 * kMillisecond : kMillisecond;
  return o;
}

std::string FullOptions::ToString() const {
  return absl::StrCat(sim.ToString(), " ring=", hub.ring_bytes_max, " stream=", hub.stream_buffer_bytes_max,
                      " backlog=", hub.stream_backlog_bytes, " fragment=", hub.fragment_bytes,
                      " progress=", absl::FormatDuration(hub.progress_interval),
                      " lease_check=", absl::FormatDuration(leases.check_interval),
                      " lease_checkpoint=", absl::FormatDuration(leases.checkpoint_interval),
                      " expiries=", leases.expiries_per_entry_max, " cache=", value_cache_bytes,
                      " compact_step=", compact_step, " log_kept_max=", log_bytes_kept_max, " poll=", poll_max);
}

}  // namespace keel::sim
