#pragma once

// One server of either kind as a process of one member on loopback, with its data in memory where the machine allows
// it: what is compared is what a server says, not how quickly its disk keeps it.

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/local_cluster/child_process.h"

namespace keel::differential {

// Owned by one thread. The destructor ends the process and removes its data.
class ServerProcess {
 public:
  // `binary` is a path or found in PATH; `name` says in reports which server it is. Both kinds take etcd's flags.
  static absl::StatusOr<std::unique_ptr<ServerProcess>> Start(const std::string& name, const std::string& binary,
                                                              std::vector<std::string> extra_flags = {});
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  const std::string& name() const { return name_; }
  const std::string& endpoint() const { return endpoint_; }  // "127.0.0.1:port"
  bool Running() { return process_.Running(); }
  // Kills it and starts it again on its data and ports.
  absl::Status Restart();
  // The last lines it logged.
  std::string LogTail() const;

 private:
  ServerProcess(std::string name, std::string dir, std::string endpoint, std::vector<std::string> argv,
                tools::ChildProcess process)
      : name_(std::move(name)),
        dir_(std::move(dir)),
        endpoint_(std::move(endpoint)),
        argv_(std::move(argv)),
        process_(std::move(process)) {}

  std::string name_;
  std::string dir_;
  std::string endpoint_;
  std::vector<std::string> argv_;
  tools::ChildProcess process_;
};

}  // namespace keel::differential
