#pragma once

// The daemon's command line and environment: etcd's flag names and Go's flag syntax (operations.md section 1.1).
//
//   -name n1, --name n1, -name=n1, --name=n1 are the same; booleans take their value only as --flag=false.
//   ETCD_<FLAG> in the environment stands for a flag that is not given.
//   --config-file, or ETCD_CONFIG_FILE, replaces all other flags and variables by a file.

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/config.h"

namespace keel::keeld {

struct CommandLine {
  enum class Action { kRun, kHelp, kVersion };

  Action action = Action::kRun;
  server::Config config;  // Not validated as a whole yet.
  // To be logged once the log is configured: settings without effect, variables that are not understood.
  std::vector<std::string> warnings;
};

using Environment = std::map<std::string, std::string>;

// `args` without the program's name.
// kInvalidArgument: not the syntax of flags (exit code 2, with a short usage). kFailedPrecondition: understood, but it
// cannot be done: a conflict with the environment, a feature that Keel does not have (exit code 1).
absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& args, const Environment& environment);

// The process's own environment.
Environment CurrentEnvironment();

std::string ShortUsage();
std::string HelpText();
std::string VersionText();

}  // namespace keel::keeld
