#include "server/lease/lease_table.h"

#include <algorithm>

namespace keel::server {

void LeaseTable::Clear() {
  leases_.clear();
  by_deadline_.clear();
  by_checkpoint_.clear();
}

void LeaseTable::Swap(LeaseTable* other) {
  leases_.swap(other->leases_);
  by_deadline_.swap(other->by_deadline_);
  by_checkpoint_.swap(other->by_checkpoint_);
  std::swap(last_checkpoint_, other->last_checkpoint_);
}

void LeaseTable::Grant(const storage::LeaseRecord& lease, absl::Time now) {
  Insert(lease, now, absl::Seconds(lease.granted_ttl));
}

void LeaseTable::Inherit(const storage::LeaseRecord& lease, absl::Time now, absl::Duration grace) {
  const int64_t left = lease.remaining_ttl > 0 ? lease.remaining_ttl : lease.granted_ttl;
  Insert(lease, now, absl::Seconds(left) + grace);
}

void LeaseTable::Insert(const storage::LeaseRecord& lease, absl::Time now, absl::Duration lifetime) {
  if (auto it = leases_.find(lease.id); it != leases_.end()) {
    if (it->second.grant_index == lease.grant_index) return;
    Remove(lease.id);
  }
  Lease& entry = leases_[lease.id];
  entry.granted_ttl = lease.granted_ttl;
  entry.grant_index = lease.grant_index;
  entry.deadline = now + lifetime;
  if (lease.remaining_ttl > 0) entry.checkpoint = ++last_checkpoint_;
  by_deadline_.emplace(entry.deadline, lease.id);
  if (checkpoint_interval_ > absl::ZeroDuration() && lifetime > checkpoint_interval_) {
    ScheduleCheckpoint(lease.id, &entry, now + checkpoint_interval_);
  }
}

void LeaseTable::Remove(storage::LeaseId id) {
  auto it = leases_.find(id);
  if (it == leases_.end()) return;
  by_deadline_.erase({it->second.deadline, id});
  by_checkpoint_.erase({it->second.next_checkpoint, id});
  leases_.erase(it);
}

LeaseTable::Renewal LeaseTable::Renew(storage::LeaseId id, absl::Time now, int64_t* ttl) {
  auto it = leases_.find(id);
  if (it == leases_.end()) return Renewal::kUnknown;
  Lease& lease = it->second;
  if (lease.deadline <= now) return Renewal::kExpired;
  *ttl = lease.granted_ttl;
  // An inherited lease may have more left than its TTL; a renewal never takes time away.
  const absl::Time deadline = std::max(lease.deadline, now + absl::Seconds(lease.granted_ttl));
  by_deadline_.erase({lease.deadline, id});
  lease.deadline = deadline;
  by_deadline_.emplace(deadline, id);
  if (checkpoint_interval_ > absl::ZeroDuration() && absl::Seconds(lease.granted_ttl) > checkpoint_interval_) {
    ScheduleCheckpoint(id, &lease, now + checkpoint_interval_);
  }
  return lease.checkpoint != 0 ? Renewal::kCheckpointed : Renewal::kRenewed;
}

void LeaseTable::CheckpointCleared(storage::LeaseId id, uint64_t grant_index, uint64_t checkpoint) {
  auto it = leases_.find(id);
  if (it == leases_.end() || it->second.grant_index != grant_index) return;
  if (it->second.checkpoint == checkpoint) it->second.checkpoint = 0;
}

std::optional<LeaseTable::Facts> LeaseTable::Find(storage::LeaseId id, absl::Time now) const {
  auto it = leases_.find(id);
  if (it == leases_.end()) return std::nullopt;
  return Facts{.remaining = std::max(it->second.deadline - now, absl::ZeroDuration()),
               .granted_ttl = it->second.granted_ttl,
               .grant_index = it->second.grant_index,
               .checkpoint = it->second.checkpoint};
}

std::vector<LeaseTable::Expired> LeaseTable::FindExpired(absl::Time now, size_t max) const {
  std::vector<Expired> expired;
  for (const auto& [deadline, id] : by_deadline_) {
    if (deadline > now || expired.size() == max) break;
    expired.push_back({.id = id, .grant_index = leases_.at(id).grant_index});
  }
  return expired;
}

std::vector<LeaseTable::Checkpoint> LeaseTable::TakeCheckpoints(absl::Time now, size_t max) {
  std::vector<Checkpoint> due;
  while (!by_checkpoint_.empty() && by_checkpoint_.begin()->first <= now && due.size() < max) {
    const storage::LeaseId id = by_checkpoint_.begin()->second;
    Lease& lease = leases_.at(id);
    const absl::Duration remaining = lease.deadline - now;
    ScheduleCheckpoint(id, &lease,
                       remaining > checkpoint_interval_ ? now + checkpoint_interval_ : absl::InfiniteFuture());
    // Rounded up: a successor must not end it early. An inherited lease may have more than its TTL left, which is what
    // no checkpoint says.
    const int64_t seconds = absl::ToInt64Seconds(absl::Ceil(remaining, absl::Seconds(1)));
    if (seconds <= 0 || seconds >= lease.granted_ttl) continue;
    // Counted from now on, applied or not: the proposal is on its way and may overtake a renewal.
    lease.checkpoint = ++last_checkpoint_;
    due.push_back({.id = id, .remaining_ttl = seconds});
  }
  return due;
}

std::vector<storage::LeaseId> LeaseTable::ByDeadline() const {
  std::vector<storage::LeaseId> ids;
  ids.reserve(by_deadline_.size());
  for (const auto& [deadline, id] : by_deadline_) ids.push_back(id);
  return ids;
}

void LeaseTable::ScheduleCheckpoint(storage::LeaseId id, Lease* lease, absl::Time at) {
  by_checkpoint_.erase({lease->next_checkpoint, id});
  lease->next_checkpoint = at;
  if (at != absl::InfiniteFuture()) by_checkpoint_.emplace(at, id);
}

}  // namespace keel::server
