#include "server/api/api_base.h"

#include "server/metrics.h"

namespace keel::server {

absl::Status ReadError(const absl::Status& status, const Call& call) {
  if (absl::IsDeadlineExceeded(status)) {
    if (call.deadline >= call.client_deadline) return absl::DeadlineExceededError("context deadline exceeded");
    return absl::UnavailableError("etcdserver: request timed out");
  }
  if (absl::IsUnavailable(status)) return absl::UnavailableError("etcdserver: server stopped");
  return status;
}

void AwaitReadable(const Member& member, const Call& call, Done done) {
  const absl::Time asked = member.metrics == nullptr ? absl::Time() : member.clock->Now();
  member.node->ReadIndex(
      call.deadline, [call, &member, asked, done = std::move(done)](const absl::Status& status, raft::Index) mutable {
        if (member.metrics != nullptr) {
          member.metrics->ReadIndexEnded(status.ok(), member.clock->Now() - asked);
        }
        done(status.ok() ? absl::OkStatus() : ReadError(status, call));
      });
}

}  // namespace keel::server
