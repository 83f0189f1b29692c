#pragma once

// The KV service, free of any transport (rpc.md sections 2.2 to 2.7).

#include <memory>

#include "absl/status/statusor.h"
#include "proto/etcdserver_kv.pb.h"
#include "server/api/api_base.h"
#include "server/api/range_pager.h"
#include "server/api/wire_reply.h"

namespace keel::server {

// Thread-safe. Errors carry the exact code and text of the v3 protocol.
class KvHandlers {
 public:
  // `base` outlives it and every call.
  explicit KvHandlers(const ApiBase* base) : base_(base) {}

  // `reply` becomes the wire bytes of the response.
  void Range(const Call& call, const etcdserverpb::RangeRequest& request, WireReply* reply, Done done) const;
  // The stream's pieces; not OK: why there is no stream.
  absl::StatusOr<std::shared_ptr<RangePager>> RangeStream(const Call& call,
                                                          const etcdserverpb::RangeRequest& request) const;
  void Put(const Call& call, const etcdserverpb::PutRequest& request, etcdserverpb::PutResponse* response,
           Done done) const;
  void DeleteRange(const Call& call, const etcdserverpb::DeleteRangeRequest& request,
                   etcdserverpb::DeleteRangeResponse* response, Done done) const;
  void Txn(const Call& call, const etcdserverpb::TxnRequest& request, etcdserverpb::TxnResponse* response,
           Done done) const;
  // With `physical` it may take as long as the caller waits.
  void Compact(const Call& call, const etcdserverpb::CompactionRequest& request,
               etcdserverpb::CompactionResponse* response, Done done) const;

 private:
  const ApiBase* const base_;
};

}  // namespace keel::server
