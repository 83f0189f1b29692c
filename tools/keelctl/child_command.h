#pragma once

// Runs a user's command: under a lock, or for an event.

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace keel::ctl {

// With this process's input, output and environment plus `environment` ("NAME=value"). Its exit code; 255 when a signal
// ended it. kNotFound: it cannot be executed. While it runs, `keep_going` is asked a few times a second; once it says
// no, the command gets SIGTERM, and SIGKILL two seconds later.
absl::StatusOr<int> RunChildCommand(const std::vector<std::string>& argv, const std::vector<std::string>& environment,
                                    const std::function<bool()>& keep_going = nullptr);

}  // namespace keel::ctl
