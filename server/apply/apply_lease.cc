// The commands that change leases, those of clients and those of the leader's lease keeper.

#include <optional>
#include <utility>

#include "base/log.h"
#include "base/status_macros.h"
#include "server/apply/command_executor.h"
#include "server/apply/request_check.h"

namespace keel::server {
namespace {

// A leader's opinion about deadlines counts in its own term only. It may have been proposed by a leader that has been
// replaced meanwhile, and be committed by its successor, which has renewed the lease since.
absl::Status FormerLeader() { return absl::FailedPreconditionError("proposed by a former leader"); }

}  // namespace

absl::Status CommandExecutor::LeaseGrant(const etcdserverpb::LeaseGrantRequest& request, Step* step) {
  const int64_t cost = QuotaCost(request);
  if (step->result->status = Gate(cost); !step->result->status.ok()) return absl::OkStatus();
  // Chosen before proposing; 0 would mean "no lease" wherever it is used.
  if (request.id() == 0) return absl::NotFoundError("etcdserver: requested lease not found");
  KEEL_RETURN_IF_ERROR(CheckLeaseGrant(request));
  const storage::LeaseId id{request.id()};
  KEEL_RETURN_IF_ERROR(step->batch->LeaseGrant(id, request.ttl()));
  const std::optional<storage::LeaseRecord> lease = step->batch->Lease(id);
  if (!lease.has_value()) return absl::InternalError("a lease just granted is not there");
  step->effects->leases.emplace_back(*lease);
  if (TakesOverQuota(cost)) {
    step->effects->over_quota = true;
    step->result->status = NoSpaceError();
  } else if (step->wants_response) {
    etcdserverpb::LeaseGrantResponse response;
    response.set_id(request.id());
    response.set_ttl(request.ttl());
    step->result->response = std::move(response);
  }
  return absl::OkStatus();
}

absl::Status CommandExecutor::LeaseRevoke(const etcdserverpb::LeaseRevokeRequest& request, Step* step) {
  if (step->result->status = Gate(-1); !step->result->status.ok()) return absl::OkStatus();
  const storage::LeaseId id{request.id()};
  KEEL_RETURN_IF_ERROR(step->batch->LeaseRevoke(id));
  step->effects->leases.emplace_back(id);
  if (step->wants_response) step->result->response = etcdserverpb::LeaseRevokeResponse();
  return absl::OkStatus();
}

absl::Status CommandExecutor::LeaseExpire(const command::LeaseExpire& expire, Step* step) {
  if (step->result->status = Gate(-1); !step->result->status.ok()) return absl::OkStatus();
  if (expire.term() != step->position.term) return FormerLeader();
  for (const command::LeaseExpire::Item& item : expire.leases()) {
    const storage::LeaseId id{item.id()};
    const std::optional<storage::LeaseRecord> lease = step->batch->Lease(id);
    // Revoked, or granted anew, since the leader looked.
    if (!lease.has_value() || lease->grant_index != item.grant_index()) continue;
    KEEL_RETURN_IF_ERROR(step->batch->LeaseRevoke(id));
    step->effects->leases.emplace_back(id);
    ++step->effects->operations.leases_expired;
    KEEL_LOG_DEBUG("lease expired", {{"lease", id}, {"index", step->position.index}});
  }
  return absl::OkStatus();
}

absl::Status CommandExecutor::LeaseCheckpoint(const command::LeaseCheckpoint& checkpoint, Step* step) {
  if (checkpoint.term() != step->position.term) return FormerLeader();
  for (const command::LeaseCheckpoint::Item& item : checkpoint.leases()) {
    step->batch->LeaseCheckpoint(storage::LeaseId{item.id()}, item.remaining_ttl());
  }
  return absl::OkStatus();
}

}  // namespace keel::server
