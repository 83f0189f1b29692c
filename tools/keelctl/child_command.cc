#include "tools/keelctl/child_command.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace keel::ctl {
namespace {

constexpr int kAskEveryMs = 100;
constexpr absl::Duration kGrace = absl::Seconds(2);

}  // namespace

absl::StatusOr<int> RunChildCommand(const std::vector<std::string>& argv, const std::vector<std::string>& environment,
                                    const std::function<bool()>& keep_going) {
  std::vector<char*> args;
  for (const std::string& arg : argv) args.push_back(const_cast<char*>(arg.c_str()));
  args.push_back(nullptr);
  std::vector<char*> env;
  for (char** e = environ; *e != nullptr; ++e) env.push_back(*e);
  for (const std::string& e : environment) env.push_back(const_cast<char*>(e.c_str()));
  env.push_back(nullptr);

  pid_t pid = 0;
  if (const int error = posix_spawnp(&pid, args[0], nullptr, nullptr, args.data(), env.data()); error != 0) {
    return absl::NotFoundError(absl::StrCat("exec: \"", argv[0], "\": ", strerror(error)));
  }
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  bool asked_to_end = false;
  absl::Time kill_at = absl::InfiniteFuture();
  int status = 0;
  while (true) {
    pollfd p = {.fd = pidfd, .events = POLLIN, .revents = 0};
    poll(&p, 1, kAskEveryMs);
    const pid_t ended = waitpid(pid, &status, WNOHANG);
    if (ended == pid || (ended < 0 && errno != EINTR)) break;
    if (!asked_to_end && keep_going != nullptr && !keep_going()) {
      kill(pid, SIGTERM);
      asked_to_end = true;
      kill_at = absl::Now() + kGrace;
    }
    if (absl::Now() >= kill_at) kill(pid, SIGKILL);
  }
  if (pidfd >= 0) close(pidfd);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

}  // namespace keel::ctl
