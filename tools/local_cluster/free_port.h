#pragma once

#include "absl/status/statusor.h"

namespace keel::tools {

// A TCP port of 127.0.0.1 that nobody listens at, for a server that may stop and come back there. It lies below those
// that the kernel gives to outgoing connections, so that none takes it meanwhile, and no two processes that ask get the
// same one: it is this process's, its children's servers included, until this process ends. Thread-safe. kUnavailable
// if no port can be had.
absl::StatusOr<int> FreePort();

}  // namespace keel::tools
