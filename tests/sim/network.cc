#include "tests/sim/network.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace keel::sim {
namespace {

constexpr int kStragglerFactor = 20;
// A leader whose followers answer at once sends a few messages per proposal and round trip; ten thousand in a second
// of a world whose clients do a few hundred things in a minute is a loop.
constexpr uint64_t kMessagesPerLinkSecondMax = 20000;

}  // namespace

Network::Network(World* world, Ledger* ledger, const NetworkOptions& options, int nodes, Deliver deliver)
    : world_(*world),
      ledger_(*ledger),
      options_(options),
      nodes_(nodes),
      deliver_(std::move(deliver)),
      random_(world->Stream("network")),
      up_(static_cast<size_t>(nodes * nodes), 1),
      clogged_until_(up_.size(), 0),
      rates_(up_.size()),
      no_storm_(ledger, "messages-per-link-bounded"),
      dropped_(ledger_.faults["message-drop"]),
      duplicated_(ledger_.faults["message-duplicate"]),
      replayed_(ledger_.faults["message-replay"]),
      straggled_(ledger_.faults["message-straggle"]),
      clogged_(ledger_.faults["message-clogged"]),
      cut_(ledger_.faults["message-cut"]) {}

SimTime Network::Delay() {
  SimTime delay = options_.delay_min + random_.Between(0, 2 * std::max<SimTime>(options_.delay_mean, 1));
  if (options_.straggler > 0 && random_.Chance(options_.straggler)) {
    ++straggled_;
    delay *= kStragglerFactor;
  }
  return delay;
}

void Network::CountOnLink(int from, int to) {
  Rate& rate = rates_[Link(from, to)];
  const SimTime second = world_.now() / kSecond;
  if (rate.second != second) rate = {.second = second, .messages = 0};
  ++rate.messages;
  no_storm_.Require(rate.messages <= kMessagesPerLinkSecondMax, [&] {
    return absl::StrCat("more than ", kMessagesPerLinkSecondMax, " messages from ", from, " to ", to, " in a second");
  });
}

bool Network::Send(int from, int to, std::string bytes) {
  ++sent_;
  CountOnLink(from, to);
  if (!IsUp(from, to)) {
    ++cut_;
    return false;
  }
  if (options_.drop > 0 && random_.Chance(options_.drop)) {
    ++dropped_;
    return false;
  }
  if (options_.duplicate > 0 && random_.Chance(options_.duplicate)) {
    ++duplicated_;
    Carry(from, to, Delay(), bytes);
  }
  if (options_.replay > 0 && random_.Chance(options_.replay)) {
    ++replayed_;
    Carry(from, to, random_.Between(0, kReplayWithin), bytes);
  }
  SimTime delay = Delay();
  if (const SimTime until = clogged_until_[Link(from, to)]; until > world_.now()) {
    ++clogged_;
    delay += until - world_.now();
  }
  Carry(from, to, delay, std::move(bytes));
  return true;
}

void Network::Carry(int from, int to, SimTime delay, std::string bytes) {
  world_.At(delay, [this, from, to, bytes = std::move(bytes)] {
    world_.Note(HashOf(bytes, Link(from, to)));
    deliver_(from, to, bytes);
  });
}

void Network::Heal() {
  std::fill(up_.begin(), up_.end(), 1);
  std::fill(clogged_until_.begin(), clogged_until_.end(), 0);
}

void Network::EndMessageFaults() {
  options_.drop = options_.duplicate = options_.replay = options_.straggler = 0;
  options_.delay_mean = std::min(options_.delay_mean, 5 * kMillisecond);
}

}  // namespace keel::sim
