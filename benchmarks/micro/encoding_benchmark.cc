// Costs of turning keys, pairs and messages into bytes and back: what every put pays, some of it on each member.

#include <benchmark/benchmark.h>

#include <optional>
#include <string>
#include <vector>

#include "base/check.h"
#include "raft/message.h"
#include "raft/wire.h"
#include "storage/state/index_entry.h"
#include "storage/state/record.h"

namespace keel {
namespace {

constexpr size_t kValueBytes = 256;

storage::KeyValueFields Pair(const std::string& value) {
  return {.key = "/registry/pods/ns007/pod-0000042",
          .create = storage::Revision(1000),
          .mod = storage::Revision(123456),
          .version = 17,
          .value = value,
          .lease = storage::LeaseId(0)};
}

void RecordKey(benchmark::State& state) {
  int64_t revision = 0;
  for (auto _ : state) {
    const std::string key = storage::EncodeRecordKey({.revision = storage::Revision(++revision), .sub = 0});
    const std::optional<storage::ChangeId> change = storage::DecodeRecordKey(key);
    KEEL_CHECK(change.has_value());
    benchmark::DoNotOptimize(change->revision);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(RecordKey);

void EncodePair(benchmark::State& state) {
  const std::string value(kValueBytes, 'v');
  const storage::KeyValueFields fields = Pair(value);
  for (auto _ : state) benchmark::DoNotOptimize(storage::EncodeKeyValue(fields));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(EncodePair);

void DecodePair(benchmark::State& state) {
  const std::string value(kValueBytes, 'v');
  const std::string bytes = storage::EncodeKeyValue(Pair(value));
  for (auto _ : state) {
    const auto fields = storage::DecodeKeyValue(bytes);
    KEEL_CHECK(fields.has_value());
    benchmark::DoNotOptimize(fields->value.data());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(DecodePair);

void IndexEntryThereAndBack(benchmark::State& state) {
  const storage::IndexEntry entry{.mod = {.revision = storage::Revision(123456), .sub = 0},
                                  .stored_bytes = 320,
                                  .has_previous = false,
                                  .create = storage::Revision(1000),
                                  .version = 17};
  for (auto _ : state) {
    const storage::EncodedEntry encoded(entry, storage::Lineage{});
    const storage::IndexEntry decoded = storage::DecodeEntry(encoded.bytes().data(), nullptr, nullptr);
    benchmark::DoNotOptimize(decoded.mod.revision);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(IndexEntryThereAndBack);

// What the leader sends a follower: so many puts in one message.
raft::Message AppendOf(int64_t count) {
  raft::AppendRequest append{.prev = {.term = raft::Term(3), .index = raft::Index(1000)},
                             .entries = {},
                             .commit = raft::Index(1000),
                             .read_round = 1};
  for (int64_t i = 1; i <= count; ++i) {
    append.entries.push_back({.id = {.term = raft::Term(3), .index = raft::Index(1000 + static_cast<uint64_t>(i))},
                              .type = raft::EntryType::kCommand,
                              .payload = raft::Payload(std::string(kValueBytes + 44, 'p'))});
  }
  return {.from = raft::MemberId(1), .to = raft::MemberId(2), .term = raft::Term(3), .body = std::move(append)};
}

void EncodeAppend(benchmark::State& state) {
  const raft::Message message = AppendOf(state.range(0));
  for (auto _ : state) {
    raftpb::Message out;
    raft::EncodeMessage(message, &out);
    benchmark::DoNotOptimize(out.SerializeAsString());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(EncodeAppend)->Arg(1)->Arg(64);

void DecodeAppend(benchmark::State& state) {
  raftpb::Message encoded;
  raft::EncodeMessage(AppendOf(state.range(0)), &encoded);
  const std::string bytes = encoded.SerializeAsString();
  for (auto _ : state) {
    raftpb::Message in;
    KEEL_CHECK(in.ParseFromString(bytes));
    const auto message = raft::DecodeMessage(std::move(in));
    KEEL_CHECK_OK(message.status());
    benchmark::DoNotOptimize(message->term);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(DecodeAppend)->Arg(1)->Arg(64);

}  // namespace
}  // namespace keel
