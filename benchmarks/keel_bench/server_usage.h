#pragma once

// What the servers cost: CPU time and memory, from /proc.

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace keel::bench {

struct ServerUsage {
  absl::Duration cpu = absl::ZeroDuration();  // User and system time of all threads since the start, over all servers.
  int64_t rss_bytes = 0;                      // Resident now, over all servers.
  int64_t rss_bytes_largest = 0;              // Of the server that has most.
};

// kNotFound if one of them is not running.
absl::StatusOr<ServerUsage> ReadServerUsage(const std::vector<pid_t>& pids);

// The processes whose command name (/proc/PID/comm) is `name`.
std::vector<pid_t> PidsOf(const std::string& name);

}  // namespace keel::bench
