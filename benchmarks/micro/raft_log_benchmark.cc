// What one synced append costs, by the number of entries in it. The disk decides; name it with every figure.
//
//   raft_log_benchmark --benchmark_min_time=2     # In $TMPDIR, which should be on the disk in question.

#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "base/check.h"
#include "benchmarks/micro/scale.h"
#include "storage/log/raft_log.h"

namespace keel::storage {
namespace {

constexpr size_t kPayloadBytes = 300;

std::vector<raft::Entry> MakeEntries(uint64_t first, uint64_t count, const raft::Payload& payload) {
  std::vector<raft::Entry> entries;
  for (uint64_t i = 0; i < count; ++i) {
    entries.push_back({.id = {.term = raft::Term(1), .index = raft::Index(first + i)},
                       .type = raft::EntryType::kCommand,
                       .payload = payload});
  }
  return entries;
}

class Directory {
 public:
  Directory() {
    path_ = (std::filesystem::temp_directory_path() / "keel-bench-XXXXXX").string();
    KEEL_CHECK(::mkdtemp(path_.data()) != nullptr);
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void BM_Append(benchmark::State& state) {
  const Directory dir;
  auto log = RaftLog::Open({.dir = dir.path() + "/log", .hasty_segment_bytes = 64u << 20});
  KEEL_CHECK_OK(log.status());
  const raft::Payload payload(std::string(kPayloadBytes, 'x'));
  const uint64_t count = static_cast<uint64_t>(state.range(0));
  std::vector<double> micros;
  uint64_t next = 1;
  for (auto _ : state) {
    const raft::StableBatch batch{.hard_state = std::nullopt, .entries = MakeEntries(next, count, payload)};
    const auto begin = std::chrono::steady_clock::now();
    KEEL_CHECK_OK((*log)->Append(batch));
    micros.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count());
    next += count;
    // As a member does: the state machine keeps up, old segments are recycled.
    if (next % 65536 < count && next > 70000) KEEL_CHECK_OK((*log)->TruncatePrefix(raft::Index(next - 5000)));
  }
  std::sort(micros.begin(), micros.end());
  state.counters["p50_us"] = micros[micros.size() / 2];
  state.counters["p99_us"] = micros[micros.size() * 99 / 100];
  state.SetItemsProcessed(static_cast<int64_t>(next - 1));
}
BENCHMARK(BM_Append)->Arg(1)->Arg(8)->Arg(64)->Arg(256)->UseRealTime()->Unit(benchmark::kMicrosecond);

void BM_Read(benchmark::State& state) {
  const Directory dir;
  auto log = RaftLog::Open({.dir = dir.path() + "/log"});
  KEEL_CHECK_OK(log.status());
  const raft::Payload payload(std::string(kPayloadBytes, 'x'));
  const uint64_t count = static_cast<uint64_t>(state.range(0));
  for (uint64_t next = 1; next < 20000; next += 1000) {
    KEEL_CHECK_OK((*log)->Append({.hard_state = std::nullopt, .entries = MakeEntries(next, 1000, payload)}));
  }
  uint64_t first = 1;
  for (auto _ : state) {
    const auto entries = (*log)->Read(raft::Index(first), raft::Index(first + count - 1), SIZE_MAX);
    KEEL_CHECK_OK(entries.status());
    benchmark::DoNotOptimize(entries->data());
    first = first + count < 19000 ? first + count : 1;
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * static_cast<int64_t>(count));
}
BENCHMARK(BM_Read)->Arg(1)->Arg(64)->Arg(1000)->Unit(benchmark::kMicrosecond);

// A start with a log of this many entries.
void BM_Open(benchmark::State& state) {
  const Directory dir;
  const raft::Payload payload(std::string(kPayloadBytes, 'x'));
  {
    auto log = RaftLog::Open({.dir = dir.path() + "/log"});
    for (int64_t next = 1; next < state.range(0); next += 1000) {
      KEEL_CHECK_OK((*log)->Append(
          {.hard_state = std::nullopt, .entries = MakeEntries(static_cast<uint64_t>(next), 1000, payload)}));
    }
  }
  for (auto _ : state) {
    const auto log = RaftLog::Open({.dir = dir.path() + "/log"});
    KEEL_CHECK_OK(log.status());
  }
}
BENCHMARK(BM_Open)->Arg(1000)->Arg(bench::Scaled(100000, 2000))->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace keel::storage
