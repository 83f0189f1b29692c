#pragma once

// What one seed's world is like. Each seed first draws which faults exist at all, then how bad they are: worlds with
// one kind of fault go deep where a mix of everything would drown it.

#include <cstdint>
#include <string>

#include "raft/options.h"

namespace keel::raft::sim {

struct SimOptions {
  uint64_t seed = 0;
  int members = 3;
  CoreOptions core;  // `id` and `seed` are set per member and start.

  // Time is counted in units; a tick is kTickUnits of them.
  int ticks = 300;  // Of the phase with faults.
  double drop = 0;
  double duplicate = 0;
  int delay_max = 5;         // Units a message may take.
  int sync_max = 5;          // Units a sync may take.
  int apply_max = 5;         // Units an apply may take.
  double report_lost = 0.5;  // Chance that a lost message is reported unreachable.
  // Chances per tick of the world.
  double crash = 0;
  double power_cut = 0;  // All at once.
  double partition = 0;
  double heal = 0.05;
  double disk_stall = 0;
  double pause = 0;       // A member stands still for a while and then goes on.
  double clock_skew = 0;  // Members' clocks run up to this much faster or slower.
  double truncate = 0;    // Per tick and member.
  double flush = 0.2;     // Per tick and member: the state machine becomes durable.
  uint64_t log_kept = 3;
  double client = 0.5;  // Chance per tick of the world that a client does something.
  int payload_max = 20;

  static SimOptions Draw(uint64_t seed);
  std::string ToString() const;
};

inline constexpr int kTickUnits = 10;

}  // namespace keel::raft::sim
