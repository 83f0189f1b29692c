// keelctl: the command line of Keel.

#include <iostream>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "tools/keelctl/cli.h"

int main(int argc, char** argv) {
  // The packaged abseil checks every lock for deadlocks, at a price, and has aborted healthy processes.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  std::ios::sync_with_stdio(false);
  return keel::ctl::Run(std::vector<std::string>(argv + 1, argv + argc), std::cin, std::cout, std::cerr);
}
