#pragma once

// Three members of keeld, or of etcd, that die one after the other when a client program asks for it.

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "keel/client.h"
#include "tools/local_cluster/local_cluster.h"

namespace keel::interop {

// Owned by one thread. The destructor kills the members and removes their data.
class ServerCluster {
 public:
  // `server` is a path or found in PATH. Returns when every member answers a linearizable read.
  static absl::StatusOr<std::unique_ptr<ServerCluster>> Start(const std::string& server);
  ~ServerCluster();

  // kill -9: the leader first, later those that have not been killed yet; so after three calls, with RestartKilled()
  // between them, every stream of every client has been cut at least once. Returns what was killed.
  absl::StatusOr<std::string> KillNext();
  // Starts the killed member on its data and waits until all answer linearizable reads.
  absl::Status RestartKilled();

  std::string endpoints() const { return cluster_.endpoints(); }
  Client& client() { return *client_; }
  std::string LogTails() const { return cluster_.LogTails(); }

 private:
  ServerCluster(std::string dir, tools::LocalCluster cluster, std::unique_ptr<Client> client)
      : dir_(std::move(dir)), cluster_(std::move(cluster)), client_(std::move(client)) {}
  absl::Status AwaitAll();
  absl::StatusOr<int> Leader();

  const std::string dir_;
  tools::LocalCluster cluster_;
  std::unique_ptr<Client> client_;
  std::vector<bool> was_killed_ = {false, false, false};
  std::optional<int> down_;
};

}  // namespace keel::interop
