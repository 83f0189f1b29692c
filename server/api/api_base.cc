#include "server/api/api_base.h"

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
  member.node->ReadIndex(call.deadline,
                         [call, done = std::move(done)](const absl::Status& status, raft::Index) mutable {
                           done(status.ok() ? absl::OkStatus() : ReadError(status, call));
                         });
}

}  // namespace keel::server
