// Costs of transactions: their comparisons and operations on a store in memory, without the log.

#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/random.h"
#include "benchmarks/micro/scale.h"
#include "server/apply/txn_evaluator.h"
#include "storage/state/apply_batch.h"
#include "storage/state/memory_medium.h"
#include "storage/state/state_store.h"

namespace keel::server {
namespace {

const int64_t kKeys = bench::Scaled(100000, 1000);

std::string KeyOf(uint64_t i) { return absl::StrFormat("/config/%08d", i); }

class Store {
 public:
  Store() {
    auto store = storage::StateStore::Open({.dir = "/state", .medium = std::make_shared<storage::MemoryMedium>()});
    KEEL_CHECK_OK(store);
    store_ = *std::move(store);
    etcdserverpb::PutRequest put;
    put.set_value(std::string(256, 'v'));
    storage::ApplyBatch batch = store_->BeginBatch();
    for (int64_t i = 0; i < kKeys; ++i) {
      batch.BeginEntry({.index = ++index_, .term = 1});
      put.set_key(KeyOf(static_cast<uint64_t>(i)));
      KEEL_CHECK_OK(batch.Put(put, nullptr));
      batch.EndEntry();
    }
    KEEL_CHECK_OK(batch.Commit());
  }

  storage::StateStore& operator*() { return *store_; }

  // As one entry of a batch of its own.
  void Execute(const etcdserverpb::TxnRequest& txn, etcdserverpb::TxnResponse* response) {
    storage::ApplyBatch batch = store_->BeginBatch();
    batch.BeginEntry({.index = ++index_, .term = 1});
    KEEL_CHECK_OK(ExecuteTxn(txn, &batch, response));
    batch.EndEntry();
    KEEL_CHECK_OK(batch.Commit());
  }

 private:
  std::unique_ptr<storage::StateStore> store_;
  uint64_t index_ = 0;
};

// A compare-and-put whose comparison holds, from decision to commit.
void CompareAndPut(benchmark::State& state) {
  Store store;
  Random random(1);
  etcdserverpb::TxnRequest txn;
  auto* compare = txn.add_compare();
  compare->set_target(etcdserverpb::Compare::VERSION);
  compare->set_result(etcdserverpb::Compare::GREATER);
  compare->set_version(0);
  auto* put = txn.add_success()->mutable_request_put();
  put->set_value(std::string(256, 'w'));
  for (auto _ : state) {
    const std::string key = KeyOf(random.Below(static_cast<uint64_t>(kKeys)));
    compare->set_key(key);
    put->set_key(key);
    etcdserverpb::TxnResponse response;
    store.Execute(txn, &response);
    KEEL_CHECK(response.succeeded());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(CompareAndPut);

// So many comparisons of single keys, and the read of one, on a view: nothing is written.
void ReadOnlyTxn(benchmark::State& state) {
  Store store;
  etcdserverpb::TxnRequest txn;
  for (int64_t i = 0; i < state.range(0); ++i) {
    auto* compare = txn.add_compare();
    compare->set_key(KeyOf(static_cast<uint64_t>(i * 7919 % kKeys)));
    compare->set_target(etcdserverpb::Compare::VERSION);
    compare->set_result(etcdserverpb::Compare::EQUAL);
    compare->set_version(1);
  }
  txn.add_success()->mutable_request_range()->set_key(KeyOf(1));
  KEEL_CHECK(IsReadOnly(txn));
  for (auto _ : state) {
    const storage::ReadView view = (*store).View();
    etcdserverpb::TxnResponse response;
    KEEL_CHECK_OK(EvaluateReadOnly(txn, view, &response));
    KEEL_CHECK(response.succeeded());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(ReadOnlyTxn)->Arg(1)->Arg(16);

}  // namespace
}  // namespace keel::server
