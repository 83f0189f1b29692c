#pragma once

// How a gRPC call looks to a handler, and how a handler's answer goes back.

#include <google/protobuf/message_lite.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/grpc_status.h"
#include "server/api/call.h"
#include "server/lock/pending_call.h"
#include "server/member.h"
#include "server/metrics.h"

namespace keel::server {

// Deadline and metadata of `context`; `cancelled` is left null. Counts the call: once for each.
Call ReadCall(const grpc::CallbackServerContext& context, const Member& member, RpcKind kind);

// An RPC's name as metrics know it; string literals.
struct RpcName {
  const char* service;  // "etcdserverpb.KV"
  const char* method;   // "Put"
};

// Sizes on the wire, of messages and of what is sent as bytes.
inline size_t WireBytes(const google::protobuf::MessageLite& message) { return message.ByteSizeLong(); }
inline size_t WireBytes(const grpc::ByteBuffer& bytes) { return bytes.Length(); }
// The same of a message that has just been written.
inline size_t WrittenBytes(const google::protobuf::MessageLite& message) {
  return static_cast<size_t>(message.GetCachedSize());
}
inline size_t WrittenBytes(const grpc::ByteBuffer& bytes) { return bytes.Length(); }

// Counts one RPC from its construction to Handled(). Thread-compatible.
class RpcRecord {
 public:
  RpcRecord(const Member* member, RpcName name, RpcKind kind);
  // One message, by its size on the wire.
  void Received(size_t bytes);
  void Sent(size_t bytes);
  void Handled(const absl::Status& status);

 private:
  const Member* member_;
  RpcName name_;
  RpcKind kind_;
  absl::Time started_;
};

// Serves a unary call that ends by itself within the server's request timeout: handle(call, done). The reactor is
// gRPC's own, which costs no allocation; a client that has gone is not listened to, the answer goes nowhere.
template <typename Request, typename Response, typename Handle>
grpc::ServerUnaryReactor* ServeUnary(const Member& member, RpcName name, grpc::CallbackServerContext* context,
                                     const Request& request, const Response* response, Handle handle) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  RpcRecord record(&member, name, RpcKind::kUnary);
  record.Received(WireBytes(request));
  handle(ReadCall(*context, member, RpcKind::kUnary),
         Done([reactor, record, response](const absl::Status& status) mutable {
           if (status.ok()) record.Sent(WireBytes(*response));
           record.Handled(status);
           reactor->Finish(ToGrpc(status));
         }));
  return reactor;
}

// A completion with a value as one that fills `response`.
template <typename Response>
absl::AnyInvocable<void(absl::StatusOr<Response>)> Fill(Response* response, Done done) {
  return [response, done = std::move(done)](absl::StatusOr<Response> result) mutable {
    if (!result.ok()) return done(std::move(result).status());
    *response = *std::move(result);
    done(absl::OkStatus());
  };
}

// A unary call that may last as long as its caller waits: the client's leaving reaches the handler. Owns itself.
class PatientReactor final : public grpc::ServerUnaryReactor {
 public:
  PatientReactor(const Member* member, RpcName name, const google::protobuf::MessageLite& request,
                 const google::protobuf::MessageLite* response)
      : record_(member, name, RpcKind::kUnary), response_(response) {
    record_.Received(request.ByteSizeLong());
  }

  // Turns true when the client has gone.
  std::shared_ptr<const std::atomic<bool>> cancelled() const { return cancelled_; }
  // To be cancelled when the client goes, or at once when it has.
  void SetPending(std::shared_ptr<PendingCall> pending);
  void End(const absl::Status& status);

 private:
  void OnCancel() override;
  void OnDone() override { delete this; }

  RpcRecord record_;
  const google::protobuf::MessageLite* const response_;
  const std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
  absl::Mutex mu_;
  std::shared_ptr<PendingCall> pending_ ABSL_GUARDED_BY(mu_);
};

// Serves a unary call that may last as long as its caller waits, and whose handler looks at Call::cancelled:
// handle(call, done).
template <typename Handle>
grpc::ServerUnaryReactor* ServePatient(const Member& member, RpcName name, grpc::CallbackServerContext* context,
                                       const google::protobuf::MessageLite& request,
                                       const google::protobuf::MessageLite* response, Handle handle) {
  auto* reactor = new PatientReactor(&member, name, request, response);
  Call call = ReadCall(*context, member, RpcKind::kUnary);
  call.cancelled = reactor->cancelled();
  handle(call, Done([reactor](const absl::Status& status) { reactor->End(status); }));
  return reactor;
}

template <typename Response>
absl::AnyInvocable<void(absl::StatusOr<Response>)> Answer(PatientReactor* reactor, Response* response) {
  return Fill(response, [reactor](const absl::Status& status) { reactor->End(status); });
}

}  // namespace keel::server
