#pragma once

#include <memory>

#include "proto/etcdserver_watch.grpc.pb.h"
#include "server/api/api_base.h"
#include "server/api/send_turns.h"

namespace keel::server {

// etcdserverpb.Watch over the watch hub, in bytes: the hub has them ready. `base` and `senders`, which do the sending
// that the hub calls for, outlive it.
class GrpcWatchService final : public etcdserverpb::Watch::WithRawCallbackMethod_Watch<etcdserverpb::Watch::Service> {
 public:
  GrpcWatchService(const ApiBase* base, WorkerPool* senders)
      : base_(base), senders_(senders), turns_(std::make_shared<SendTurns>(senders)) {}

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Watch(grpc::CallbackServerContext* context) override;

 private:
  const ApiBase* const base_;
  WorkerPool* const senders_;
  const std::shared_ptr<SendTurns> turns_;
};

}  // namespace keel::server
