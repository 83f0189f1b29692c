#include "tools/local_cluster/child_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace keel::tools {
namespace {

absl::Status Errno(absl::string_view what) { return absl::InternalError(absl::StrCat(what, ": ", strerror(errno))); }

struct Pipe {
  int read = -1;
  int write = -1;
};

absl::StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return Errno("pipe");
  return Pipe{.read = fds[0], .write = fds[1]};
}

void CloseFd(int fd) {
  if (fd >= 0) close(fd);
}

// Between fork and exec only async-signal-safe calls are allowed, so everything is prepared before.
[[noreturn]] void Exec(char* const* argv, char* const* environment, int in, int out, int err) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (in >= 0) dup2(in, STDIN_FILENO);
  if (out >= 0) dup2(out, STDOUT_FILENO);
  if (err >= 0) dup2(err, STDERR_FILENO);
  execvpe(argv[0], argv, environment);
  const char text[] = "cannot execute the program\n";
  [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);
  _exit(127);
}

absl::StatusOr<pid_t> Spawn(const ChildProcess::Options& options, int in, int out, int err) {
  KEEL_CHECK(!options.argv.empty());
  std::vector<char*> argv;
  for (const std::string& arg : options.argv) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  std::vector<char*> environment;
  for (char** e = environ; *e != nullptr; ++e) environment.push_back(*e);
  for (const std::string& e : options.environment) environment.push_back(const_cast<char*>(e.c_str()));
  environment.push_back(nullptr);

  const pid_t pid = fork();
  if (pid < 0) return Errno("fork");
  if (pid == 0) Exec(argv.data(), environment.data(), in, out, err);
  return pid;
}

int EndCode(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

}  // namespace

absl::StatusOr<ChildProcess> ChildProcess::Start(const Options& options) {
  int out = -1;
  if (!options.output_file.empty()) {
    out = open(options.output_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (out < 0) return Errno(absl::StrCat("open ", options.output_file));
  }
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  auto pid = Spawn(options, options.stdin_fd >= 0 ? options.stdin_fd : null,
                   options.stdout_fd >= 0 ? options.stdout_fd : out, out);
  CloseFd(null);
  CloseFd(out);
  if (!pid.ok()) return pid.status();
  return ChildProcess(*pid);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), ended_(std::exchange(other.ended_, std::nullopt)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    if (pid_ > 0) Kill();
    pid_ = std::exchange(other.pid_, -1);
    ended_ = std::exchange(other.ended_, std::nullopt);
  }
  return *this;
}

ChildProcess::~ChildProcess() {
  if (pid_ > 0) Kill();
}

bool ChildProcess::Running() { return !Wait(absl::ZeroDuration()).has_value(); }

void ChildProcess::Signal(int signal) {
  if (ended_ || pid_ <= 0 || kill(pid_, signal) != 0 || signal != SIGSTOP) return;
  // Its threads run on for a moment; whoever stops a process relies on its doing nothing more.
  siginfo_t state{};
  while (waitid(P_PID, static_cast<id_t>(pid_), &state, WSTOPPED | WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
}

void ChildProcess::Kill() {
  Signal(SIGKILL);
  Wait(absl::InfiniteDuration());
}

std::optional<int> ChildProcess::Wait(absl::Duration timeout) {
  if (ended_ || pid_ <= 0) return ended_;
  // A pidfd turns the end of the process into something to poll for.
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  if (fd >= 0) {
    pollfd p = {.fd = fd, .events = POLLIN, .revents = 0};
    const int64_t ms = timeout == absl::InfiniteDuration() ? -1 : absl::ToInt64Milliseconds(timeout);
    while (poll(&p, 1, static_cast<int>(ms)) < 0 && errno == EINTR) {
    }
    close(fd);
  }
  int status = 0;
  if (waitpid(pid_, &status, timeout == absl::InfiniteDuration() ? 0 : WNOHANG) == pid_) ended_ = EndCode(status);
  return ended_;
}

absl::StatusOr<CommandResult> RunCommand(const ChildProcess::Options& options, absl::Duration timeout) {
  KEEL_ASSIGN_OR_RETURN(Pipe in, MakePipe());
  KEEL_ASSIGN_OR_RETURN(Pipe out, MakePipe());
  KEEL_ASSIGN_OR_RETURN(Pipe err, MakePipe());
  auto pid = Spawn(options, in.read, out.write, err.write);
  CloseFd(in.read);
  CloseFd(out.write);
  CloseFd(err.write);
  if (!pid.ok()) {
    for (int fd : {in.write, out.read, err.read}) CloseFd(fd);
    return pid.status();
  }

  CommandResult result;
  std::string_view input = options.stdin_text;
  fcntl(in.write, F_SETFL, O_NONBLOCK);
  signal(SIGPIPE, SIG_IGN);
  const absl::Time deadline = absl::Now() + timeout;
  bool timed_out = false;
  while (out.read >= 0 || err.read >= 0) {
    if (input.empty()) CloseFd(std::exchange(in.write, -1));
    pollfd fds[] = {{.fd = out.read, .events = POLLIN, .revents = 0},
                    {.fd = err.read, .events = POLLIN, .revents = 0},
                    {.fd = in.write, .events = POLLOUT, .revents = 0}};
    const int64_t ms = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (ms <= 0) {
      timed_out = true;
      break;
    }
    if (poll(fds, 3, static_cast<int>(ms)) < 0 && errno != EINTR) break;
    auto drain = [](pollfd& p, int* fd, std::string* into) {
      if (p.revents == 0) return;
      char buffer[65536];
      const ssize_t n = read(*fd, buffer, sizeof buffer);
      if (n > 0) {
        into->append(buffer, static_cast<size_t>(n));
      } else if (n == 0 || errno != EINTR) {
        CloseFd(std::exchange(*fd, -1));
      }
    };
    drain(fds[0], &out.read, &result.out);
    drain(fds[1], &err.read, &result.err);
    if (in.write >= 0 && fds[2].revents != 0) {
      const ssize_t n = write(in.write, input.data(), input.size());
      if (n > 0) {
        input.remove_prefix(static_cast<size_t>(n));
      } else if (errno != EAGAIN && errno != EINTR) {
        CloseFd(std::exchange(in.write, -1));  // The program does not want the rest.
        input = {};
      }
    }
  }
  for (int fd : {in.write, out.read, err.read}) CloseFd(fd);
  if (timed_out) kill(*pid, SIGKILL);
  int status = 0;
  while (waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
  }
  result.exit_code = EndCode(status);
  if (timed_out) {
    return absl::DeadlineExceededError(absl::StrCat(options.argv[0], " did not end within ",
                                                    absl::FormatDuration(timeout), "\n", result.out, result.err));
  }
  return result;
}

}  // namespace keel::tools
