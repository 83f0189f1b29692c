#pragma once

// One database and all that is kept in memory of it: index, leases, members, alarms, the point it stands at. A store
// has one generation at a time; installing a snapshot makes the next. Views share it, so an old one lives until its
// last view is gone, and then takes its directory with it.
//
// Thread-safe: what is published is guarded by `mu`, which readers hold for a bounded number of index entries at a
// time. Lock order: mu, then the locks inside cache and floors. Nobody holds `mu` around a call into the engine.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "storage/state/engine.h"
#include "storage/state/hash_trail.h"
#include "storage/state/index_checkpoint.h"
#include "storage/state/key_index.h"
#include "storage/state/keyspace_query.h"
#include "storage/state/lease_book.h"
#include "storage/state/medium.h"
#include "storage/state/member_book.h"
#include "storage/state/meta_codec.h"
#include "storage/state/value_cache.h"
#include "storage/state/view_floors.h"

namespace keel::storage {

// What readers see. Changed as a whole, once per batch.
struct PublishedState {
  StatePoint point;
  KeyIndex index;
  LeaseBook leases;
  MemberBook members;
  std::set<Alarm> alarms;
  int64_t stored_bytes = 0;         // Of all records that compaction has not removed.
  int64_t changes_since_index = 0;  // What a start would have to replay, beside the index file.
};

class Generation final : public VersionSource {
 public:
  // Opens or creates the database in `dir` and reads it. kDataLoss: it contradicts itself.
  static absl::StatusOr<std::shared_ptr<Generation>> Open(const std::string& dir, std::shared_ptr<StateMedium> medium,
                                                          const StateOptions& options,
                                                          std::shared_ptr<FlushSignal> signal);
  ~Generation() override;

  // The directory goes when the last holder does.
  void MarkObsolete();

  // --- VersionSource, of the committed state.
  std::optional<IndexEntry> Latest(std::string_view key) const override;
  bool ReadEntries(const KeyInterval& interval, std::optional<std::string_view> after, size_t entries_max,
                   EntryChunk* chunk) const override;
  bool Count(const KeyInterval& interval, Revision at, IndexCount* count) const override;
  absl::StatusOr<Record> Load(ChangeId change, Caching caching) const override;
  absl::Status LoadMany(const std::vector<ChangeId>& changes, Caching caching,
                        std::vector<Record>* records) const override;

  std::optional<KeyIndex::Latest> LatestWithLineage(std::string_view key) const;
  void LookUp(std::span<KeyIndex::Lookup> lookups) const;

  StatePoint point() const;
  // The point a crash now would come back to.
  AppliedPosition durable_applied() const;

  const std::string& dir() const { return dir_; }
  Engine& engine() const { return *engine_; }
  // The compacting thread's own.
  IndexCheckpoint& index_checkpoint() { return *index_checkpoint_; }
  ValueCache& cache() const { return cache_; }
  ViewFloors& floors() const { return floors_; }
  HashTrail& trail() const { return trail_; }

  mutable absl::Mutex mu;
  PublishedState published ABSL_GUARDED_BY(mu);

  // Written by the compacting thread alone.
  mutable absl::Mutex compaction_mu;
  CompactionProgress compaction ABSL_GUARDED_BY(compaction_mu);

 private:
  Generation(std::string dir, std::shared_ptr<StateMedium> medium, size_t value_cache_bytes);

  absl::Status ReadMeta();
  // From `from` on, into the index, which holds what came before; from the start when nullopt.
  absl::Status ReadHistory(std::optional<Revision> from);
  // `scanned_bytes`: of all records, when they were looked at.
  absl::Status SetStoredBytes(std::optional<int64_t> scanned_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  const std::string dir_;
  Revision advanced_{0};  // The current revision was set to this without a change.
  const std::shared_ptr<StateMedium> medium_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<IndexCheckpoint> index_checkpoint_;
  mutable ValueCache cache_;
  mutable ViewFloors floors_;
  mutable HashTrail trail_;
  std::atomic<bool> obsolete_ = false;

  mutable absl::Mutex durable_mu_;
  mutable AppliedPosition durable_ ABSL_GUARDED_BY(durable_mu_);
};

// Keeps physical compaction from passing what a reader may still ask for. Holds the generation. Movable.
class Pin {
 public:
  explicit Pin(std::shared_ptr<const Generation> generation);
  Pin(Pin&&) = default;
  Pin& operator=(Pin&&) = delete;
  ~Pin();

  const Generation& generation() const { return *generation_; }
  Revision current() const { return current_; }
  Revision compact() const { return compact_; }

 private:
  std::shared_ptr<const Generation> generation_;
  Revision current_;  // When it was made.
  Revision compact_;
};

}  // namespace keel::storage
