#pragma once

// The client port. Looks at the first bytes of each connection: an HTTP/2 preface goes to gRPC, anything else is served
// as HTTP/1.1 (docs/ARCHITECTURE.md, "One client port").

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/url.h"
#include "server/http/http_handler.h"

namespace grpc {
class ServerBuilder;
}

namespace keel::server {

class ClientListener {
 public:
  struct Options {
    std::vector<Url> listen;  // --listen-client-urls
    size_t http_body_bytes_max = 2u << 20;
    // Of all requests that are being read or answered, the small ones not counted. Beyond it a request is refused with
    // 503 before its body is read.
    size_t http_bodies_bytes_max = 256u << 20;
    size_t http_header_bytes_max = 64u << 10;
    absl::Duration first_bytes_timeout = absl::Seconds(10);   // A connection that says nothing is closed.
    absl::Duration http_request_timeout = absl::Seconds(30);  // From the first byte of a request to its last.
    // For a response, or one piece of a stream, to be taken; a second more for every 64 KiB of it.
    absl::Duration http_write_timeout = absl::Seconds(30);
    absl::Duration http_stream_write_timeout = absl::Minutes(5);
    absl::Duration http_idle_timeout = absl::Minutes(5);  // Between two requests.
    // Undecided and HTTP connections at once. Beside it, connections of any kind are closed at once when fewer than 150
    // descriptors are left to the process, so that the log and the peers can always open theirs.
    size_t connections_max = 10000;
  };

  // Binds, so that a port in use is known before anything else is done; accepts nothing yet. kUnavailable "listen tcp
  // ADDRESS: bind: address already in use" and the like.
  static absl::StatusOr<std::unique_ptr<ClientListener>> Bind(const Options& options);
  virtual ~ClientListener() = default;

  // Hands HTTP/2 connections to the server built from `builder`; before BuildAndStart.
  virtual void AttachGrpc(grpc::ServerBuilder* builder) = 0;
  // Starts accepting. The handler outlives the listener.
  virtual void Start(HttpHandler* handler) = 0;
  // Closes listeners and HTTP connections; gRPC's own go on. Idempotent, blocks.
  virtual void Stop() = 0;
  // Says the last word on every connection that was handed to gRPC: its clients see it end, which is Unavailable to
  // what they still wait for. Before the shutdown of gRPC's server, because that resets calls that cross its farewell,
  // and such a reset reads as if the client had cancelled.
  // REQUIRES: Stop() has returned.
  virtual void EndGrpcConnections() = 0;
  // What is really listened on (port 0 resolved).
  virtual std::vector<Url> addresses() const = 0;
};

}  // namespace keel::server
