#include "server/api/grpc_maintenance_service.h"

#include <atomic>
#include <memory>
#include <utility>

#include "server/api/grpc_call.h"
#include "server/api/grpc_stream.h"

namespace keel::server {
namespace {

constexpr RpcName Name(const char* method) { return {"etcdserverpb.Maintenance", method}; }

// Takes one piece of the snapshot at a time, when the one before has left.
class SnapshotReactor final
    : public StreamReactor<grpc::ServerWriteReactor<etcdserverpb::SnapshotResponse>, etcdserverpb::SnapshotResponse> {
 public:
  SnapshotReactor(const ApiBase& base, grpc::CallbackServerContext* context)
      : StreamReactor(base.member, base.monitor, context, Name("Snapshot"), RpcKind::kServerStream) {}

  void Start(const MaintenanceHandlers& handlers, Call call, const etcdserverpb::SnapshotRequest& request) {
    Open(call.requires_leader);
    call.cancelled = cancelled_;
    auto pager = handlers.Snapshot(call, request);
    if (!pager.ok()) return End(pager.status());
    pager_ = *std::move(pager);
    SendNext();
  }

 private:
  void SendNext() {
    pager_->Next(&response_, [this, self = shared_from_this()](absl::StatusOr<bool> last) {
      if (!last.ok()) return End(last.status());
      last_ = *last;
      Send();
    });
  }
  void OnSent() override {
    if (last_) return End(absl::OkStatus());
    SendNext();
  }
  void OnEnding() override { cancelled_->store(true, std::memory_order_release); }

  const std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<SnapshotPager> pager_;
  bool last_ = false;  // The piece on its way is the last one.
};

}  // namespace

grpc::ServerUnaryReactor* GrpcMaintenanceService::Alarm(grpc::CallbackServerContext* context,
                                                        const etcdserverpb::AlarmRequest* request,
                                                        etcdserverpb::AlarmResponse* response) {
  return ServeUnary(*base_->member, Name("Alarm"), context, *request, response,
                    [&](const Call& call, Done done) { handlers_.Alarm(call, *request, response, std::move(done)); });
}

grpc::ServerUnaryReactor* GrpcMaintenanceService::Status(grpc::CallbackServerContext* context,
                                                         const etcdserverpb::StatusRequest* request,
                                                         etcdserverpb::StatusResponse* response) {
  return ServeUnary(*base_->member, Name("Status"), context, *request, response,
                    [&](const Call& call, Done done) { handlers_.Status(call, *request, response, std::move(done)); });
}

grpc::ServerUnaryReactor* GrpcMaintenanceService::Defragment(grpc::CallbackServerContext* context,
                                                             const etcdserverpb::DefragmentRequest* request,
                                                             etcdserverpb::DefragmentResponse* response) {
  return ServeUnary(*base_->member, Name("Defragment"), context, *request, response, [&](const Call& call, Done done) {
    handlers_.Defragment(call, *request, response, std::move(done));
  });
}

grpc::ServerUnaryReactor* GrpcMaintenanceService::Hash(grpc::CallbackServerContext* context,
                                                       const etcdserverpb::HashRequest* request,
                                                       etcdserverpb::HashResponse* response) {
  return ServeUnary(*base_->member, Name("Hash"), context, *request, response,
                    [&](const Call& call, Done done) { handlers_.Hash(call, *request, response, std::move(done)); });
}

grpc::ServerUnaryReactor* GrpcMaintenanceService::HashKV(grpc::CallbackServerContext* context,
                                                         const etcdserverpb::HashKVRequest* request,
                                                         etcdserverpb::HashKVResponse* response) {
  return ServeUnary(*base_->member, Name("HashKV"), context, *request, response,
                    [&](const Call& call, Done done) { handlers_.HashKV(call, *request, response, std::move(done)); });
}

grpc::ServerUnaryReactor* GrpcMaintenanceService::MoveLeader(grpc::CallbackServerContext* context,
                                                             const etcdserverpb::MoveLeaderRequest* request,
                                                             etcdserverpb::MoveLeaderResponse* response) {
  return ServeUnary(*base_->member, Name("MoveLeader"), context, *request, response, [&](const Call& call, Done done) {
    handlers_.MoveLeader(call, *request, response, std::move(done));
  });
}

grpc::ServerUnaryReactor* GrpcMaintenanceService::Downgrade(grpc::CallbackServerContext* context,
                                                            const etcdserverpb::DowngradeRequest* request,
                                                            etcdserverpb::DowngradeResponse* response) {
  return ServeUnary(*base_->member, Name("Downgrade"), context, *request, response, [&](const Call& call, Done done) {
    handlers_.Downgrade(call, *request, response, std::move(done));
  });
}

grpc::ServerWriteReactor<etcdserverpb::SnapshotResponse>* GrpcMaintenanceService::Snapshot(
    grpc::CallbackServerContext* context, const etcdserverpb::SnapshotRequest* request) {
  auto reactor = std::make_shared<SnapshotReactor>(*base_, context);
  reactor->Start(handlers_, ReadCall(*context, *base_->member, RpcKind::kServerStream), *request);
  return reactor.get();
}

}  // namespace keel::server
