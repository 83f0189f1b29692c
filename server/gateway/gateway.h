#pragma once

// The v3 protocol as JSON over HTTP, under /v3/ (rpc.md section 5).

#include <grpcpp/channel.h>

#include <memory>

#include "server/http/http_handler.h"

namespace keel::server {

// Every call goes through a channel to the gRPC server of this process: the services, their checks, their limits and
// their metrics are the same for both kinds of clients, and there is nothing else that could decide differently. What
// the gateway adds is the mapping, and that is all it knows.
//
// Thread-safe. Answers only what IsGatewayPath.
class Gateway : public HttpHandler {
 public:
  struct Options {
    // Of the server of this process (grpc::Server::InProcessChannel), without limits on the size of messages: those are
    // the server's. A deadline or a disconnected client cancels a call; nothing is ever repeated.
    std::shared_ptr<grpc::Channel> channel;
    int json_threads = 2;
  };
  static std::unique_ptr<Gateway> Create(Options options);

  // Cancels open calls and waits for their end; later ones are refused with kUnavailable "etcdserver: server stopped".
  // Before the gRPC server shuts down. Idempotent, blocks.
  virtual void Stop() = 0;
};

}  // namespace keel::server
