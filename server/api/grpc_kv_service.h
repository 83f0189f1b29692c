#pragma once

#include "proto/etcdserver_kv.grpc.pb.h"
#include "server/api/kv_handlers.h"

namespace keel::server {

// etcdserverpb.KV over its handlers. `base` outlives it.
class GrpcKvService final : public etcdserverpb::KV::CallbackService {
 public:
  explicit GrpcKvService(const ApiBase* base) : base_(base), handlers_(base) {}

  grpc::ServerUnaryReactor* Range(grpc::CallbackServerContext* context, const etcdserverpb::RangeRequest* request,
                                  etcdserverpb::RangeResponse* response) override;
  grpc::ServerWriteReactor<etcdserverpb::RangeStreamResponse>* RangeStream(
      grpc::CallbackServerContext* context, const etcdserverpb::RangeRequest* request) override;
  grpc::ServerUnaryReactor* Put(grpc::CallbackServerContext* context, const etcdserverpb::PutRequest* request,
                                etcdserverpb::PutResponse* response) override;
  grpc::ServerUnaryReactor* DeleteRange(grpc::CallbackServerContext* context,
                                        const etcdserverpb::DeleteRangeRequest* request,
                                        etcdserverpb::DeleteRangeResponse* response) override;
  grpc::ServerUnaryReactor* Txn(grpc::CallbackServerContext* context, const etcdserverpb::TxnRequest* request,
                                etcdserverpb::TxnResponse* response) override;
  grpc::ServerUnaryReactor* Compact(grpc::CallbackServerContext* context,
                                    const etcdserverpb::CompactionRequest* request,
                                    etcdserverpb::CompactionResponse* response) override;

 private:
  const ApiBase* const base_;
  const KvHandlers handlers_;
};

}  // namespace keel::server
