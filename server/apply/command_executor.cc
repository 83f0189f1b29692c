#include "server/apply/command_executor.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "server/apply/request_check.h"

namespace keel::server {
namespace {

// Codes by which a request is answered. All others come from a broken store.
bool IsAnswer(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return true;
    default:
      return false;
  }
}

}  // namespace

CommandExecutor::CommandExecutor(const Options& options, const storage::StateStore* store)
    : options_(options), store_(store) {
  Reload();
}

void CommandExecutor::Reload() {
  alarms_.Reset(store_->alarms());
  measured_bytes_ = store_->sizes().in_use_bytes;
  written_bytes_ = 0;
}

absl::Status CommandExecutor::Execute(const command::Command& command, storage::AppliedPosition position,
                                      Response response, storage::ApplyBatch* batch, ApplyResult* result,
                                      ApplyEffects* effects) {
  if (command.body_case() == command::Command::BODY_NOT_SET) {
    // Skipping what a later version understands would let this member diverge in silence.
    return absl::FailedPreconditionError(absl::StrCat("entry ", position.index,
                                                      " carries a command that this version does not know; run the "
                                                      "version the rest of the cluster runs"));
  }
  Step step{.position = position,
            .wants_response = response == Response::kWanted,
            .batch = batch,
            .result = result,
            .effects = effects};
  absl::Status status = Dispatch(command, &step);
  result->revision = batch->revision().value();
  if (status.ok()) return status;
  // The gates' own answers come through result->status, so that a code of theirs is not taken for a broken store.
  if (!IsAnswer(status.code())) return status;
  result->status = std::move(status);
  result->response = std::monostate();
  return absl::OkStatus();
}

absl::Status CommandExecutor::Dispatch(const command::Command& command, Step* step) {
  using command::Command;
  switch (command.body_case()) {
    case Command::kPut:
      return Put(command.put(), step);
    case Command::kDeleteRange:
      return DeleteRange(command.delete_range(), step);
    case Command::kTxn:
      return Txn(command.txn(), step);
    case Command::kCompaction:
      return Compact(command.compaction(), step);
    case Command::kLeaseGrant:
      return LeaseGrant(command.lease_grant(), step);
    case Command::kLeaseRevoke:
      return LeaseRevoke(command.lease_revoke(), step);
    case Command::kLeaseExpire:
      return LeaseExpire(command.lease_expire(), step);
    case Command::kLeaseCheckpoint:
      return LeaseCheckpoint(command.lease_checkpoint(), step);
    case Command::kAlarm:
      return Alarm(command.alarm(), step);
    case Command::kMemberAttributes:
      return MemberAttributes(command.member_attributes(), step);
    case Command::BODY_NOT_SET:
      break;
  }
  return absl::InternalError("command body without an executor");
}

absl::Status CommandExecutor::Gate(int64_t cost) const {
  if (alarms_.raised().empty()) return absl::OkStatus();
  if (alarms_.IsRaised(etcdserverpb::CORRUPT)) return CorruptError();
  if (cost > 0 && alarms_.IsRaised(etcdserverpb::NOSPACE)) return NoSpaceError();
  return absl::OkStatus();
}

bool CommandExecutor::TakesOverQuota(int64_t cost) {
  if (cost <= 0) return false;
  bool over = QuotaExceeded(measured_bytes_ + written_bytes_, cost, options_.quota_bytes);
  if (over && !measured_in_batch_) {
    measured_in_batch_ = true;
    measured_bytes_ = store_->sizes().in_use_bytes;
    written_bytes_ = 0;
    over = QuotaExceeded(measured_bytes_, cost, options_.quota_bytes);
  }
  written_bytes_ += cost;
  return over;
}

}  // namespace keel::server
