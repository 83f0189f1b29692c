#pragma once

// The Lock service (rpc.md section 2.13), free of any transport: first come, first served on a name.

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/lock.pb.h"
#include "server/lock/ownership_queue.h"
#include "server/lock/pending_call.h"
#include "server/member.h"

namespace keel::server {

// Thread-safe. Completions run once each, on an unspecified thread, and must not block. Response headers are complete.
// Errors from below come as kUnknown with their own text; also kUnknown "mutex: session is expired"; kCancelled
// "context canceled" after Cancel(); kUnavailable "etcdserver: server stopped" after the queue's Stop().
class LockApi {
 public:
  // Both outlive it, and it outlives nothing: its calls belong to the queue.
  LockApi(const Member* member, OwnershipQueue* queue) : member_(member), queue_(queue) {}

  // Waits until the lock is held. The handle may be dropped; only Cancel() ends the wait early.
  std::shared_ptr<PendingCall> Lock(const v3lockpb::LockRequest& request,
                                    absl::AnyInvocable<void(absl::StatusOr<v3lockpb::LockResponse>)> done);

  void Unlock(const v3lockpb::UnlockRequest& request,
              absl::AnyInvocable<void(absl::StatusOr<v3lockpb::UnlockResponse>)> done);

 private:
  const Member* member_;
  OwnershipQueue* queue_;
};

}  // namespace keel::server
