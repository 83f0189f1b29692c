#pragma once

// What one seed's world of whole members is like, beyond what all worlds have in common.

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "server/lease/lease_keeper.h"
#include "server/watch/watch_hub.h"
#include "tests/sim/options.h"

namespace keel::sim {

struct FullOptions {
  SimOptions sim;
  server::WatchHub::Options hub;
  server::LeaseKeeper::Options leases;
  uint64_t log_bytes_kept_max = uint64_t{1} << 30;
  size_t value_cache_bytes = 1 << 20;
  int64_t compact_step = 100;       // Records looked at in one step of physical compaction.
  SimTime poll_max = kMillisecond;  // How late background parts look at their work.
  int watches = 2;                  // Per client.
  double equivalence = 0.02;        // Chance per second and member of a check of restart or snapshot.
  absl::Duration request_timeout = absl::Seconds(3);

  double max_clock_rate() const { return 1 + sim.clock_skew; }
  std::string ToString() const;
};

FullOptions DrawFullOptions(uint64_t seed);

}  // namespace keel::sim
