#include "server/api/grpc_lock_service.h"

#include <utility>

#include "server/api/grpc_call.h"
#include "server/apply/request_check.h"

namespace keel::server {
namespace {

constexpr RpcName Name(const char* method) { return {"v3lockpb.Lock", method}; }

}  // namespace

grpc::ServerUnaryReactor* GrpcLockService::Lock(grpc::CallbackServerContext* context,
                                                const v3lockpb::LockRequest* request,
                                                v3lockpb::LockResponse* response) {
  auto* reactor = new PatientReactor(base_->member, Name("Lock"), *request, response);
  if (auto status = base_->admission->Admit(ReadCall(*context, *base_->member, RpcKind::kUnary)); !status.ok()) {
    reactor->End(status);
    return reactor;
  }
  if (auto status = base_->admission->AdmitBytes(QueueCost(request->name(), "", request->lease())); !status.ok()) {
    reactor->End(AsUnknown(status));
    return reactor;
  }
  reactor->SetPending(api_.Lock(*request, Answer(reactor, response)));
  return reactor;
}

grpc::ServerUnaryReactor* GrpcLockService::Unlock(grpc::CallbackServerContext* context,
                                                  const v3lockpb::UnlockRequest* request,
                                                  v3lockpb::UnlockResponse* response) {
  return ServeUnary(*base_->member, Name("Unlock"), context, *request, response, [&](const Call& call, Done done) {
    if (auto status = base_->admission->Admit(call); !status.ok()) return done(std::move(status));
    api_.Unlock(*request, Fill(response, std::move(done)));
  });
}

}  // namespace keel::server
