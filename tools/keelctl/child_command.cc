#include "tools/keelctl/child_command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace keel::ctl {
namespace {

constexpr int kAskEveryMs = 50;

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& each : strings) pointers.push_back(const_cast<char*>(each.c_str()));
  return pointers;
}

// The terminal belongs to one process group. Handing it over sends SIGTTOU to those in the background; not to us.
void GiveTerminalTo(pid_t group) {
  struct sigaction ignore = {};
  struct sigaction before = {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGTTOU, &ignore, &before);
  tcsetpgrp(STDIN_FILENO, group);
  sigaction(SIGTTOU, &before, nullptr);
}

// In the child, between fork and exec: only calls that are allowed there. Writes errno to `report` and does not return.
[[noreturn]] void Become(char* const* argv, char* const* environment, pid_t parent, int report) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  for (const int signal : {SIGINT, SIGTERM, SIGTTOU}) ::signal(signal, SIG_DFL);
  if (getppid() == parent) execvpe(argv[0], argv, environment);
  const int error = errno;
  [[maybe_unused]] const ssize_t n = write(report, &error, sizeof error);
  _exit(127);
}

}  // namespace

absl::StatusOr<int> RunChildCommand(const std::vector<std::string>& argv, const std::vector<std::string>& environment,
                                    const std::function<Verdict()>& verdict) {
  std::vector<char*> args = Pointers(argv);
  args.push_back(nullptr);
  std::vector<char*> env;
  for (char** e = environ; *e != nullptr; ++e) env.push_back(*e);
  const std::vector<char*> more = Pointers(environment);
  env.insert(env.end(), more.begin(), more.end());
  env.push_back(nullptr);

  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return absl::ResourceExhaustedError(absl::StrCat("pipe: ", strerror(errno)));
  const bool foreground = isatty(STDIN_FILENO) == 1 && tcgetpgrp(STDIN_FILENO) == getpgrp();
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return absl::ResourceExhaustedError(absl::StrCat("fork: ", strerror(errno)));
  if (pid == 0) Become(args.data(), env.data(), parent, report[1]);
  setpgid(pid, pid);  // Also done by the child; whoever is first.
  close(report[1]);
  if (foreground) GiveTerminalTo(pid);
  const absl::Cleanup take_back = [&] {
    if (foreground) GiveTerminalTo(getpgrp());
  };
  int error = 0;
  const bool failed = read(report[0], &error, sizeof error) == static_cast<ssize_t>(sizeof error);
  close(report[0]);

  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  bool asked_to_end = false;
  int status = 0;
  while (true) {
    pollfd p = {.fd = pidfd, .events = POLLIN, .revents = 0};
    poll(&p, 1, kAskEveryMs);
    const pid_t ended = waitpid(pid, &status, WNOHANG);
    if (ended == pid || (ended < 0 && errno != EINTR)) break;
    if (verdict == nullptr) continue;
    const Verdict now = verdict();
    if (now == Verdict::kKill) {
      kill(-pid, SIGKILL);
    } else if (now == Verdict::kEnd && !std::exchange(asked_to_end, true)) {
      kill(-pid, SIGTERM);
    }
  }
  if (pidfd >= 0) close(pidfd);
  // What the command left behind must not go on without what it was guarded by.
  if (asked_to_end) kill(-pid, SIGKILL);
  if (failed) {
    return absl::NotFoundError(absl::StrCat(
        "exec: \"", argv[0], "\": ", error == ENOENT ? "executable file not found in $PATH" : strerror(error)));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

}  // namespace keel::ctl
