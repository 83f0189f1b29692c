#pragma once

// The client-facing gRPC services, put together: KV, Watch, Lease, Cluster, Maintenance, Lock, Election and the
// standard health service, over the handlers they adapt.

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "server/api/reply_budget.h"
#include "server/member.h"

namespace grpc {
class ServerBuilder;
}

namespace keel::server {

// Thread-safe. Life cycle:
//   Create, Register; BuildAndStart of the builder; Stop; shutdown and destruction of the grpc::Server; destruction.
class GrpcServices {
 public:
  struct Options {
    // A message from a client may be 512 KiB larger than a request may become as a log entry.
    size_t request_bytes_max = 1572864;             // --max-request-bytes
    uint32_t concurrent_streams_max = 4294967295u;  // --max-concurrent-streams, per connection.
    // A client that pings more often is sent away with "too_many_pings"; without an open call no ping is allowed.
    absl::Duration keepalive_min_time = absl::Seconds(5);
    // When the server pings an idle connection, and how long it waits for the answer.
    absl::Duration keepalive_interval = absl::Hours(2);
    absl::Duration keepalive_timeout = absl::Seconds(20);
    // A stream that requires a leader ends after three of these without one.
    absl::Duration election_timeout = absl::Seconds(1);
    int read_threads = 2;  // Execute range reads, so that neither raft nor apply waits for a disk.
    ReplyBudget::Options replies;
  };

  // `member` outlives it and is complete before Register().
  static std::unique_ptr<GrpcServices> Create(const Member* member, const Options& options);
  virtual ~GrpcServices() = default;

  // Registers all services with their limits and keepalive policy. Once; starts the background threads.
  virtual void Register(grpc::ServerBuilder* builder) = 0;

  // New calls get kUnavailable "etcdserver: server stopped"; so do open streams and waiting locks and campaigns, within
  // a second. Unary calls in progress end with their proposal or read. Before the hub, the proposer, the lease keeper
  // and the node stop; idempotent; blocks.
  virtual void Stop() = 0;

  virtual ReplyBudget::Stats reply_stats() const = 0;
};

}  // namespace keel::server
