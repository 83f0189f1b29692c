#pragma once

// What every keelctl command shares: the global flags, the connection, where to write, and how a command ends.

#include <functional>
#include <istream>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace keel {
class Client;
}

namespace keel::ctl {

// etcdctl's exit codes (operations.md section 4.1); scripts tell errors apart by them.
enum ExitCode {
  kExitOk = 0,
  kExitError = 1,
  kExitBadConnection = 2,
  kExitInvalidInput = 3,
  kExitBadFeature = 4,
  kExitInterrupted = 5,
  kExitIo = 6,
  kExitBadArguments = 128,
};

// How a command ended. A message goes to stderr as "Error: <message>".
struct Outcome {
  int code = kExitOk;
  std::string message;

  static Outcome Ok() { return {}; }
  static Outcome BadArguments(std::string message) { return {kExitBadArguments, std::move(message)}; }
  // OK, or the error's text with `code`; deadline and cancellation read as etcdctl writes them.
  static Outcome Of(const absl::Status& status, int code = kExitError);
};

enum class Format { kSimple, kJson, kFields, kTable };

struct GlobalFlags {
  std::vector<std::string> endpoints = {"127.0.0.1:2379"};
  Format format = Format::kSimple;
  bool hex = false;
  absl::Duration dial_timeout = absl::Seconds(2);
  absl::Duration command_timeout = absl::Seconds(5);
  bool command_timeout_given = false;  // Commands that last as long as their data ignore the default.
};

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

  // Connected on first use; owned here.
  absl::StatusOr<Client*> client();

 private:
  std::unique_ptr<Client> client_;
};

// Runs the command line (without the program's name); returns the exit code. The whole of keelctl, for main and tests.
int Run(const std::vector<std::string>& args, std::istream& in, std::ostream& out, std::ostream& err);

}  // namespace keel::ctl
