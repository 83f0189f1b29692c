#pragma once

#include <string>
#include <utility>

#include "absl/status/status.h"

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
  std::string message = {};

  static Outcome Ok() { return {}; }
  static Outcome BadArguments(std::string message) { return {kExitBadArguments, std::move(message)}; }
  // OK, or the error's text with `code`; deadline and cancellation read as etcdctl writes them.
  static Outcome Of(const absl::Status& status, int code = kExitError);
};

}  // namespace keel::ctl
