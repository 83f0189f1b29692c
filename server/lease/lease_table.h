#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "storage/revision.h"
#include "storage/state/state_store.h"

namespace keel::server {

// The deadlines of all leases, as the leader keeps them. Pure: every decision takes `now`, which is monotonic.
//
// An expired lease stays in the table, and stays expired, until it is removed: from the moment somebody could have been
// told that it is gone, no renewal brings it back.
//
// Thread-compatible.
class LeaseTable {
 public:
  // Remaining TTLs are worth recording for leases longer than `checkpoint_interval`, and this often; zero: never.
  explicit LeaseTable(absl::Duration checkpoint_interval) : checkpoint_interval_(checkpoint_interval) {}

  void Clear();
  // Of tables with the same checkpoint interval.
  void Swap(LeaseTable* other);

  // A lease that has just been granted. Of the same life (grant_index) as one that is there: no effect.
  void Grant(const storage::LeaseRecord& lease, absl::Time now);
  // A lease that this member inherits by becoming leader: it may have been renewed up to now, so it gets all that may
  // be left of it and `grace` on top.
  void Inherit(const storage::LeaseRecord& lease, absl::Time now, absl::Duration grace);
  void Remove(storage::LeaseId id);

  enum class Renewal {
    kRenewed,
    // Renewed, but a remaining TTL stands (or may stand) in the log. It must be taken back there before the holder may
    // rely on the full TTL.
    kCheckpointed,
    kExpired,  // Its end is on the way.
    kUnknown,
  };
  // `ttl` is the full TTL in seconds when it is renewed.
  Renewal Renew(storage::LeaseId id, absl::Time now, int64_t* ttl);
  // The log holds no remaining TTL for this life of the lease any more, as of a command proposed after the last
  // Checkpoints() that named it.
  void CheckpointCleared(storage::LeaseId id, uint64_t grant_index, uint64_t checkpoint);

  struct Facts {
    absl::Duration remaining;  // Not below zero.
    int64_t granted_ttl = 0;   // Seconds.
    uint64_t grant_index = 0;
    uint64_t checkpoint = 0;  // Which checkpoint of the lease stands; 0: none.
  };
  std::optional<Facts> Find(storage::LeaseId id, absl::Time now) const;

  struct Expired {
    storage::LeaseId id;
    uint64_t grant_index = 0;
  };
  // Those past their deadline, the longest overdue first, at most `max`.
  std::vector<Expired> FindExpired(absl::Time now, size_t max) const;

  struct Checkpoint {
    storage::LeaseId id;
    int64_t remaining_ttl = 0;  // Seconds, rounded up.
  };
  // What is due to be recorded, at most `max`; each is due again an interval later.
  std::vector<Checkpoint> TakeCheckpoints(absl::Time now, size_t max);

  // By remaining time, soonest first.
  std::vector<storage::LeaseId> ByDeadline() const;
  size_t size() const { return leases_.size(); }
  absl::Time first_deadline() const {
    return by_deadline_.empty() ? absl::InfiniteFuture() : by_deadline_.begin()->first;
  }

 private:
  struct Lease {
    int64_t granted_ttl = 0;
    uint64_t grant_index = 0;
    absl::Time deadline;
    absl::Time next_checkpoint = absl::InfiniteFuture();
    uint64_t checkpoint = 0;
  };
  using Schedule = std::set<std::pair<absl::Time, storage::LeaseId>>;

  void Insert(const storage::LeaseRecord& lease, absl::Time now, absl::Duration lifetime);
  void ScheduleCheckpoint(storage::LeaseId id, Lease* lease, absl::Time at);

  const absl::Duration checkpoint_interval_;
  absl::flat_hash_map<storage::LeaseId, Lease> leases_;
  Schedule by_deadline_;
  Schedule by_checkpoint_;
  uint64_t last_checkpoint_ = 0;
};

}  // namespace keel::server
