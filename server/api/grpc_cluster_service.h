#pragma once

#include "proto/etcdserver_cluster.grpc.pb.h"
#include "proto/keel_cluster.grpc.pb.h"
#include "server/api/cluster_handlers.h"

namespace keel::server {

// etcdserverpb.Cluster over its handlers. `base` outlives it.
class GrpcClusterService final : public etcdserverpb::Cluster::CallbackService {
 public:
  explicit GrpcClusterService(const ApiBase* base) : base_(base), handlers_(base) {}

  grpc::ServerUnaryReactor* MemberAdd(grpc::CallbackServerContext* context,
                                      const etcdserverpb::MemberAddRequest* request,
                                      etcdserverpb::MemberAddResponse* response) override;
  grpc::ServerUnaryReactor* MemberRemove(grpc::CallbackServerContext* context,
                                         const etcdserverpb::MemberRemoveRequest* request,
                                         etcdserverpb::MemberRemoveResponse* response) override;
  grpc::ServerUnaryReactor* MemberUpdate(grpc::CallbackServerContext* context,
                                         const etcdserverpb::MemberUpdateRequest* request,
                                         etcdserverpb::MemberUpdateResponse* response) override;
  grpc::ServerUnaryReactor* MemberList(grpc::CallbackServerContext* context,
                                       const etcdserverpb::MemberListRequest* request,
                                       etcdserverpb::MemberListResponse* response) override;
  grpc::ServerUnaryReactor* MemberPromote(grpc::CallbackServerContext* context,
                                          const etcdserverpb::MemberPromoteRequest* request,
                                          etcdserverpb::MemberPromoteResponse* response) override;

 private:
  const ApiBase* const base_;
  const ClusterHandlers handlers_;
};

// Thread-safe.
class GrpcKeelClusterService final : public api::Cluster::CallbackService {
 public:
  explicit GrpcKeelClusterService(const ApiBase* base) : base_(base), handlers_(base) {}

  grpc::ServerUnaryReactor* MemberReplace(grpc::CallbackServerContext* context,
                                          const api::MemberReplaceRequest* request,
                                          api::MemberReplaceResponse* response) override;

 private:
  const ApiBase* const base_;
  const ClusterHandlers handlers_;
};

}  // namespace keel::server
