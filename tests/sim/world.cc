#include "tests/sim/world.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_format.h"
#include "tests/sim/ledger.h"

namespace keel::sim {

World::World(const Options& options) : options_(options), order_(Stream("order")) { queue_.reserve(256); }

Random World::Stream(std::string_view name) const { return Random(Mix(options_.seed, HashOf(name))); }

void World::At(SimTime delay, std::function<void()> action) {
  queue_.push_back({now_ + std::max<SimTime>(delay, 0), order_.Next() >> 48, sequence_++, std::move(action)});
  std::push_heap(queue_.begin(), queue_.end());
}

void World::Step() {
  if (events_ >= options_.until) throw RunStopped{};
  std::pop_heap(queue_.begin(), queue_.end());
  Event event = std::move(queue_.back());
  queue_.pop_back();
  now_ = event.at;
  ++events_;
  Note(static_cast<uint64_t>(now_) ^ event.sequence << 40);
  event.action();
}

void World::RunFor(SimTime duration) {
  const SimTime end = now_ + duration;
  while (!queue_.empty() && queue_.front().at <= end) Step();
  now_ = end;
}

bool World::RunUntil(const std::function<bool()>& condition, SimTime at_most, SimTime step) {
  const SimTime end = now_ + at_most;
  while (now_ < end) {
    if (condition()) return true;
    RunFor(std::min(step, end - now_));
  }
  return condition();
}

void World::PrintLine(const std::string& text) const {
  std::printf("%8llu %12s  %s\n", static_cast<unsigned long long>(events_), FormatTime(now_).c_str(), text.c_str());
}

std::string FormatTime(SimTime time) {
  return absl::StrFormat("%d.%06d", static_cast<int>(time / kSecond), static_cast<int>(time % kSecond));
}

double LogUniform(Random& random, double low, double high) {
  const double unit = static_cast<double>(random.Below(1u << 20)) / (1u << 20);
  return low * std::pow(high / low, unit);
}

}  // namespace keel::sim
