#include "tests/sim/link_cuts.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace keel::sim {

LinkCuts::LinkCuts(World* world, Network* network, Random* random, int nodes)
    : world_(*world),
      network_(*network),
      random_(*random),
      nodes_(nodes),
      cuts_(static_cast<size_t>(network->nodes() * network->nodes()), 0) {}

void LinkCuts::Apply(const FaultEvent& event, int target) {
  const SimTime duration = event.duration;
  const int other = 1 + event.other % nodes_;
  const auto side = [&](int node) { return (event.param >> node & 1) != 0; };
  const auto each_pair = [&](const auto& is_cut) {
    for (int a = 1; a <= nodes_; ++a) {
      for (int b = a + 1; b <= nodes_; ++b) {
        if (is_cut(a, b)) CutPair(a, b, 0, duration);
      }
    }
  };
  switch (event.kind) {
    case FaultKind::kIsolate:
      for (int m = 1; m <= nodes_; ++m) CutPair(target, m, 0, duration);
      return;
    case FaultKind::kHalves:
      return each_pair([&](int a, int b) { return side(a) != side(b); });
    case FaultKind::kBridge:
      return each_pair([&](int a, int b) { return side(a) != side(b) && a != target && b != target; });
    case FaultKind::kRing:
      return each_pair([&](int a, int b) { return b != a + 1 && !(a == 1 && b == nodes_); });
    case FaultKind::kOneWay:
      return Cut(target, other, 0, duration);
    case FaultKind::kMuted:
      for (int m = 1; m <= nodes_; ++m) Cut(target, m, 0, duration);
      return;
    case FaultKind::kDeafened:
      for (int m = 1; m <= nodes_; ++m) Cut(m, target, 0, duration);
      return;
    case FaultKind::kSwizzle:
      return Swizzle(duration);
    case FaultKind::kFlap:
      return Flap(target, other, duration);
    default:
      KEEL_CHECK(false) << FaultName(event.kind) << " cuts no links";
  }
}

// One by one, and back in another order.
void LinkCuts::Swizzle(SimTime duration) {
  std::vector<int> order;
  for (int m = 1; m <= nodes_; ++m) order.push_back(m);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random_.Below(i)]);
  const SimTime step = duration / (2 * nodes_);
  for (int i = 0; i < nodes_; ++i) {
    const SimTime cut = i * step;
    const SimTime healed = duration / 2 + random_.Between(0, nodes_ - 1) * step;
    for (int m = 1; m <= nodes_; ++m)
      CutPair(order[static_cast<size_t>(i)], m, cut, std::max<SimTime>(healed - cut, 1));
  }
}

void LinkCuts::Flap(int a, int b, SimTime duration) {
  static constexpr int kTimes = 6;
  for (int i = 0; i < kTimes; ++i) CutPair(a, b, i * duration / kTimes, duration / (2 * kTimes));
}

void LinkCuts::Cut(int from, int to, SimTime delay, SimTime duration) {
  if (from == to) return;
  world_.At(delay, [this, from, to, duration] {
    if (ended_) return;
    ++cuts_[Link(from, to)];
    network_.SetLink(from, to, false);
    world_.At(duration, [this, from, to] {
      int& cuts = cuts_[Link(from, to)];
      if (cuts > 0 && --cuts == 0) network_.SetLink(from, to, true);
    });
  });
}

void LinkCuts::CutPair(int a, int b, SimTime delay, SimTime duration) {
  Cut(a, b, delay, duration);
  Cut(b, a, delay, duration);
}

void LinkCuts::CutForGood(int a, int b) {
  cuts_[Link(a, b)] += kForGood;
  cuts_[Link(b, a)] += kForGood;
  network_.CutBoth(a, b);
}

void LinkCuts::Set(int from, int to, bool up) {
  cuts_[Link(from, to)] = 0;
  network_.SetLink(from, to, up);
}

}  // namespace keel::sim
