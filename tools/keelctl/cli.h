#pragma once

// What every keelctl command shares: the global flags, the connection, where to write, and how a command ends.

#include <functional>
#include <istream>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/keelctl/global_flags.h"
#include "tools/keelctl/outcome.h"

namespace keel {
class Client;
}

namespace keel::ctl {

// Lives for one run of the program.
class Context {
 public:
  Context(std::istream& in, std::ostream& out, std::ostream& err);
  ~Context();

  GlobalFlags flags;
  std::istream& in;
  std::ostream& out;
  std::ostream& err;

  // For watch: what stood after "--" on the command line, which is somebody else's command.
  std::vector<std::string> after_dashes;
  bool had_dashes = false;

  // Connected on first use; owned here.
  absl::StatusOr<Client*> client();

 private:
  std::unique_ptr<Client> client_;
};

// The program's name, which scripts may call differently, and the rest of its command line.
struct Invocation {
  std::string program = "keelctl";
  std::vector<std::string> args;
};

// Runs the command line; returns the exit code. The whole of keelctl, for main and tests.
int Run(const Invocation& invocation, std::istream& in, std::ostream& out, std::ostream& err);

}  // namespace keel::ctl
