#include "storage/state/compaction.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace keel::storage {
namespace {

// How long a slice that is held up by a view waits for it: bounds what a caller that loops can spin.
constexpr absl::Duration kViewWait = absl::Milliseconds(10);
// Index entries removed under one lock.
constexpr size_t kEraseAtOnce = 512;

struct DeadKey {
  std::string key;
  ChangeId tombstone;
};

}  // namespace

absl::StatusOr<bool> CompactSlice(Generation* generation, int64_t records_max, int64_t* removed) {
  // The compact revision first, then the views: one taken in between has a floor at least as high.
  const Revision compact = generation->point().compact;
  Revision floor = generation->floors().LowestUpTo(compact);
  CompactionProgress progress;
  {
    absl::MutexLock lock(&generation->compaction_mu);
    progress = generation->compaction;
  }
  if (progress.finished >= compact) return false;
  // Its first records were looked at with itself as the floor: so are the others, and then all of them once more.
  if (progress.stopped_at.value() > 0) floor = std::min(floor, progress.stopped_at);
  if (progress.finished >= floor) {
    generation->floors().AwaitAbove(floor, kViewWait);
    return true;
  }

  Engine& engine = generation->engine();
  const std::unique_ptr<EngineBatch> batch = engine.NewBatch();
  std::vector<ChangeId> dead_records;
  std::vector<DeadKey> dead_keys;
  int64_t freed_bytes = 0;
  int64_t looked_at = 0;
  bool reached_floor = true;
  progress.stopped_at = Revision(0);
  auto it = engine.HistIterator(ScanLength::kLong);
  for (it->Seek(EncodeRecordKey(progress.next)); it->Valid(); it->Next()) {
    std::string_view stored = it->value();
    std::optional<ChangeId> change = DecodeRecordKey(it->key());
    std::optional<RecordView> record = DecodeRecord(stored);
    std::optional<KeyValueFields> fields;
    if (record.has_value()) fields = DecodeKeyValue(record->kv);
    if (!change.has_value() || !fields.has_value()) {
      return absl::DataLossError(absl::StrCat("state: the history is damaged after change ",
                                              progress.next.revision.value(), ".", progress.next.sub,
                                              "; restore this member from a snapshot"));
    }
    if (change->revision > floor) break;
    if (looked_at >= std::max<int64_t>(records_max, 1)) {
      reached_floor = false;
      progress.next = *change;
      if (change->revision == floor && change->sub > 0) progress.stopped_at = floor;
      break;
    }
    ++looked_at;
    // What precedes a creation is a tombstone, which goes by itself. A record of the last floor may have been looked at
    // before; what it replaced below that floor is gone then, and must not be counted twice.
    bool replaced_pair = record->previous.exists() && (record->tombstone || fields->version > 1);
    if (replaced_pair && record->previous.revision < floor &&
        (change->revision != progress.finished || record->previous.revision == progress.finished)) {
      batch->DeleteRecord(record->previous);
      dead_records.push_back(record->previous);
      freed_bytes += record->previous_bytes;
    }
    if (record->tombstone && change->revision < floor) {
      batch->DeleteRecord(*change);
      dead_records.push_back(*change);
      freed_bytes += StoredBytes(stored);
      if (generation->index_checkpoint().NeedsNote(*change, *record)) {
        batch->PutMeta(GoneKey(fields->key), EncodeChange(*change));
      }
      dead_keys.push_back({.key = std::string(fields->key), .tombstone = *change});
    }
  }
  KEEL_RETURN_IF_ERROR(it->status("scan of the history"));
  it.reset();
  if (reached_floor) {
    // The records of the floor itself are looked at again by the next pass.
    progress.next = {.revision = floor, .sub = 0};
    progress.finished = floor;
  }
  progress.freed_bytes += freed_bytes;
  batch->PutMeta(kCompactionKey, EncodeCompaction(progress));
  KEEL_RETURN_IF_ERROR(engine.Write(batch.get()));

  *removed += static_cast<int64_t>(dead_records.size());
  for (ChangeId change : dead_records) generation->cache().Erase(change);
  for (size_t first = 0; first < dead_keys.size(); first += kEraseAtOnce) {
    absl::MutexLock lock(&generation->mu);
    for (size_t i = first; i < std::min(first + kEraseAtOnce, dead_keys.size()); ++i) {
      generation->published.index.Erase(dead_keys[i].key, dead_keys[i].tombstone);
    }
  }
  {
    absl::MutexLock lock(&generation->mu);
    generation->published.stored_bytes -= freed_bytes;
  }
  absl::MutexLock lock(&generation->compaction_mu);
  generation->compaction = progress;
  return progress.finished < compact;
}

}  // namespace keel::storage
