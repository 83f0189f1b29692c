#pragma once

// Recently written and read records by change. A record never changes, so nothing is ever invalidated. Half of the
// bytes are for what was written last, whether it is read or not; the other half for what was read, and of that the
// least used goes when the bytes run out (CLOCK: one bit per record, set by a hit).
//
// Thread-safe: short locks, for what was read one per shard.

#include <array>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "storage/revision.h"
#include "storage/state/recent_records.h"
#include "storage/state/record.h"

namespace keel::storage {

class ValueCache {
 public:
  explicit ValueCache(size_t bytes_max) : recent_(bytes_max / 2), shard_bytes_max_(bytes_max / 2 / kShards) {}

  std::optional<Record> Find(ChangeId change);
  // As RecentRecords::Since().
  std::optional<std::vector<std::pair<ChangeId, Record>>> Since(ChangeId from, size_t records_max) const {
    return recent_.Since(from, records_max);
  }
  // What was just written: ascending, after everything that was written before.
  void Append(std::vector<std::pair<ChangeId, Record>> records);
  // What was read. No effect when it is there already, or bigger than a shard may be.
  void Insert(ChangeId change, const Record& record);
  void Erase(ChangeId change);

  size_t bytes() const;

 private:
  static constexpr size_t kShards = 16;

  struct Slot {
    ChangeId change;  // !exists(): free.
    Record record;
    uint32_t weight = 0;
    bool used = false;
  };
  struct Shard {
    mutable absl::Mutex mu;
    absl::flat_hash_map<uint64_t, uint32_t> slot_of ABSL_GUARDED_BY(mu);
    std::vector<Slot> slots ABSL_GUARDED_BY(mu);
    std::vector<uint32_t> free ABSL_GUARDED_BY(mu);
    size_t bytes ABSL_GUARDED_BY(mu) = 0;
    size_t hand ABSL_GUARDED_BY(mu) = 0;
  };

  static uint64_t KeyOf(ChangeId change);
  Shard& ShardOf(ChangeId change);
  static void Drop(Shard* shard, uint32_t slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard->mu);

  RecentRecords recent_;
  const size_t shard_bytes_max_;
  std::array<Shard, kShards> shards_;
};

}  // namespace keel::storage
