#pragma once

// Executes one command inside an entry of an apply batch. What it does to the state depends on nothing but state,
// command and position, so every member comes to the same. (One answer is this member's own: a write that finds this
// member over its quota is carried out like everywhere, then reported as refused.)

#include <cstdint>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "proto/command.pb.h"
#include "server/apply/alarm_board.h"
#include "server/apply/apply_observer.h"
#include "server/apply/apply_result.h"
#include "storage/state/apply_batch.h"
#include "storage/state/state_store.h"

namespace keel::server {

// What the outside is told after the commit.
struct ApplyEffects {
  using LeaseChange = std::variant<storage::LeaseRecord, storage::LeaseId>;  // Granted, or revoked.

  std::vector<LeaseChange> leases;  // In order.
  bool over_quota = false;          // A write found this member over its quota.
  bool members = false;             // Who the members are, or what they say of themselves, has changed.
  OperationCounts operations;
};

// Owned by the apply thread.
class CommandExecutor {
 public:
  struct Options {
    int64_t quota_bytes = 0;  // As configured.
  };

  // The store outlives it.
  CommandExecutor(const Options& options, const storage::StateStore* store);

  // The state has been replaced.
  void Reload();
  // A new batch begins.
  void BeginBatch() { measured_in_batch_ = false; }

  enum class Response { kWanted, kUnread };

  // Inside BeginEntry/EndEntry of `batch`. `result->status` is the answer; an error returned means that this member
  // cannot go on.
  absl::Status Execute(const command::Command& command, storage::AppliedPosition position, Response response,
                       storage::ApplyBatch* batch, ApplyResult* result, ApplyEffects* effects);

  const AlarmBoard& alarms() const { return alarms_; }

 private:
  struct Step;

  // Each is the execution of one kind of command; an error is its answer or, by its code, fatal.
  absl::Status Dispatch(const command::Command& command, Step* step);
  // apply_kv.cc
  absl::Status Put(const etcdserverpb::PutRequest& request, Step* step);
  absl::Status DeleteRange(const etcdserverpb::DeleteRangeRequest& request, Step* step);
  absl::Status Txn(const etcdserverpb::TxnRequest& request, Step* step);
  absl::Status Compact(const etcdserverpb::CompactionRequest& request, Step* step);
  // apply_lease.cc
  absl::Status LeaseGrant(const etcdserverpb::LeaseGrantRequest& request, Step* step);
  absl::Status LeaseRevoke(const etcdserverpb::LeaseRevokeRequest& request, Step* step);
  absl::Status LeaseExpire(const command::LeaseExpire& expire, Step* step);
  absl::Status LeaseCheckpoint(const command::LeaseCheckpoint& checkpoint, Step* step);
  // apply_alarm.cc
  absl::Status Alarm(const etcdserverpb::AlarmRequest& request, Step* step);
  absl::Status MemberAttributes(const command::MemberAttributes& attributes, Step* step);
  // The CORRUPT and NOSPACE gates, in this order. `cost`: see QuotaCost; negative for what never adds bytes.
  absl::Status Gate(int64_t cost) const;
  // Counts `cost` bytes as written; true when that takes this member over its quota.
  bool TakesOverQuota(int64_t cost);

  const Options options_;
  const storage::StateStore* const store_;
  AlarmBoard alarms_;

  // In-use bytes when last measured, and the cost of what was written since: never less than the real use, so that the
  // store is asked again only when this says that the quota is reached, and then once a batch.
  int64_t measured_bytes_ = 0;
  int64_t written_bytes_ = 0;
  bool measured_in_batch_ = false;
};

// One command on its way.
struct CommandExecutor::Step {
  storage::AppliedPosition position;
  bool wants_response;
  storage::ApplyBatch* batch;
  ApplyResult* result;
  ApplyEffects* effects;
};

}  // namespace keel::server
