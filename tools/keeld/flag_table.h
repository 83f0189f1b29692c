#pragma once

// Every flag that etcd knows and what Keel does with it.

#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "server/config.h"

namespace keel::keeld {

enum class FlagKind { kValue, kDuration, kBool };

struct Flag {
  std::string_view name;
  FlagKind kind = FlagKind::kValue;
  std::string_view default_text;  // As help shows it; the value at which a refused flag changes nothing.
  std::string_view help;          // Empty: not in the help.
  // Puts the value into the configuration; null: see `refusal`. The error is just the reason.
  absl::Status (*set)(std::string_view text, server::Config* config) = nullptr;
  // Not empty: the flag is refused for this reason unless it is given its default. Empty and no `set`: accepted, has
  // no effect, and a warning says so.
  std::string_view refusal;
  // No warning either: settings that never had a meaning here or anywhere.
  bool silent = false;
};

std::span<const Flag> FlagTable();
// nullptr: unknown. The 3.5 spelling experimental-<name> finds <name>.
const Flag* FindFlag(std::string_view name);

}  // namespace keel::keeld
