#pragma once

// What one seed's world is like. Each seed first draws which faults exist at all, then how bad they are: worlds with
// one kind of fault go deep where a mix of everything would drown it. Limits are drawn tiny now and then, so that every
// "full", "one at a time" and "not in memory any more" is met.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "raft/options.h"
#include "tests/sim/disk.h"
#include "tests/sim/fault_schedule.h"
#include "tests/sim/network.h"
#include "tests/sim/world.h"

namespace keel::sim {

// A rule broken on purpose, to watch it being caught.
enum class BrokenRule {
  kNone,
  kAckBeforeSync,      // What has to wait for the disk is sent at once.
  kSyncDoesNothing,    // The disk confirms what it does not store.
  kForgetVote,         // Term and vote are not written.
  kReadWithoutQuorum,  // A member answers reads from what it has.
  kApplyTwice,         // A restart repeats the last entry.
  kDropApplied,        // The state claims to be durable when it is not.
  // Of whole members only.
  kLoseWatchEvent,  // Of a revision with more than one change, watchers do not hear of the last.
  kHurryLeases,     // The clock of leases runs at twice the speed.
};
inline constexpr size_t kBrokenRules = static_cast<size_t>(BrokenRule::kHurryLeases) + 1;
const char* BrokenRuleName(BrokenRule rule);  // "ack-before-sync"
std::optional<BrokenRule> BrokenRuleNamed(std::string_view name);

struct SimOptions {
  uint64_t seed = 0;
  int members = 3;  // Voters at the beginning, ids from 1 on.
  int spares = 0;   // Nodes that may join later; their ids follow.
  int clients = 3;
  SimTime safety = 30 * kSecond;  // The phase with faults.

  // A member.
  raft::CoreOptions core;  // `id` and `seed` are set per member and start.
  SimTime tick = 100 * kMillisecond;
  uint64_t log_entries_kept = 10;
  uint64_t log_bytes_kept_max = 1 << 30;
  size_t segment_bytes = 16 << 10;
  int spare_segments = 0;
  SimTime sync_max = 5 * kMillisecond;
  SimTime apply_max = 5 * kMillisecond;
  size_t apply_group_max = 64;
  double flush = 0.2;          // Chance per tick that the state becomes durable.
  double clock_skew = 0;       // Members' clocks run up to this much faster or slower.
  double report_lost = 0.5;    // Chance that a lost message is reported unreachable.
  double report_died = 0;      // Chance that peers learn at once that a process has ended.
  bool majority_core = false;  // Only a majority heals in the end.

  // The world.
  NetworkOptions network;
  FaultRates faults;
  SimTime down_max = 20 * kSecond;  // A crashed member is back within that.

  // Clients.
  SimTime think = 300 * kMillisecond;  // Between two operations of one client, on average.
  SimTime patience = 2 * kSecond;      // Then the outcome is unknown.
  int keys = 3;
  double reads = 0.4;
  int payload_max = 20;

  BrokenRule broken_rule = BrokenRule::kNone;

  std::string ToString() const;
};

// By profile: "core", "member" or "disk".
SimOptions DrawOptions(std::string_view profile, uint64_t seed);

}  // namespace keel::sim
