#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace keel::demo {

// The stanzas of a package database in the format of /var/lib/dpkg/status: name (with the architecture when the name
// alone is not unique) and text, in the order of the file. kNotFound: no such file; kDataLoss: a stanza without a name.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ReadPackages(const std::string& path);

}  // namespace keel::demo
