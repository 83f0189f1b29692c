#pragma once

// Members of one cluster as processes on loopback, for the demo and for tests: start, kill, pause, restart.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/local_cluster/child_process.h"

namespace keel::tools {

// Owned by one thread. The destructor kills every member; the directory stays the caller's.
class LocalCluster {
 public:
  struct Options {
    std::string keeld;  // Path of the daemon.
    std::string dir;    // Data directories and logs go below it; must exist.
    int members = 3;
    std::vector<std::string> extra_flags;
  };

  // Picks free ports, starts nothing yet.
  static absl::StatusOr<LocalCluster> Create(const Options& options);

  int size() const { return static_cast<int>(members_.size()); }
  // One more member, not started; its number. It is started with Join().
  absl::StatusOr<int> Reserve();
  // Starts a reserved member that has been added to the running cluster; `initial_cluster` names all members by now.
  absl::Status Join(int member, const std::string& initial_cluster);
  // Starts a member that is not running, on its old data if it has any.
  absl::Status Start(int member);
  absl::Status StartAll();
  // What a member is started with from now on beside the flags of all.
  void SetFlags(int member, std::vector<std::string> flags) { members_[member].flags = std::move(flags); }
  // SIGKILL.
  void Kill(int member) { members_[member].process.back().Kill(); }
  // SIGTERM, SIGSTOP, ...
  void Signal(int member, int signal) { members_[member].process.back().Signal(signal); }
  bool Running(int member) { return !members_[member].process.empty() && members_[member].process.back().Running(); }
  ChildProcess& process(int member) { return members_[member].process.back(); }

  const std::string& name(int member) const { return members_[member].name; }
  std::string endpoint(int member) const;  // "127.0.0.1:port"
  std::string peer_url(int member) const;  // "http://127.0.0.1:port"
  std::string endpoints() const;           // All, comma-separated.
  const std::string& data_dir(int member) const { return members_[member].data_dir; }
  const std::string& log_file(int member) const { return members_[member].log_file; }
  // The command line a member is started with.
  std::vector<std::string> Flags(int member) const;

  // Last lines of every member's log, for a failure's report.
  std::string LogTails(size_t bytes_each = 4000) const;

 private:
  struct MemberProcess {
    std::string name;
    std::string data_dir;
    std::string log_file;
    int client_port = 0;
    int peer_port = 0;
    std::string joins;                  // The --initial-cluster of one that was added later; empty: one of the first.
    std::vector<std::string> flags;     // Beside those of all.
    std::vector<ChildProcess> process;  // Empty until started, then the newest incarnation.
  };

  Options options_;
  int founders_ = 0;  // The first so many members.
  std::vector<MemberProcess> members_;
};

}  // namespace keel::tools
