#pragma once

// Runs a user's command: under a lock, or for an event.

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace keel::ctl {

// What is to become of a command that runs.
enum class Verdict {
  kRun,
  kEnd,   // SIGTERM, once.
  kKill,  // SIGKILL.
};

// With this process's input, output and environment plus `environment` ("NAME=value"). Its exit code; 255 when a signal
// ended it. kNotFound: it cannot be executed. It has a process group of its own, in the foreground if this one was, and
// signals go to the whole group, so that what a script has started ends too. Dies with this process. While it runs,
// `verdict` is asked a few times a second.
absl::StatusOr<int> RunChildCommand(const std::vector<std::string>& argv, const std::vector<std::string>& environment,
                                    const std::function<Verdict()>& verdict = nullptr);

}  // namespace keel::ctl
