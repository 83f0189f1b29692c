#pragma once

// What all calls of the gateway have in common, and the list of those that are open.

#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>

#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/gateway/call_headers.h"
#include "server/gateway/json_codec.h"

namespace keel::server {

class GatewayCall {
 public:
  virtual ~GatewayCall() = default;
  // Ends the call soon, with whatever it has. Thread-safe, idempotent, does not block.
  virtual void Cancel() = 0;
};

// Thread-safe.
class OpenCalls {
 public:
  // False: stopped, the call must not begin.
  bool Add(GatewayCall* call, std::weak_ptr<GatewayCall> weak);
  void Remove(GatewayCall* call);
  // Cancels all and waits until they have ended. Idempotent.
  void Stop();

 private:
  absl::Mutex mu_;
  absl::flat_hash_map<GatewayCall*, std::weak_ptr<GatewayCall>> calls_ ABSL_GUARDED_BY(mu_);
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

// What calls borrow from the gateway, which outlives them.
struct GatewayParts {
  explicit GatewayParts(int json_threads) : workers(static_cast<size_t>(json_threads)) {}

  JsonCodec codec;
  std::unique_ptr<grpc::GenericStub> stub;
  OpenCalls open;
  // Where JSON is read and written: that takes longer than the threads of sockets and calls may be away. The queue
  // needs no bound of its own: a connection has one request at a time.
  boost::asio::thread_pool workers;
};

// kDeadlineExceeded when it is too late to begin: gRPC might still answer such a call, or not.
absl::Status SetHeaders(const CallHeaders& headers, grpc::ClientContext* context);

// The status as its server meant it.
absl::Status StatusOf(const grpc::Status& status);

grpc::ByteBuffer ToBuffer(const std::string& wire);
absl::StatusOr<std::string> FromBuffer(const grpc::ByteBuffer& buffer);

absl::Status GatewayStopped();

}  // namespace keel::server
