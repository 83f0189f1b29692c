#include "storage/state/value_cache.h"

#include <utility>

namespace keel::storage {

// Exact as long as a revision has fewer than a million changes; beyond that two changes may share a number, so a hit
// compares the whole ChangeId.
uint64_t ValueCache::KeyOf(ChangeId change) {
  return (static_cast<uint64_t>(change.revision.value()) << 20) ^ static_cast<uint64_t>(change.sub);
}

ValueCache::Shard& ValueCache::ShardOf(ChangeId change) {
  return shards_[static_cast<uint64_t>(change.revision.value() + change.sub) % kShards];
}

std::optional<Record> ValueCache::Find(ChangeId change) {
  if (std::optional<Record> recent = recent_.Find(change)) return recent;
  Shard& shard = ShardOf(change);
  absl::MutexLock lock(&shard.mu);
  auto it = shard.slot_of.find(KeyOf(change));
  if (it == shard.slot_of.end()) return std::nullopt;
  Slot& slot = shard.slots[it->second];
  if (slot.change != change) return std::nullopt;
  slot.used = true;
  return slot.record;
}

void ValueCache::Append(std::vector<std::pair<ChangeId, Record>> records) {
  std::vector<std::pair<ChangeId, Record>> used;
  recent_.Append(std::move(records), &used);
  for (const auto& [change, record] : used) Insert(change, record);
}

void ValueCache::Insert(ChangeId change, const Record& record) {
  size_t weight = CachedBytes(record);
  if (weight > shard_bytes_max_) return;
  Shard& shard = ShardOf(change);
  absl::MutexLock lock(&shard.mu);
  if (shard.slot_of.contains(KeyOf(change))) return;
  while (shard.bytes + weight > shard_bytes_max_) {
    if (shard.hand >= shard.slots.size()) shard.hand = 0;
    Slot& slot = shard.slots[shard.hand];
    if (slot.change.exists() && !slot.used) {
      Drop(&shard, static_cast<uint32_t>(shard.hand));
    } else {
      slot.used = false;
    }
    ++shard.hand;
  }
  uint32_t index;
  if (shard.free.empty()) {
    index = static_cast<uint32_t>(shard.slots.size());
    shard.slots.emplace_back();
  } else {
    index = shard.free.back();
    shard.free.pop_back();
  }
  shard.slots[index] = {.change = change, .record = record, .weight = static_cast<uint32_t>(weight), .used = false};
  shard.slot_of.emplace(KeyOf(change), index);
  shard.bytes += weight;
}

void ValueCache::Erase(ChangeId change) {
  recent_.Erase(change);
  Shard& shard = ShardOf(change);
  absl::MutexLock lock(&shard.mu);
  auto it = shard.slot_of.find(KeyOf(change));
  if (it != shard.slot_of.end() && shard.slots[it->second].change == change) Drop(&shard, it->second);
}

void ValueCache::Drop(Shard* shard, uint32_t index) {
  Slot& slot = shard->slots[index];
  shard->bytes -= slot.weight;
  shard->slot_of.erase(KeyOf(slot.change));
  slot = Slot();
  shard->free.push_back(index);
}

size_t ValueCache::bytes() const {
  size_t total = recent_.bytes();
  for (const Shard& shard : shards_) {
    absl::MutexLock lock(&shard.mu);
    total += shard.bytes;
  }
  return total;
}

}  // namespace keel::storage
