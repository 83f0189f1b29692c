#pragma once

#include <memory>
#include <string>

#include "server/gateway/gateway_call.h"
#include "server/gateway/routes.h"
#include "server/http/http_handler.h"

namespace keel::server {

// One request, one answer. Kept alive by the completion it waits for.
class UnaryCall final : public GatewayCall, public std::enable_shared_from_this<UnaryCall> {
 public:
  using Done = absl::AnyInvocable<void(HttpResponse)>;

  UnaryCall(GatewayParts* parts, const Route* route, Done done)
      : parts_(*parts), route_(*route), done_(std::move(done)) {}

  // On a worker. `done` is called once, on a worker or, if the request is no good, before this returns.
  void Start(const CallHeaders& headers, std::string_view json);
  void Cancel() override { context_.TryCancel(); }

 private:
  void Answer(const grpc::Status& status);

  GatewayParts& parts_;
  const Route& route_;
  Done done_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
};

}  // namespace keel::server
