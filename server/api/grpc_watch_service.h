#pragma once

#include "proto/etcdserver_watch.grpc.pb.h"
#include "server/api/api_base.h"

namespace keel::server {

// etcdserverpb.Watch over the watch hub. `base` and `senders`, which do the sending that the hub calls for, outlive it.
class GrpcWatchService final : public etcdserverpb::Watch::CallbackService {
 public:
  GrpcWatchService(const ApiBase* base, WorkerPool* senders) : base_(base), senders_(senders) {}

  grpc::ServerBidiReactor<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse>* Watch(
      grpc::CallbackServerContext* context) override;

 private:
  const ApiBase* const base_;
  WorkerPool* const senders_;
};

}  // namespace keel::server
