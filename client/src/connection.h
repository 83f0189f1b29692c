#pragma once

// Endpoints and the channels to them.

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/url.h"
#include "keel/options.h"
#include "proto/etcdserver_cluster.grpc.pb.h"
#include "proto/etcdserver_kv.grpc.pb.h"
#include "proto/etcdserver_lease.grpc.pb.h"
#include "proto/etcdserver_maintenance.grpc.pb.h"
#include "proto/etcdserver_watch.grpc.pb.h"

namespace keel::client {

// One channel, that is one TCP connection at a time, and the services on it. Immutable; thread-safe.
struct Connection {
  std::shared_ptr<grpc::Channel> channel;
  grpc::CompletionQueue* queue = nullptr;  // Whose thread serves it.
  std::string target;                      // As gRPC::ClientContext::peer() shows it before a transport is chosen.
  std::unique_ptr<etcdserverpb::KV::Stub> kv;
  std::unique_ptr<etcdserverpb::Lease::Stub> lease;
  std::unique_ptr<etcdserverpb::Watch::Stub> watch;
  std::unique_ptr<etcdserverpb::Cluster::Stub> cluster;
  std::unique_ptr<etcdserverpb::Maintenance::Stub> maintenance;

  // True if the call that `context` belongs to was given to a transport (see retry_policy.h).
  bool WasSent(const grpc::ClientContext& context) const { return context.peer() != target; }
};

struct Endpoint {
  std::string text;  // As the application wrote it.
  std::vector<std::shared_ptr<Connection>> connections;
};

// Builds channel credentials from the files. kNotFound names the file that cannot be read.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TlsCredentials(const TlsOptions& options);

// Opens nothing yet: a channel dials when it is first used. `tls` is used by https and unixs.
std::shared_ptr<Connection> MakeConnection(const Url& url, const ClientOptions& options,
                                           const std::shared_ptr<grpc::ChannelCredentials>& tls,
                                           grpc::CompletionQueue* queue);

}  // namespace keel::client
