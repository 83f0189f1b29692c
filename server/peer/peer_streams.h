#pragma once

#include <memory>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "base/url.h"
#include "server/net/acceptor.h"
#include "server/net/listen_socket.h"
#include "server/peer/peer_io.h"
#include "server/peer/peer_service.h"
#include "server/peer/stream_connection.h"

namespace grpc {
class ServerBuilder;
namespace experimental {
class ExternalConnectionAcceptor;
}
}  // namespace grpc

namespace keel::server {

// The peer port: accepts every connection, serves those that a peer's link has made for its stream of Raft messages,
// and hands all others to gRPC, which serves the same stream, too, and everything else.
//
// Everything runs on the I/O thread but for the construction and Stop().
class PeerStreams {
 public:
  // All outlive this.
  PeerStreams(PeerIo* io, PeerService* service, size_t message_bytes_max);
  // REQUIRES: stopped, or never started.
  ~PeerStreams();

  // Binds. kUnavailable "listen tcp ADDRESS: bind: address already in use" and the like.
  absl::Status Bind(const std::vector<Url>& urls);
  // Before BuildAndStart.
  void AttachGrpc(grpc::ServerBuilder* builder);
  void Start();
  // Closes the listeners and the connections, but for those that gRPC has. Idempotent, blocks; not from the I/O thread.
  void Stop();

 private:
  class Arrival;
  class Session;

  void OnAccepted(int fd, int family);
  void OnFirstBytes(Arrival* arrival);
  void Forget(Arrival* arrival);

  PeerIo& io_;
  PeerService& service_;
  const size_t message_bytes_max_;
  std::vector<ListenSocket> bound_;  // Until they have an acceptor.
  std::vector<std::unique_ptr<Acceptor>> acceptors_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> grpc_;
  std::set<std::shared_ptr<Arrival>> arrivals_;
  std::set<std::shared_ptr<Session>> sessions_;
  bool stopped_ = false;  // The caller of Stop()'s.
};

}  // namespace keel::server
