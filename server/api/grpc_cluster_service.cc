#include "server/api/grpc_cluster_service.h"

#include <utility>

#include "server/api/grpc_call.h"

namespace keel::server {
namespace {

constexpr RpcName Name(const char* method) { return {"etcdserverpb.Cluster", method}; }

}  // namespace

grpc::ServerUnaryReactor* GrpcClusterService::MemberAdd(grpc::CallbackServerContext* context,
                                                        const etcdserverpb::MemberAddRequest* request,
                                                        etcdserverpb::MemberAddResponse* response) {
  return ServePatient(*base_->member, Name("MemberAdd"), context, *request, response, [&](const Call& call, Done done) {
    handlers_.MemberAdd(call, *request, response, std::move(done));
  });
}

grpc::ServerUnaryReactor* GrpcClusterService::MemberRemove(grpc::CallbackServerContext* context,
                                                           const etcdserverpb::MemberRemoveRequest* request,
                                                           etcdserverpb::MemberRemoveResponse* response) {
  return ServePatient(
      *base_->member, Name("MemberRemove"), context, *request, response,
      [&](const Call& call, Done done) { handlers_.MemberRemove(call, *request, response, std::move(done)); });
}

grpc::ServerUnaryReactor* GrpcClusterService::MemberUpdate(grpc::CallbackServerContext* context,
                                                           const etcdserverpb::MemberUpdateRequest* request,
                                                           etcdserverpb::MemberUpdateResponse* response) {
  return ServePatient(
      *base_->member, Name("MemberUpdate"), context, *request, response,
      [&](const Call& call, Done done) { handlers_.MemberUpdate(call, *request, response, std::move(done)); });
}

grpc::ServerUnaryReactor* GrpcClusterService::MemberList(grpc::CallbackServerContext* context,
                                                         const etcdserverpb::MemberListRequest* request,
                                                         etcdserverpb::MemberListResponse* response) {
  return ServeUnary(*base_->member, Name("MemberList"), context, *request, response, [&](const Call& call, Done done) {
    handlers_.MemberList(call, *request, response, std::move(done));
  });
}

grpc::ServerUnaryReactor* GrpcClusterService::MemberPromote(grpc::CallbackServerContext* context,
                                                            const etcdserverpb::MemberPromoteRequest* request,
                                                            etcdserverpb::MemberPromoteResponse* response) {
  return ServePatient(
      *base_->member, Name("MemberPromote"), context, *request, response,
      [&](const Call& call, Done done) { handlers_.MemberPromote(call, *request, response, std::move(done)); });
}

grpc::ServerUnaryReactor* GrpcKeelClusterService::MemberReplace(grpc::CallbackServerContext* context,
                                                                const api::MemberReplaceRequest* request,
                                                                api::MemberReplaceResponse* response) {
  return ServePatient(
      *base_->member, {"keel.api.Cluster", "MemberReplace"}, context, *request, response,
      [&](const Call& call, Done done) { handlers_.MemberReplace(call, *request, response, std::move(done)); });
}

}  // namespace keel::server
