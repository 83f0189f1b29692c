// Costs of the keyspace: puts as the apply thread makes them, and reads as an RPC thread does.
// CPU time is of the calling thread; RocksDB's flushes and compactions run beside it.

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/random.h"
#include "benchmark/benchmark.h"
#include "benchmarks/micro/scale.h"
#include "storage/state/apply_batch.h"
#include "storage/state/state_store.h"

namespace keel::storage {
namespace {

const int64_t kKeys = bench::Scaled(1000000, 10000);
constexpr int kBatch = 64;

std::string KeyOf(uint64_t i) { return absl::StrFormat("/registry/pods/ns%03d/pod-%07d", i % 1000, i); }

std::string RandomValue(Random* random) {
  std::string value(256, ' ');
  for (char& c : value) c = static_cast<char>('a' + random->Below(26));
  return value;
}

// A million keys, built once for the whole program.
class Keyspace {
 public:
  static Keyspace& Get() {
    static Keyspace keyspace;
    return keyspace;
  }

  void Put(const std::vector<etcdserverpb::PutRequest>& requests) {
    ApplyBatch batch = store_->BeginBatch();
    for (const etcdserverpb::PutRequest& request : requests) {
      batch.BeginEntry({.index = ++index_, .term = 1});
      KEEL_CHECK_OK(batch.Put(request, nullptr));
      batch.EndEntry();
    }
    benchmark::DoNotOptimize(batch.Commit());
  }

  StateStore& store() { return *store_; }

 private:
  Keyspace() {
    std::string pattern = std::filesystem::temp_directory_path().string() + "/keel-keyspace-XXXXXX";
    dir_ = mkdtemp(pattern.data());
    StateOptions options;
    options.dir = dir_ + "/state";
    auto store = StateStore::Open(options);
    KEEL_CHECK_OK(store);
    store_ = *std::move(store);
    Random random(1);
    for (uint64_t i = 0; i < static_cast<uint64_t>(kKeys); i += kBatch) {
      std::vector<etcdserverpb::PutRequest> requests(kBatch);
      for (uint64_t j = 0; j < kBatch; ++j) {
        requests[j].set_key(KeyOf((i + j) * 7919 % static_cast<uint64_t>(kKeys)));
        requests[j].set_value(RandomValue(&random));
      }
      Put(requests);
    }
  }
  ~Keyspace() {
    store_.reset();
    std::filesystem::remove_all(dir_);
  }

  std::string dir_;
  std::unique_ptr<StateStore> store_;
  uint64_t index_ = 0;
};

void PutInBatches(benchmark::State& state) {
  Keyspace& keyspace = Keyspace::Get();
  const uint64_t keys = static_cast<uint64_t>(state.range(0));
  Random random(2);
  std::string value = RandomValue(&random);
  std::vector<etcdserverpb::PutRequest> requests(kBatch);
  for (auto& request : requests) request.set_value(value);
  for (auto _ : state) {
    state.PauseTiming();
    for (auto& request : requests) request.set_key(KeyOf(random.Below(keys)));
    state.ResumeTiming();
    keyspace.Put(requests);
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(PutInBatches)->Arg(1000)->Arg(kKeys);

void GetLatest(benchmark::State& state) {
  Keyspace& keyspace = Keyspace::Get();
  const uint64_t keys = static_cast<uint64_t>(state.range(0));
  Random random(3);
  std::vector<etcdserverpb::RangeRequest> requests(4096);
  for (auto& request : requests) request.set_key(KeyOf(random.Below(keys)));
  size_t next = 0;
  for (auto _ : state) {
    ReadView view = keyspace.store().View();
    etcdserverpb::RangeResponse response;
    KEEL_CHECK_OK(view.Range(requests[next++ % requests.size()], &response));
    benchmark::DoNotOptimize(response.count());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(GetLatest)->Arg(1000)->Arg(kKeys);

void RangeHundred(benchmark::State& state) {
  Keyspace& keyspace = Keyspace::Get();
  etcdserverpb::RangeRequest request;
  request.set_key("/registry/pods/ns007/");
  request.set_range_end("/registry/pods/ns0070");
  request.set_limit(100);
  for (auto _ : state) {
    ReadView view = keyspace.store().View();
    etcdserverpb::RangeResponse response;
    KEEL_CHECK_OK(view.Range(request, &response));
    benchmark::DoNotOptimize(response.count());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(RangeHundred);

void CountRange(benchmark::State& state) {
  Keyspace& keyspace = Keyspace::Get();
  etcdserverpb::RangeRequest request;
  request.set_key("/registry/pods/ns1");
  request.set_range_end("/registry/pods/ns2");
  request.set_count_only(true);
  int64_t keys = 0;
  for (auto _ : state) {
    ReadView view = keyspace.store().View();
    etcdserverpb::RangeResponse response;
    KEEL_CHECK_OK(view.Range(request, &response));
    keys += response.count();
  }
  state.SetItemsProcessed(keys);
}
BENCHMARK(CountRange)->Unit(benchmark::kMillisecond);

void HashOfAMillion(benchmark::State& state) {
  Keyspace& keyspace = Keyspace::Get();
  for (auto _ : state) benchmark::DoNotOptimize(keyspace.store().HashKv(Revision(0)));
}
BENCHMARK(HashOfAMillion)->Unit(benchmark::kMillisecond)->Iterations(1);

}  // namespace
}  // namespace keel::storage
