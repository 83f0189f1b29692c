#pragma once

// Partitions: which links of a network are cut, by which faults, and when they heal. Owned by one thread.

#include <vector>

#include "base/random.h"
#include "tests/sim/fault_schedule.h"
#include "tests/sim/network.h"
#include "tests/sim/world.h"

namespace keel::sim {

// Faults may overlap: a link is up again when the last that cut it is over.
class LinkCuts {
 public:
  // Among nodes 1 to `nodes` of the network. All are borrowed.
  LinkCuts(World* world, Network* network, Random* random, int nodes);

  // A fault of one of the kinds kIsolate to kFlap at `target`, for its duration. REQUIRES: it is of these kinds.
  void Apply(const FaultEvent& event, int target);
  // What has not begun yet will not; what has goes on.
  void End() { ended_ = true; }

  // Both ways and for good: only Set() brings the link back.
  void CutForGood(int a, int b);
  bool IsCutForGood(int from, int to) const { return cuts_[Link(from, to)] >= kForGood; }
  // Up or down from now on, whatever has been cut there before.
  void Set(int from, int to, bool up);

 private:
  static constexpr int kForGood = 1000;

  void Cut(int from, int to, SimTime delay, SimTime duration);
  void CutPair(int a, int b, SimTime delay, SimTime duration);
  void Swizzle(SimTime duration);
  void Flap(int a, int b, SimTime duration);
  size_t Link(int from, int to) const { return static_cast<size_t>(from * network_.nodes() + to); }

  World& world_;
  Network& network_;
  Random& random_;
  const int nodes_;
  std::vector<int> cuts_;  // By link: how many faults cut it.
  bool ended_ = false;
};

}  // namespace keel::sim
