#pragma once

// A program started by this one, which dies with it: whatever happens to the parent, no process is left behind.

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace keel::tools {

// Owned by one thread. The destructor kills and reaps.
class ChildProcess {
 public:
  struct Options {
    std::vector<std::string> argv;         // argv[0] is a path, or looked up in PATH.
    std::vector<std::string> environment;  // "NAME=value", added to this process's.
    std::string output_file;               // stdout and stderr are appended to it; empty: inherited.
    std::string stdin_text;                // For RunCommand: what the program reads; a pipe that then ends.
    int stdin_fd = -1;                     // For Start: what the program reads instead of nothing; stays the caller's.
    int stdout_fd = -1;                    // For Start: where its stdout goes instead; stays the caller's.
  };

  static absl::StatusOr<ChildProcess> Start(const Options& options);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  bool Running();
  // SIGSTOP: returns when it has stopped.
  void Signal(int signal);
  // SIGKILL and reap.
  void Kill();
  // How it ended: the exit code, or 128 + the signal. nullopt: still running when `timeout` had passed.
  std::optional<int> Wait(absl::Duration timeout);

 private:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}

  pid_t pid_ = -1;
  std::optional<int> ended_;
};

struct CommandResult {
  int exit_code = -1;
  std::string out;  // stdout.
  std::string err;  // stderr.
};

// Runs a program to its end. kDeadlineExceeded: it was killed after `timeout`.
absl::StatusOr<CommandResult> RunCommand(const ChildProcess::Options& options,
                                         absl::Duration timeout = absl::Seconds(30));

}  // namespace keel::tools
