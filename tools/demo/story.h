#pragma once

#include <string>

#include "absl/status/status.h"

namespace keel::demo {

struct StoryOptions {
  std::string self;   // This program, to start the roles from.
  std::string keeld;  // The daemon.
  std::string packages = "/var/lib/dpkg/status";
  int increments_each = 50;
};

// Starts three members, puts them to work, kills the leader on the way, and checks what must hold; tells it in plain
// words on stdout. An error says which check failed and where the members' logs are quoted.
absl::Status TellStory(const StoryOptions& options);

}  // namespace keel::demo
