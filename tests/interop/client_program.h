#pragma once

// The client programs below clients/: what each needs, how it is built, how it is run.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace keel::interop {

// How a program keeps others out. Two programs exclude each other only if they write the same keys.
enum class LockProtocol {
  kQueueOfLeases,  // NAME/<lease id in hex>, the oldest key holds: the Lock service's, and the Go recipe's.
  kOneKey,         // The key itself, created if absent.
};

struct ClientProgram {
  // A command of the build. Its output is shown only if it fails.
  struct Command {
    std::vector<std::string> argv;
    absl::Duration limit;
  };

  std::string name;
  std::string folder;                    // Of its sources, below clients/.
  std::string client;                    // What is tried, with its version where that is fixed here.
  std::vector<std::string> needs;        // Programs that must be found in PATH.
  std::vector<std::string> environment;  // Of the build and of the program.
  std::vector<std::string> locks;        // Files that decide what is downloaded.
  std::vector<Command> download;         // Where one of these fails the registry is out of reach: skipped.
  std::vector<Command> compile;          // Where one of these fails the program is wrong: failed.
  std::vector<std::string> run;
  LockProtocol lock_protocol = LockProtocol::kQueueOfLeases;
  std::vector<std::string> stories;  // What a run must say of itself, so that a program that does nothing fails.
};

// All of them, built below `work_dir`, each in a folder of its name.
std::vector<ClientProgram> ClientPrograms(const std::string& work_dir);
// kNotFound: there is none of that name.
absl::StatusOr<ClientProgram> FindClientProgram(const std::string& work_dir, const std::string& name);

}  // namespace keel::interop
