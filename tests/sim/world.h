#pragma once

// Time and order of a simulated world: one thread, one queue of events, one seed. Everything that happens is an event
// at a simulated time; of events at the same time any may come first, and the seed says which. Equal seeds and options
// give equal runs, and equal digests prove it.
//
// Owned by one thread.

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/random.h"

namespace keel::sim {

using SimTime = int64_t;  // Microseconds since the world began.
inline constexpr SimTime kMillisecond = 1000;
inline constexpr SimTime kSecond = 1000 * kMillisecond;

// Thrown by the event after the last one that was asked for.
struct RunStopped {};

class World {
 public:
  struct Options {
    uint64_t seed = 0;
    uint64_t until = UINT64_MAX;  // Stop before this event.
    bool trace = false;           // Print what happens.
  };

  explicit World(const Options& options);

  SimTime now() const { return now_; }
  uint64_t events() const { return events_; }
  uint64_t seed() const { return options_.seed; }

  // `action` happens `delay` from now; never at once, even when `delay` is 0.
  void At(SimTime delay, std::function<void()> action);

  void RunFor(SimTime duration);
  // False: the condition did not come true within `at_most`. Looked at every `step`.
  bool RunUntil(const std::function<bool()>& condition, SimTime at_most, SimTime step = 100 * kMillisecond);

  // A source of its own for each purpose, so that one fault less does not reshuffle all others.
  Random Stream(std::string_view name) const;

  // A fact that a repetition of this run must see too.
  void Note(uint64_t fact) { digest_ = digest_ * 0x100000001b3 ^ fact; }
  uint64_t digest() const { return digest_; }

  bool tracing() const { return options_.trace; }
  template <typename... Args>
  void Trace(const Args&... args) const {
    if (options_.trace) PrintLine(absl::StrCat(args...));
  }

 private:
  struct Event {
    SimTime at;
    uint64_t order;  // Random, then unique.
    uint64_t sequence;
    std::function<void()> action;

    bool operator<(const Event& other) const {  // As a heap wants it: the earliest is the greatest.
      if (at != other.at) return at > other.at;
      if (order != other.order) return order > other.order;
      return sequence > other.sequence;
    }
  };

  void PrintLine(const std::string& text) const;
  void Step();

  const Options options_;
  Random order_;
  SimTime now_ = 0;
  uint64_t events_ = 0;
  uint64_t sequence_ = 0;
  uint64_t digest_ = 0xcbf29ce484222325;
  std::vector<Event> queue_;  // A heap.
};

// A member's monotonic clock: it may run faster or slower than the world, and anything may be its zero.
class SimClock final : public Clock {
 public:
  explicit SimClock(const World* world, double rate = 1, SimTime offset = 0)
      : world_(*world), rate_(rate), offset_(offset) {}
  absl::Time Now() const override {
    return absl::UnixEpoch() +
           absl::Microseconds(static_cast<int64_t>(static_cast<double>(world_.now()) * rate_) + offset_);
  }

 private:
  const World& world_;
  const double rate_;
  const SimTime offset_;
};

// Seconds with microseconds, for people.
std::string FormatTime(SimTime time);

// Log-uniform in [low, high]: rates worth trying lie orders of magnitude apart.
double LogUniform(Random& random, double low, double high);

}  // namespace keel::sim
