#pragma once

#include "proto/lock.grpc.pb.h"
#include "server/api/api_base.h"
#include "server/lock/lock_api.h"

namespace keel::server {

// v3lockpb.Lock over LockApi. `base` and `queue` outlive it.
class GrpcLockService final : public v3lockpb::Lock::CallbackService {
 public:
  GrpcLockService(const ApiBase* base, OwnershipQueue* queue) : base_(base), api_(base->member, queue) {}

  grpc::ServerUnaryReactor* Lock(grpc::CallbackServerContext* context, const v3lockpb::LockRequest* request,
                                 v3lockpb::LockResponse* response) override;
  grpc::ServerUnaryReactor* Unlock(grpc::CallbackServerContext* context, const v3lockpb::UnlockRequest* request,
                                   v3lockpb::UnlockResponse* response) override;

 private:
  const ApiBase* const base_;
  LockApi api_;
};

}  // namespace keel::server
