#pragma once

#include <string_view>

namespace keel::ctl {

// What to type, for a command ("keelctl lease grant"); lines without a final newline. Empty for one that has none.
std::string_view ExamplesOf(std::string_view command_path);

}  // namespace keel::ctl
