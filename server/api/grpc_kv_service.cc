#include "server/api/grpc_kv_service.h"

#include <atomic>
#include <memory>
#include <utility>

#include "server/api/grpc_call.h"
#include "server/api/grpc_reply.h"
#include "server/api/grpc_stream.h"

namespace keel::server {
namespace {

using etcdserverpb::RangeRequest;

constexpr RpcName Name(const char* method) { return {"etcdserverpb.KV", method}; }

// What a client sent where a RangeRequest belongs.
absl::Status ParseRange(const grpc::ByteBuffer& bytes, RangeRequest* request) {
  grpc::ByteBuffer taken = bytes;  // Parsing uses it up; the bytes themselves are shared.
  const grpc::Status status = grpc::SerializationTraits<RangeRequest>::Deserialize(&taken, request);
  return status.ok() ? absl::OkStatus() : absl::InternalError("the request is not a RangeRequest");
}

// Takes one piece of the range at a time, when the one before has left.
class RangeStreamReactor final : public StreamReactor<grpc::ServerWriteReactor<grpc::ByteBuffer>, grpc::ByteBuffer> {
 public:
  RangeStreamReactor(const ApiBase& base, grpc::CallbackServerContext* context)
      : StreamReactor(base.member, base.monitor, context, Name("RangeStream"), RpcKind::kServerStream) {}

  void Start(const KvHandlers& handlers, Call call, const grpc::ByteBuffer& bytes) {
    Open(call.requires_leader);
    call.cancelled = cancelled_;
    RangeRequest request;
    if (absl::Status status = ParseRange(bytes, &request); !status.ok()) return End(std::move(status));
    auto pager = handlers.RangeStream(call, request);
    if (!pager.ok()) return End(pager.status());
    pager_ = *std::move(pager);
    SendNext();
  }

 private:
  void SendNext() {
    pager_->Next([this, self = shared_from_this()](absl::StatusOr<RangePager::Piece> piece) {
      if (!piece.ok()) return End(piece.status());
      last_ = piece->last;
      response_ = ToByteBuffer(std::move(piece->reply));
      Send();
    });
  }
  void OnSent() override {
    response_.Clear();
    if (last_) return End(absl::OkStatus());
    SendNext();
  }
  void OnEnding() override { cancelled_->store(true, std::memory_order_release); }

  const std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<RangePager> pager_;
  bool last_ = false;  // The piece on its way is the last one.
};

// Lives as long as its call.
struct RangeCall {
  RangeRequest request;
  WireReply reply;
};

}  // namespace

grpc::ServerUnaryReactor* GrpcKvService::Range(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                               grpc::ByteBuffer* response) {
  return ServeUnary(*base_->member, Name("Range"), context, *request, response, [&](const Call& call, Done done) {
    auto range = std::make_unique<RangeCall>();
    if (auto status = ParseRange(*request, &range->request); !status.ok()) return done(std::move(status));
    RangeCall* const running = range.get();
    handlers_.Range(call, running->request, &running->reply,
                    [range = std::move(range), response, done = std::move(done)](absl::Status status) mutable {
                      if (status.ok()) *response = ToByteBuffer(std::move(range->reply));
                      done(std::move(status));
                    });
  });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* GrpcKvService::RangeStream(grpc::CallbackServerContext* context,
                                                                       const grpc::ByteBuffer* request) {
  auto reactor = std::make_shared<RangeStreamReactor>(*base_, context);
  reactor->Start(handlers_, ReadCall(*context, *base_->member, RpcKind::kServerStream), *request);
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
  return ServePatient(*base_->member, Name("Compact"), context, *request, response, [&](const Call& call, Done done) {
    handlers_.Compact(call, *request, response, std::move(done));
  });
}

}  // namespace keel::server
