// keelctl: the command line of Keel.

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "tools/keelctl/cli.h"

int main(int argc, char** argv) {
  // The packaged abseil checks every lock for deadlocks, at a price, and has aborted healthy processes.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  // gRPC's own log of a failed handshake says in ten lines what our error says in one. A value that is set stays.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  std::ios::sync_with_stdio(false);
  return keel::ctl::Run({.program = std::filesystem::path(argc > 0 ? argv[0] : "keelctl").filename().string(),
                         .args = std::vector<std::string>(argv + 1, argv + argc)},
                        std::cin, std::cout, std::cerr);
}
