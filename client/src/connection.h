#pragma once

// Endpoints and the channels to them.

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "base/url.h"
#include "keel/options.h"
#include "proto/etcdserver_cluster.grpc.pb.h"
#include "proto/etcdserver_kv.grpc.pb.h"
#include "proto/etcdserver_lease.grpc.pb.h"
#include "proto/etcdserver_maintenance.grpc.pb.h"
#include "proto/etcdserver_watch.grpc.pb.h"
#include "proto/keel_cluster.grpc.pb.h"

namespace keel::client {

// One channel, that is one TCP connection at a time, and the services on it. Immutable; thread-safe.
struct Connection {
  std::shared_ptr<grpc::Channel> channel;
  grpc::CompletionQueue* queue = nullptr;  // Whose thread serves it.
  std::string endpoint;                    // As the application wrote it.
  std::string target;                      // What grpc::ClientContext::peer() says before a server has answered.
  std::unique_ptr<etcdserverpb::KV::Stub> kv;
  std::unique_ptr<etcdserverpb::Lease::Stub> lease;
  std::unique_ptr<etcdserverpb::Watch::Stub> watch;
  std::unique_ptr<etcdserverpb::Cluster::Stub> cluster;
  std::unique_ptr<api::Cluster::Stub> keel_cluster;
  std::unique_ptr<etcdserverpb::Maintenance::Stub> maintenance;

  // True if `status` can only have been made on this side, because no transport was there to take the call: it is one
  // of gRPC's own texts, and no server has answered `context` (its peer would be an address, not the target).
  bool FailedToConnect(const grpc::ClientContext& context, const grpc::Status& status) const;
};

struct Endpoint {
  std::string text;  // As the application wrote it.
  std::vector<std::shared_ptr<Connection>> connections;
};

// Opens nothing yet: a channel dials when it is first used. `tls` is used by https and unixs.
std::shared_ptr<Connection> MakeConnection(const std::string& endpoint, const Url& url, const ClientOptions& options,
                                           const std::shared_ptr<grpc::ChannelCredentials>& tls,
                                           grpc::CompletionQueue* queue);

}  // namespace keel::client
