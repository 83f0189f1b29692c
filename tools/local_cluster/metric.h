#pragma once

// What a member says of itself in its metrics, for measurements and tests.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace keel::tools {

// The number behind `name`, labels included as they are printed, on the /metrics page of `endpoint` ("127.0.0.1:port").
// kUnavailable: no such page in 10 s. kNotFound: nothing of that name there.
absl::StatusOr<double> ReadMetric(const std::string& endpoint, std::string_view name);

}  // namespace keel::tools
