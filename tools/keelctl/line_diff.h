#pragma once

// How one text becomes another, line by line.

#include <string>
#include <string_view>

namespace keel::ctl {

struct DiffNames {
  std::string before;
  std::string after;
};

// The shortest edit script (Myers 1986, "An O(ND) Difference Algorithm") in the unified format with three lines around
// each change; empty if the texts are equal. Texts that differ in more than a few thousand lines are shown as replaced
// as a whole. `colour` adds the escapes of a terminal.
std::string UnifiedDiff(std::string_view before, std::string_view after, const DiffNames& names, bool colour = false);

}  // namespace keel::ctl
