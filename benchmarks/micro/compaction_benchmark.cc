// What the removal of compacted history costs those who write meanwhile: the time that single batches of puts take at
// the apply thread, paced like requests, with a housekeeping thread compacting beside them at the server's pace, and
// without.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/random.h"
#include "benchmark/benchmark.h"
#include "benchmarks/micro/scale.h"
#include "storage/state/apply_batch.h"
#include "storage/state/state_store.h"

namespace keel::storage {
namespace {

using SteadyClock = std::chrono::steady_clock;

const int64_t kKeys = bench::Scaled(100000, 1000);
constexpr int kVersions = 5;  // Of each key before the measurement; all but the last are to be removed.
constexpr int kPutsPerBatch = 8;
const int64_t kBatches = bench::Scaled(4000, 100);
constexpr auto kPace = std::chrono::microseconds(500);
constexpr int64_t kRevisionsPerStep = 1000;  // --compaction-batch-limit
constexpr auto kStepPause = std::chrono::milliseconds(10);

class Store {
 public:
  Store() {
    std::string pattern = std::filesystem::temp_directory_path().string() + "/keel-compaction-XXXXXX";
    dir_ = mkdtemp(pattern.data());
    auto store = StateStore::Open({.dir = dir_ + "/state"});
    KEEL_CHECK_OK(store);
    store_ = *std::move(store);
    for (int version = 0; version < kVersions; ++version) {
      for (int64_t key = 0; key < kKeys; key += 64) Put(64, key);
    }
  }
  ~Store() {
    store_.reset();
    std::filesystem::remove_all(dir_);
  }

  // Random keys, or those from `first` on.
  void Put(int count, int64_t first = -1) {
    ApplyBatch batch = store_->BeginBatch();
    etcdserverpb::PutRequest request;
    std::string value(256, ' ');
    for (int i = 0; i < count; ++i) {
      for (char& c : value) c = static_cast<char>('a' + random_.Below(26));
      const int64_t key = first < 0 ? static_cast<int64_t>(random_.Below(static_cast<uint64_t>(kKeys))) : first + i;
      request.set_key(absl::StrFormat("/registry/pods/pod-%012d", key));
      request.set_value(value);
      batch.BeginEntry({.index = ++index_, .term = 1});
      KEEL_CHECK_OK(batch.Put(request, nullptr));
      batch.EndEntry();
    }
    KEEL_CHECK_OK(batch.Commit());
  }
  void Compact() {
    ApplyBatch batch = store_->BeginBatch();
    batch.BeginEntry({.index = ++index_, .term = 1});
    KEEL_CHECK_OK(batch.Compact(batch.revision()));
    batch.EndEntry();
    KEEL_CHECK_OK(batch.Commit());
  }
  StateStore& store() { return *store_; }

 private:
  std::string dir_;
  std::unique_ptr<StateStore> store_;
  Random random_{1};
  uint64_t index_ = 0;
};

void PutLatency(benchmark::State& state) {
  const bool compacting = state.range(0) == 1;
  Store store;
  std::vector<double> micros;
  int64_t steps_during = 0;
  for (auto _ : state) {
    std::atomic<bool> stop = false;
    std::atomic<int64_t> steps = 0;
    std::thread housekeeping;
    if (compacting) {
      store.Compact();
      housekeeping = std::thread([&] {
        while (!stop) {
          const auto more = store.store().CompactStep(kRevisionsPerStep);
          KEEL_CHECK_OK(more);
          if (!*more) return;
          ++steps;
          std::this_thread::sleep_for(kStepPause);
        }
      });
    }
    auto next = SteadyClock::now();
    for (int64_t i = 0; i < kBatches; ++i) {
      std::this_thread::sleep_until(next);
      next += kPace;
      const auto start = SteadyClock::now();
      store.Put(kPutsPerBatch);
      micros.push_back(std::chrono::duration<double, std::micro>(SteadyClock::now() - start).count());
    }
    steps_during = steps;
    stop = true;
    if (housekeeping.joinable()) housekeeping.join();
  }
  std::sort(micros.begin(), micros.end());
  state.counters["p50_us"] = micros[micros.size() / 2];
  state.counters["p99_us"] = micros[micros.size() * 99 / 100];
  state.counters["max_us"] = micros.back();
  state.counters["steps"] = static_cast<double>(steps_during);
}
BENCHMARK(PutLatency)->ArgName("compacting")->Arg(0)->Arg(1)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace keel::storage
