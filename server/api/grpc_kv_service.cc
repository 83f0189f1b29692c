#include "server/api/grpc_kv_service.h"

#include <atomic>
#include <memory>
#include <utility>

#include "server/api/grpc_call.h"
#include "server/api/grpc_stream.h"

namespace keel::server {
namespace {

using etcdserverpb::RangeStreamResponse;

constexpr RpcName Name(const char* method) { return {"etcdserverpb.KV", method}; }

// Takes one piece of the range at a time, when the one before has left.
class RangeStreamReactor final
    : public StreamReactor<grpc::ServerWriteReactor<RangeStreamResponse>, RangeStreamResponse> {
 public:
  RangeStreamReactor(const ApiBase& base, grpc::CallbackServerContext* context)
      : StreamReactor(base.member, base.monitor, context, Name("RangeStream"), RpcKind::kServerStream) {}

  void Start(const KvHandlers& handlers, Call call, const etcdserverpb::RangeRequest& request) {
    Open(call.requires_leader);
    call.cancelled = cancelled_;
    auto pager = handlers.RangeStream(call, request);
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
  std::shared_ptr<RangePager> pager_;
  bool last_ = false;  // The piece on its way is the last one.
};

}  // namespace

grpc::ServerUnaryReactor* GrpcKvService::Range(grpc::CallbackServerContext* context,
                                               const etcdserverpb::RangeRequest* request,
                                               etcdserverpb::RangeResponse* response) {
  return ServeUnary(*base_->member, Name("Range"), context, *request, response,
                    [&](const Call& call, Done done) { handlers_.Range(call, *request, response, std::move(done)); });
}

grpc::ServerWriteReactor<RangeStreamResponse>* GrpcKvService::RangeStream(grpc::CallbackServerContext* context,
                                                                          const etcdserverpb::RangeRequest* request) {
  auto reactor = std::make_shared<RangeStreamReactor>(*base_, context);
  reactor->Start(handlers_, ReadCall(*context, *base_->member), *request);
  return reactor.get();
}

grpc::ServerUnaryReactor* GrpcKvService::Put(grpc::CallbackServerContext* context,
                                             const etcdserverpb::PutRequest* request,
                                             etcdserverpb::PutResponse* response) {
  return ServeUnary(*base_->member, Name("Put"), context, *request, response,
                    [&](const Call& call, Done done) { handlers_.Put(call, *request, response, std::move(done)); });
}

grpc::ServerUnaryReactor* GrpcKvService::DeleteRange(grpc::CallbackServerContext* context,
                                                     const etcdserverpb::DeleteRangeRequest* request,
                                                     etcdserverpb::DeleteRangeResponse* response) {
  return ServeUnary(*base_->member, Name("DeleteRange"), context, *request, response, [&](const Call& call, Done done) {
    handlers_.DeleteRange(call, *request, response, std::move(done));
  });
}

grpc::ServerUnaryReactor* GrpcKvService::Txn(grpc::CallbackServerContext* context,
                                             const etcdserverpb::TxnRequest* request,
                                             etcdserverpb::TxnResponse* response) {
  return ServeUnary(*base_->member, Name("Txn"), context, *request, response,
                    [&](const Call& call, Done done) { handlers_.Txn(call, *request, response, std::move(done)); });
}

grpc::ServerUnaryReactor* GrpcKvService::Compact(grpc::CallbackServerContext* context,
                                                 const etcdserverpb::CompactionRequest* request,
                                                 etcdserverpb::CompactionResponse* response) {
  auto* reactor = new PatientReactor(base_->member, Name("Compact"), *request, response);
  Call call = ReadCall(*context, *base_->member);
  call.cancelled = reactor->cancelled();
  handlers_.Compact(call, *request, response, [reactor](const absl::Status& status) { reactor->End(status); });
  return reactor;
}

}  // namespace keel::server
