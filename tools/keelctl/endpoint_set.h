#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/keelctl/cli.h"

namespace keel::ctl {

// The endpoints a command is for: those given, or every member's client URLs (--cluster).
absl::StatusOr<std::vector<std::string>> EndpointSet(Context& context, bool whole_cluster);

}  // namespace keel::ctl
