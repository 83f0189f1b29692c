#pragma once

// The way into a cluster: connections, threads, and the services on top of them.
//
//   #include <keel/client.h>
//
//   auto client = keel::Client::Create({.endpoints = {"10.0.0.1:2379", "10.0.0.2:2379", "10.0.0.3:2379"}});
//   if (!client.ok()) return client.status();
//   auto put = (*client)->kv().Put("greeting", "hello");
//   if (!put.ok()) return put.status();
//   auto watcher = (*client)->Watch("greeting", {.start_revision = put->header.revision});
//   std::cout << watcher->Next()->events[0].kv.value << "\n";  // hello

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "keel/cluster.h"
#include "keel/kv.h"
#include "keel/lease.h"
#include "keel/maintenance.h"
#include "keel/options.h"
#include "keel/types.h"
#include "keel/watch.h"

namespace keel {

// Connects on first use and again whenever needed; a call goes to a healthy endpoint and moves on when that one fails.
// Thread-safe. The destructor cancels what is in flight (callbacks get kCancelled before it returns) and joins the
// threads; it must not run on one of them, that is, in a callback.
class Client {
 public:
  // Does not wait for a connection. kInvalidArgument: no endpoint, or one that cannot be read; kNotFound: a file of
  // the TLS options cannot be read; kUnimplemented: a user is given.
  static absl::StatusOr<std::unique_ptr<Client>> Create(const ClientOptions& options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  Kv& kv() { return kv_; }
  Leases& leases() { return leases_; }
  Cluster& cluster() { return cluster_; }
  Maintenance& maintenance() { return maintenance_; }

  // Starts a watch (see Watcher). An invalid key or option is reported by the first Next().
  std::unique_ptr<Watcher> Watch(std::string_view key, const WatchOptions& options = {});
  // The same, telling `callback` on the client's callback thread; an error is the last call.
  std::unique_ptr<Watcher> Watch(std::string_view key, const WatchOptions& options, WatchCallback callback);

  // Calls under way, of which ClientOptions::in_flight_max are the most.
  int64_t in_flight() const;
  // As given at first, then as Sync() left them.
  std::vector<std::string> endpoints() const;
  // Replaces the endpoints by the client URLs of the started members that vote. ClientOptions::sync_interval does it
  // by itself from time to time. kFailedPrecondition: no member says where clients find it; nothing has changed.
  absl::Status Sync(const CallOptions& call = {});
  // The same without waiting.
  void SyncAsync(const CallOptions& call, std::function<void(absl::Status)> done);

  client::Core& core() { return *core_; }  // For the recipes of this library.

 private:
  explicit Client(std::shared_ptr<client::Core> core);

  std::shared_ptr<client::Core> core_;
  Kv kv_;
  Leases leases_;
  Cluster cluster_;
  Maintenance maintenance_;
};

}  // namespace keel
