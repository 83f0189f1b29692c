#pragma once

// The state machine's data: the keyspace with its history, leases, alarms and what members say of themselves, in one
// RocksDB whose write-ahead log is off, because the Raft log is one. Knows nothing of Raft beyond an applied position.
//
//   auto store = StateStore::Open({.dir = data_dir + "/state"});
//   ApplyBatch batch = store->BeginBatch();            // The apply thread.
//   batch.BeginEntry({.index = 7, .term = 2});
//   batch.Put(request, &response);
//   batch.EndEntry();
//   auto events = batch.Commit();                      // One atomic RocksDB write; then readers see it.
//
//   ReadView view = store->View();                     // Any thread.
//   view.Range(request, &response);
//
// Thread-safe, but for BeginBatch/Install, which belong to the apply thread. Any failed write is returned and final:
// the caller ends the process.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/etcdserver_cluster.pb.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_maintenance.pb.h"
#include "storage/event.h"
#include "storage/revision.h"
#include "storage/state/hash_trail.h"
#include "storage/state/read_view.h"

namespace keel::storage {

class ApplyBatch;
class StateMedium;

struct StateOptions {
  std::string dir;                        // Created when missing. Holds generations of the database and CURRENT.
  size_t value_cache_bytes = 48u << 20;   // Recently written and read pairs, by revision.
  size_t block_cache_bytes = 32u << 20;   // RocksDB's.
  size_t write_buffer_bytes = 16u << 20;  // Of the history; memory use is a few times this.
  // A new index file is due after this many changes, or a quarter of the number of keys if that is more: what a start
  // has to replay.
  int64_t index_checkpoint_changes = 500000;
  size_t index_checkpoint_step_bytes = 1u << 20;  // Of it, in one CheckpointIndexStep().
  std::shared_ptr<StateMedium> medium;            // Null: RocksDB on the file system (medium.h).
};

// Where the state machine stands in the log.
struct AppliedPosition {
  uint64_t index = 0;
  uint64_t term = 0;

  friend bool operator==(const AppliedPosition&, const AppliedPosition&) = default;
};

struct LeaseRecord {
  LeaseId id;
  int64_t granted_ttl = 0;    // Seconds.
  int64_t remaining_ttl = 0;  // Seconds, as of the last checkpoint; 0: the full TTL.
  uint64_t grant_index = 0;   // Log index of the grant; tells one life of an id from the next.
};

// Which data directory a member keeps its promises in. One that is not there any more, or that was put back to an
// earlier day, does not know what the member has promised since.
struct DirectoryRecord {
  uint64_t id = 0;      // Chosen at random when it was made; 0: not said yet.
  uint64_t starts = 0;  // How many times a member has been started on it.

  friend bool operator==(const DirectoryRecord&, const DirectoryRecord&) = default;
};

// A member as the cluster knows it.
struct MemberRecord {
  uint64_t id = 0;
  std::string name;                      // Empty until it has started.
  std::vector<std::string> peer_urls;    // Sorted.
  std::vector<std::string> client_urls;  // Empty until it has started.
  bool learner = false;                  // From the membership; not stored a second time.
  // To the outside a voter, but the membership has it as a learner yet: it gets its vote when it has caught up, so that
  // no quorum ever has to wait for a member that was never started.
  bool awaits_vote = false;
  DirectoryRecord directory = {};  // As of its last start that the cluster was told of.

  friend bool operator==(const MemberRecord&, const MemberRecord&) = default;
};

// Who votes and who listens, as consensus needs it back after a restart. Member ids, ascending. The only place where
// that is kept: a snapshot's membership is read from here too.
struct StoredMembership {
  uint64_t index = 0;  // Log position of the entry that made it so.
  std::vector<uint64_t> voters;
  std::vector<uint64_t> outgoing_voters;  // Not empty: both majorities count (joint consensus).
  std::vector<uint64_t> learners;
  std::vector<uint64_t> next_learners;  // Outgoing voters that stay as learners.

  bool Contains(uint64_t id) const;
  bool IsLearner(uint64_t id) const;

  friend bool operator==(const StoredMembership&, const StoredMembership&) = default;
};

// How a cluster begins.
struct Founding {
  uint64_t cluster_id = 0;
  std::vector<MemberRecord> members;  // The learners among them have no vote.
};

struct StateSizes {
  int64_t allocated_bytes = 0;  // On disk, and in memory on the way there.
  int64_t in_use_bytes = 0;     // Estimate of what is live.
  int64_t live_keys = 0;
  int64_t index_bytes = 0;   // In memory.
  int64_t cached_bytes = 0;  // Of records, in memory.
  int64_t open_views = 0;
  int64_t compacted_records = 0;  // Removed by CompactStep since Open.
};

struct HashResult {
  uint32_t hash = 0;
  Revision hash_revision;
  Revision compact_revision;
};

class StateStore {
 public:
  // Opens or creates. kDataLoss: damaged, the message says what and what to do. kFailedPrecondition: in use by another
  // process, or of a format this version does not know.
  static absl::StatusOr<std::unique_ptr<StateStore>> Open(const StateOptions& options);
  virtual ~StateStore() = default;

  // --- First start only. Writes the cluster's identity and members as position {1, 1} and makes them durable. Not
  // {0, 0}: there a member stands that waits to be given all this by a snapshot, and must not be sent a log instead.
  // REQUIRES: !bootstrapped().
  virtual absl::Status Bootstrap(const Founding& founding) = 0;
  // False: this member has joined a running cluster and knows nothing of it yet.
  virtual bool bootstrapped() const = 0;
  // Makes the state another cluster's, keys, leases and position staying what they are: the members become
  // `founding`'s, nobody counts as removed, alarms end. Durable when it returns. Offline: while no batch is open.
  // REQUIRES: bootstrapped().
  virtual absl::Status Refound(const Founding& founding) = 0;

  // --- Facts.
  virtual uint64_t cluster_id() const = 0;
  virtual AppliedPosition applied() const = 0;
  // What a crash now would come back to. Never ahead of the disk.
  virtual AppliedPosition durable_applied() const = 0;
  virtual Revision current_revision() const = 0;
  virtual Revision compact_revision() const = 0;  // -1 before the first compaction.
  virtual StateSizes sizes() const = 0;
  virtual std::vector<MemberRecord> members() const = 0;  // By id, ascending.
  virtual StoredMembership membership() const = 0;
  virtual std::vector<uint64_t> removed_members() const = 0;  // Ids that never return; ascending.
  virtual std::vector<etcdserverpb::AlarmMember> alarms() const = 0;

  // --- Reads.

  // The keyspace as of now, fixed: later applies and compactions do not change what it shows. Cheap.
  virtual ReadView View() const = 0;

  // The bytes of mvccpb.KeyValue that `change` wrote. kNotFound when compacted away.
  virtual absl::StatusOr<std::shared_ptr<const std::string>> RecordAt(ChangeId change) const = 0;

  // Revisions from `first` on, ascending, whole, at most up to `last`, stopping after `bytes_max` (but never before
  // one). Empty: nothing there. kOutOfRange: `first` is below the compact revision.
  virtual absl::StatusOr<std::vector<RevisionEventsPtr>> History(Revision first, Revision last,
                                                                 size_t bytes_max) const = 0;

  virtual std::optional<LeaseRecord> Lease(LeaseId id) const = 0;
  virtual std::vector<LeaseRecord> Leases() const = 0;               // By id, ascending.
  virtual std::vector<std::string> LeaseKeys(LeaseId id) const = 0;  // Ascending.

  // Hash of the history up to `revision` (0: current), skipping what compaction removes, so that members agree whatever
  // their physical progress. kOutOfRange with the exact v3 texts for compacted and future revisions.
  virtual absl::StatusOr<HashResult> HashKv(Revision revision) const = 0;

  // The running hash after recent entries, ascending; the last one is the newest applied. Equal on all members at equal
  // indexes (hash_trail.h).
  virtual std::vector<HashSample> hash_samples() const = 0;

  // --- The apply thread.

  virtual ApplyBatch BeginBatch() = 0;

  // --- Background.

  // Removes history that compaction made unreachable: at most `revisions_max` of them in this call. True: more to do.
  // Resumes after a restart. By one thread.
  virtual absl::StatusOr<bool> CompactStep(int64_t revisions_max) = 0;
  // The revision up to which CompactStep has finished.
  virtual Revision compacted_physically() const = 0;

  // Writes a piece of the index file that makes the next start quick, when a new one is due. True: more to do. By the
  // thread that compacts. Not OK only when the database failed.
  virtual absl::StatusOr<bool> CheckpointIndexStep() = 0;

  // Makes everything applied so far durable; blocks.
  virtual absl::Status Flush() = 0;
  // Told on a RocksDB thread, after a flush, that durable_applied() may have moved. Must not block or write.
  virtual void SetFlushListener(std::function<void()> listener) = 0;

  // --- Snapshots.

  // A copy of the state as files in `dir` (which must not exist), by hard links where the file system has them. Returns
  // the position it stands for. Any thread but the apply thread's batch may run meanwhile.
  virtual absl::StatusOr<AppliedPosition> Checkpoint(const std::string& dir) = 0;
  // Switches to the state in `dir` (made by Checkpoint on some member and verified), which is moved away. Durable and
  // atomic: after a crash either the old or the new state is there. Views taken before keep showing the old state.
  virtual absl::Status Install(const std::string& dir) = 0;

  // Makes `revision` the current one and the compact one, without a change: nobody can have seen a later one, and all
  // who saw an earlier one are told that it is compacted. Durable when it returns. Offline: no batch is open, no view.
  // kInvalidArgument: it is not above the current one.
  virtual absl::Status AdvanceRevision(Revision revision) = 0;

  // Flushes and closes; writes the index file when the next start would take noticeable time without. No calls
  // afterwards.
  virtual absl::Status Close() = 0;
};

}  // namespace keel::storage
