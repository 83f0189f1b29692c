#include "server/lock/lock_api.h"

#include <utility>

namespace keel::server {

std::shared_ptr<PendingCall> LockApi::Lock(const v3lockpb::LockRequest& request,
                                           absl::AnyInvocable<void(absl::StatusOr<v3lockpb::LockResponse>)> done) {
  return queue_->AwaitTurn({.prefix = request.name() + "/",
                            .lease = request.lease(),
                            .value = "",
                            .on_existing = TurnRequest::OnExisting::kKeepValue,
                            .gone_text = "mutex: session is expired"},
                           [member = member_, done = std::move(done)](absl::StatusOr<Turn> turn) mutable {
                             if (!turn.ok()) {
                               done(turn.status());
                               return;
                             }
                             v3lockpb::LockResponse response;
                             member->FillHeader(turn->confirmed_at.value(), response.mutable_header());
                             response.set_key(turn->key);
                             done(std::move(response));
                           });
}

void LockApi::Unlock(const v3lockpb::UnlockRequest& request,
                     absl::AnyInvocable<void(absl::StatusOr<v3lockpb::UnlockResponse>)> done) {
  if (request.key().empty()) {
    done(absl::UnknownError("etcdserver: key is not provided"));
    return;
  }
  command::Command command;
  command.mutable_delete_range()->set_key(request.key());
  member_->proposer->Submit(std::move(command), member_->clock->Now() + member_->limits.request_timeout,
                            [member = member_, done = std::move(done)](absl::StatusOr<ApplyResult> result) mutable {
                              const absl::Status status = result.ok() ? result->status : result.status();
                              if (!status.ok()) {
                                done(AsUnknown(status));
                                return;
                              }
                              v3lockpb::UnlockResponse response;
                              member->FillHeader(result->revision, response.mutable_header());
                              done(std::move(response));
                            });
}

}  // namespace keel::server
