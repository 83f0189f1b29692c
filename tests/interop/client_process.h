#pragma once

// A running client program. It says on stdout what it has done, a line per story, and asks for what it cannot do
// itself:
//
//   ok kv                    a story that held
//   ask kill                 a member is to be killed; the program waits for the line "done" on stdin
//   ask restart              the killed member is to be started again
//   ask start                the program is ready; answered when the others are too
//
// All other lines are for people.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tools/local_cluster/child_process.h"

namespace keel::interop {

// Owned by one thread. The destructor kills the program.
class ClientProcess {
 public:
  struct Options {
    std::vector<std::string> argv;
    std::vector<std::string> environment;
    absl::Duration limit;  // The program is ended, with what it has started, after so long.
  };
  static absl::StatusOr<std::unique_ptr<ClientProcess>> Start(const Options& options);
  ~ClientProcess();
  ClientProcess(const ClientProcess&) = delete;
  ClientProcess& operator=(const ClientProcess&) = delete;

  // Readable when there is something to read.
  int stdout_fd() const { return stdout_; }
  // Reads once; the whole lines that are there now. nullopt: the program has closed its output.
  std::optional<std::vector<std::string>> ReadLines();
  // Answers an ask.
  void Done();
  // The exit code; 124: it took longer than the limit.
  int Wait();

 private:
  ClientProcess(tools::ChildProcess process, int stdin_fd, int stdout_fd)
      : process_(std::move(process)), stdin_(stdin_fd), stdout_(stdout_fd) {}

  tools::ChildProcess process_;
  int stdin_;
  int stdout_;
  std::string partial_;  // The line that is not complete yet.
};

}  // namespace keel::interop
