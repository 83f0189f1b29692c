#pragma once

// Where one client program is built: a folder of the build tree with a copy of its sources and all that it downloads.

#include <string>

#include "absl/status/status.h"
#include "tests/interop/client_program.h"

namespace keel::interop {

// What a build ended with, kept in the folder for the runs that follow.
struct BuildOutcome {
  bool skipped = false;
  std::string reason;  // Why it was skipped.
};

// Owned by one thread; at most one per folder at a time.
class Workshop {
 public:
  // `sources` is the program's folder in the source tree, `dir` the folder to build in.
  Workshop(ClientProgram program, std::string sources, std::string dir)
      : program_(std::move(program)), sources_(std::move(sources)), dir_(std::move(dir)) {}

  // Skipped: a toolchain or a registry is missing, or took longer than the limit. An error: the program does not
  // compile. What was downloaded for the same lock files is kept.
  absl::StatusOr<BuildOutcome> Build();
  // What the last Build() ended with. kFailedPrecondition: there was none, or it failed.
  absl::StatusOr<BuildOutcome> Outcome() const;

 private:
  absl::StatusOr<BuildOutcome> BuildAfresh();
  absl::Status Run(const ClientProgram::Command& command) const;
  std::string Locks() const;

  const ClientProgram program_;
  const std::string sources_;
  const std::string dir_;
};

}  // namespace keel::interop
