#pragma once

// The network between the nodes of a world. It carries bytes, so that what travels has really been encoded, and loses,
// repeats, delays, reorders and holds them back; links are cut in one direction or both. Nodes are small integers.
// Owned by one thread.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/sim/ledger.h"
#include "tests/sim/world.h"

namespace keel::sim {

// A message may come again as much later as this.
inline constexpr SimTime kReplayWithin = 60 * kSecond;

struct NetworkOptions {
  double drop = 0;       // Chances per message.
  double duplicate = 0;  // It arrives twice.
  double replay = 0;     // It arrives again, within kReplayWithin.
  SimTime delay_min = 200;
  SimTime delay_mean = 2 * kMillisecond;
  double straggler = 0;  // Takes twenty times as long, and so comes out of order.
};

class Network {
 public:
  using Deliver = std::function<void(int from, int to, const std::string& bytes)>;

  // Nodes are 0 to nodes - 1. `deliver` is called when something arrives; whoever is down ignores it.
  Network(World* world, Ledger* ledger, const NetworkOptions& options, int nodes, Deliver deliver);

  // False: lost before it left, and a sender on a connection would learn of it.
  bool Send(int from, int to, std::string bytes);

  bool IsUp(int from, int to) const { return up_[Link(from, to)] != 0; }
  void SetLink(int from, int to, bool up) { up_[Link(from, to)] = up; }
  void CutBoth(int a, int b) {
    SetLink(a, b, false);
    SetLink(b, a, false);
  }
  void Heal();
  // What is sent in this direction until then arrives only then, all at once.
  void Clog(int from, int to, SimTime until) { clogged_until_[Link(from, to)] = until; }

  // From now on nothing is lost, repeated or late by itself; links stay as they are.
  void EndMessageFaults();

  int nodes() const { return nodes_; }
  uint64_t sent() const { return sent_; }

 private:
  size_t Link(int from, int to) const { return static_cast<size_t>(from * nodes_ + to); }
  SimTime Delay();
  void Carry(int from, int to, SimTime delay, std::string bytes);
  void CountOnLink(int from, int to);

  World& world_;
  Ledger& ledger_;
  NetworkOptions options_;
  const int nodes_;
  const Deliver deliver_;
  Random random_;
  std::vector<char> up_;
  std::vector<SimTime> clogged_until_;
  uint64_t sent_ = 0;

  // Bounded by flow control, or a bug in it: messages per link and second.
  struct Rate {
    SimTime second = -1;
    uint64_t messages = 0;
  };
  std::vector<Rate> rates_;
  Invariant no_storm_;
  uint64_t& dropped_;
  uint64_t& duplicated_;
  uint64_t& replayed_;
  uint64_t& straggled_;
  uint64_t& clogged_;
  uint64_t& cut_;
};

}  // namespace keel::sim
