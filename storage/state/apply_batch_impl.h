#pragma once

// The changes of a batch before anyone else sees them: an overlay over the committed state, and the engine's
// batch that will make them durable.

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "storage/state/apply_batch.h"
#include "storage/state/generation.h"
#include "storage/state/hash_trail.h"
#include "storage/state/keyspace_query.h"

namespace keel::storage {

class ApplyBatch::Impl final : public VersionSource {
 public:
  // `busy` is held while the batch lives; `failed` is set for ever by a failed Commit.
  Impl(std::shared_ptr<Generation> generation, std::atomic<bool>* busy, std::atomic<bool>* failed);
  ~Impl() override;

  // --- VersionSource: the committed state with the overlay on top.
  std::optional<IndexEntry> Latest(std::string_view key) const override;
  bool ReadEntries(const KeyInterval& interval, std::optional<std::string_view> after, size_t entries_max,
                   EntryChunk* chunk) const override;
  bool Count(const KeyInterval& interval, Revision at, IndexCount* count) const override;
  absl::StatusOr<Record> Load(ChangeId change, Caching caching) const override;
  absl::Status LoadMany(const std::vector<ChangeId>& changes, Caching caching,
                        std::vector<Record>* records) const override;

  void Expect(std::span<const std::string_view> keys);
  void BeginEntry(AppliedPosition position);
  void EndEntry();

  absl::Status Put(const etcdserverpb::PutRequest& request, etcdserverpb::PutResponse* response);
  absl::Status DeleteRange(const etcdserverpb::DeleteRangeRequest& request,
                           etcdserverpb::DeleteRangeResponse* response);

  std::optional<LeaseRecord> Lease(LeaseId id) const;
  absl::Status LeaseGrant(LeaseId id, int64_t ttl);
  absl::Status LeaseRevoke(LeaseId id);
  void LeaseCheckpoint(LeaseId id, int64_t remaining_ttl);

  absl::Status Compact(Revision revision);
  bool RaiseAlarm(const Alarm& alarm);
  bool DisarmAlarm(const Alarm& alarm);

  // As of this batch.
  const MemberBook& members() const;
  // To change, and where what that has to write goes.
  MemberBook* EditMembers();
  std::vector<MetaWrite>* member_writes() { return &member_writes_; }

  Revision revision() const { return changes_in_entry_ > 0 ? point_.current + 1 : point_.current; }
  Revision compact_revision() const { return point_.compact; }
  AppliedPosition applied() const { return point_.applied; }
  KeyspaceQuery Query() const { return KeyspaceQuery(*this, revision(), compact_revision()); }

  absl::StatusOr<std::vector<RevisionEventsPtr>> Commit();

 private:
  struct KeyChange {
    std::string_view key;
    const KeyIndex::Lookup* lookup = nullptr;  // Of expected_, if it was expected.
    IndexEntry entry;
    Lineage lineage;
    LeaseId committed_lease;      // What the key was attached to before the batch.
    bool committed_live = false;  // Whether it was there before the batch.
  };

  // What there is to know of a key before it is changed.
  struct Before {
    std::optional<KeyIndex::Latest> latest;
    const KeyIndex::Lookup* lookup = nullptr;
  };
  using KeyIterator = absl::btree_map<std::string_view, uint32_t>::const_iterator;

  const KeyChange& ChangeAt(KeyIterator it) const { return changes_[it->second]; }
  Before LookUp(std::string_view key);
  // The lookup of `key` if it is what was expected next, or nearly.
  const KeyIndex::Lookup* TakeExpected(std::string_view key);
  ChangeId NextChange();
  // Records that `key` changed to `entry`; `before` is how it was until now.
  void Change(std::string_view key, const Before& before, IndexEntry entry, Record record);
  // REQUIRES: it is live.
  void Delete(std::string_view key);
  void SetLease(const LeaseRecord& lease);
  // Takes a change into the running hash.
  void Hash(char kind, std::string_view first, std::string_view second = {});
  // Attached keys, ascending, this batch's changes included.
  std::vector<std::string> KeysOf(LeaseId id) const;
  // Into what readers see, in steps: until the last one they are shown the point before this batch. `changes`: how many
  // records it made.
  void Publish(size_t changes);

  const std::shared_ptr<Generation> generation_;
  std::atomic<bool>* const busy_;
  std::atomic<bool>* const failed_;

  StatePoint point_;  // After the entries that have ended; `applied` includes the one in progress.
  bool in_entry_ = false;
  bool began_ = false;  // At least one entry.
  bool spent_ = false;
  int32_t changes_in_entry_ = 0;
  std::vector<HashSample> hashes_;  // At the places that the trail keeps.
  std::shared_ptr<RevisionEvents> entry_events_;

  const std::unique_ptr<EngineBatch> writes_;
  std::vector<RevisionEventsPtr> events_;
  // By key, the place in changes_. The keys are bytes of the records, which the events hold until the batch is gone.
  // Small, so that finding one of some dozens of keys looks at a few lines only.
  absl::btree_map<std::string_view, uint32_t> keys_;
  std::vector<KeyChange> changes_;
  std::vector<KeyIndex::Lookup> expected_;
  size_t next_expected_ = 0;
  std::vector<std::pair<ChangeId, Record>> records_;  // Ascending.
  int64_t stored_bytes_ = 0;
  // Keys this batch attached, whatever became of them later: their entry says whether they still are.
  absl::flat_hash_map<LeaseId, absl::btree_set<std::string>> attached_;
  bool leases_touched_ = false;                           // By a key that had or has one.
  std::map<LeaseId, std::optional<LeaseRecord>> leases_;  // nullopt: revoked.
  std::optional<MemberBook> members_;                     // Set by the first change.
  std::vector<MetaWrite> member_writes_;
  std::map<Alarm, bool> alarms_;  // True: raised.
};

}  // namespace keel::storage
