#pragma once

// The configuration file: YAML (or JSON) whose keys are flag names (operations.md section 1.5).

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace keel::keeld {

// The settings of a file as (flag name, value) pairs, in the file's order. Lists become comma-separated; keys of the
// blocks client-transport-security, peer-transport-security, discovery-config and socket-options become the flags they
// stand for; durations are whole nanoseconds and become "<n>ns". Keys that are no flags, and empty values, are left
// out. kInvalidArgument names line or key.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ParseConfigFile(std::string_view text);

// Reads the file first. kNotFound: it cannot be read.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ReadConfigFile(const std::string& path);

}  // namespace keel::keeld
