// Cost of finding the watchers of a changed key among 100,000, which the apply thread pays for every change.

#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/random.h"
#include "benchmarks/micro/scale.h"
#include "server/watch/watcher_index.h"

namespace keel::server {
namespace {

const int64_t kWatchers = bench::Scaled(100000, 1000);

std::string KeyOf(int64_t i) { return absl::StrFormat("/registry/pods/ns%07d", i); }

// Watchers that are in an index as long as they live.
class Watchers {
 public:
  void Add(KeyRange keys) {
    auto spec = std::make_shared<WatchSpec>();
    spec->keys = std::move(keys);
    watchers_.push_back(std::make_unique<Watcher>());
    watchers_.back()->spec = std::move(spec);
    watchers_.back()->serial = watchers_.size();
    index_.Insert(watchers_.back().get());
  }
  const WatcherIndex& index() const { return index_; }

 private:
  std::vector<std::unique_ptr<Watcher>> watchers_;
  WatcherIndex index_;
};

// Changes of random keys, each of which concerns `expected` watchers.
void Match(benchmark::State& state, const Watchers& watchers, const std::string& suffix, size_t expected) {
  Random random(1);
  std::vector<std::string> keys(4096);
  for (std::string& key : keys) {
    key = KeyOf(static_cast<int64_t>(random.Below(static_cast<uint64_t>(kWatchers)))) + suffix;
  }
  size_t next = 0;
  for (auto _ : state) {
    size_t matches = 0;
    watchers.index().Match(keys[next++ % keys.size()], [&](Watcher*) { ++matches; });
    KEEL_CHECK(matches == expected);
  }
  state.SetItemsProcessed(state.iterations());
}

void MatchOneOfManyKeys(benchmark::State& state) {
  Watchers watchers;
  for (int64_t i = 0; i < kWatchers; ++i) watchers.Add({.kind = KeyRange::Kind::kKey, .begin = KeyOf(i), .end = ""});
  Match(state, watchers, "", 1);
}
BENCHMARK(MatchOneOfManyKeys);

void MatchNoneOfManyKeys(benchmark::State& state) {
  Watchers watchers;
  for (int64_t i = 0; i < kWatchers; ++i) watchers.Add({.kind = KeyRange::Kind::kKey, .begin = KeyOf(i), .end = ""});
  Match(state, watchers, "/other", 0);
}
BENCHMARK(MatchNoneOfManyKeys);

void MatchOneOfManyRanges(benchmark::State& state) {
  Watchers watchers;
  for (int64_t i = 0; i < kWatchers; ++i) {
    watchers.Add({.kind = KeyRange::Kind::kHalfOpen, .begin = KeyOf(i) + "/", .end = KeyOf(i) + "0"});
  }
  Match(state, watchers, "/pod", 1);
}
BENCHMARK(MatchOneOfManyRanges);

// All watch the same prefix: what a fan-out costs before anything is sent. Items are watchers.
void MatchAll(benchmark::State& state) {
  Watchers watchers;
  for (int64_t i = 0; i < kWatchers; ++i) {
    watchers.Add({.kind = KeyRange::Kind::kHalfOpen, .begin = "/registry/", .end = "/registry0"});
  }
  for (auto _ : state) {
    int64_t matches = 0;
    watchers.index().Match("/registry/pods", [&](Watcher*) { ++matches; });
    KEEL_CHECK(matches == kWatchers);
  }
  state.SetItemsProcessed(state.iterations() * kWatchers);
}
BENCHMARK(MatchAll)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace keel::server
