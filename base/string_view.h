#pragma once

// Debian's abseil keeps its own absl::string_view; this is the one bridge between it and std::string_view.

#include <string_view>

#include "absl/strings/string_view.h"

namespace keel {

inline absl::string_view ToAbsl(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view ToStd(absl::string_view s) { return {s.data(), s.size()}; }

}  // namespace keel
