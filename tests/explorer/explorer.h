#pragma once

// Enumerates, breadth first, what may happen to a group of three: every message may arrive now, later, twice or never;
// every clock may run out; every disk may be slow; members crash and lose what was not synced. Each state is visited
// once, by a hash of everything that decides what comes next, and judged by the same invariants as everywhere, under
// the names of the usual specification of Raft.
//
// The members run the production core. What a core does is a pure function of its state and one input, so every
// (state, input) pair is executed once and remembered; most steps of the search are look-ups.
//
// Single-threaded. Deterministic: the same world and limits give the same report, but for the time it took.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "raft/membership.h"

namespace keel::explorer {

// Where the search begins, and how much of everything may happen on one path.
struct World {
  std::string name;
  std::string description;
  // Of members 1, 2, 3: terms of the entries on disk, the term and the vote, and how far it knows them committed.
  struct Start {
    std::vector<uint64_t> log;
    uint64_t term = 0;
    uint64_t vote = 0;
    uint64_t commit = 0;
  };
  std::vector<Start> members = std::vector<Start>(3);
  std::vector<uint64_t> voters = {1, 2, 3};
  uint64_t base = 0;         // Not 0: the state is that of this index, in term 1, and the log begins after it.
  bool elect_first = false;  // Begins with member 1 as a leader whose no-op is committed everywhere.
  // Whose time runs out has its pre-votes at once. It saves steps, and safety must not rest on pre-votes.
  bool quick_votes = true;
  bool slow_disks = false;   // Syncs happen when the search says so; otherwise at once.
  uint64_t terms_max = 3;
  uint64_t timeouts_max = 3;  // Of any member.
  uint64_t beats_max = 0;     // Heartbeats of leaders.
  uint64_t proposals_max = 0;
  uint64_t crashes_max = 0;  // Unsynced writes are lost; the member starts again at once.
  uint64_t duplicates_max = 0;
  uint64_t drops_max = 0;         // That messages stay on their way for ever is always possible.
  uint64_t snapshots_max = 0;     // A member makes its state durable and forgets its log up to there.
  raft::MembershipChange change;  // Proposed once, if not empty.
};

const std::vector<World>& Worlds();
const World* FindWorld(std::string_view name);

struct Limits {
  uint64_t states_max = UINT64_MAX;
  double seconds_max = 0;  // 0: no limit.
};

struct Report {
  uint64_t states = 0;
  uint64_t transitions = 0;
  uint64_t depth = 0;         // Complete up to here, and partly one step further unless exhausted.
  bool exhausted = false;     // There is nothing more to see in this world.
  uint64_t local_states = 0;  // Different states of single members.
  uint64_t executed = 0;      // Inputs that cores were really given.
  uint64_t comparisons = 0;
  double seconds = 0;
  std::string violation;            // "ElectionSafety: ...", empty if none.
  std::vector<std::string> script;  // What led to it, as commands of tests/scenarios.
};

// `progress`, if not null, is kept at the number of states.
Report Explore(const World& world, const Limits& limits, volatile uint64_t* progress = nullptr);

}  // namespace keel::explorer
