// keel-demo: three members at work on real input. `scripts/demo` builds and runs it.
//
//   keel-demo [--keeld PATH] [--packages FILE] [--increments N]        tells the story
//   keel-demo --endpoints LIST watcher | worker NAME N | candidate NAME  one of its processes

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "tools/demo/roles.h"
#include "tools/demo/story.h"

int main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  std::string endpoints;
  std::vector<std::string> role;
  keel::demo::StoryOptions story{.self = std::filesystem::read_symlink("/proc/self/exe").string()};
  story.keeld = (std::filesystem::path(story.self).parent_path().parent_path() / "keeld" / "keeld").string();

  CLI::App app("Three members at work on real input", "keel-demo");
  app.add_option("--keeld", story.keeld, "the daemon to start")->capture_default_str();
  app.add_option("--packages", story.packages, "package database to load")->capture_default_str();
  app.add_option("--increments", story.increments_each, "increments of each worker")->capture_default_str();
  app.add_option("--endpoints", endpoints, "for the roles: where the cluster is");
  app.add_option("role", role, "watcher, worker NAME N, candidate NAME; none: the whole story");
  CLI11_PARSE(app, argc, argv);

  if (role.empty()) {
    const absl::Status status = keel::demo::TellStory(story);
    if (status.ok()) return 0;
    std::cerr << "The demo failed: " << status << "\n";
    return 1;
  }
  const std::vector<std::string> list = absl::StrSplit(endpoints, ',', absl::SkipEmpty());
  if (role[0] == "watcher" && role.size() == 1) return keel::demo::RunWatcher(list);
  int increments = 0;
  if (role[0] == "worker" && role.size() == 3 && absl::SimpleAtoi(role[2], &increments)) {
    return keel::demo::RunWorker(list, role[1], increments);
  }
  if (role[0] == "candidate" && role.size() == 2) return keel::demo::RunCandidate(list, role[1]);
  std::cerr << app.help();
  return 2;
}
