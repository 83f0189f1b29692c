#include "tests/mutants/isolated.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <vector>

#include "base/check.h"

namespace keel::mutants {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kOutputKept = 1 << 16;
constexpr char kResultMark[] = "\n\x01result ";

// Of what a dying process said, the line that tells why.
std::string Reason(const std::string& output, int signal) {
  const size_t failed = output.rfind("check failed at");
  if (failed == std::string::npos) return std::string("died: ") + strsignal(signal);
  const size_t begin = output.rfind('\n', failed) + 1;
  return output.substr(begin, output.find('\n', failed) - begin);
}

}  // namespace

Outcome RunIsolated(const std::function<std::string(volatile uint64_t*)>& check, double seconds_max) {
  int ends[2];
  KEEL_CHECK(pipe(ends) == 0);
  void* const shared = mmap(nullptr, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  KEEL_CHECK(shared != MAP_FAILED);
  auto* const progress = static_cast<volatile uint64_t*>(shared);
  *progress = 0;
  std::fflush(stdout);
  std::fflush(stderr);
  const auto start = Clock::now();
  const pid_t child = fork();
  KEEL_CHECK_GE(child, 0);
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    const std::string found = check(progress);
    std::printf("%s%s", kResultMark, found.c_str());
    std::fflush(stdout);
    _exit(0);
  }
  close(ends[1]);
  std::string output;
  bool timed_out = false;
  for (;;) {
    const double left = seconds_max - std::chrono::duration<double>(Clock::now() - start).count();
    if (left <= 0) {
      timed_out = true;
      kill(child, SIGKILL);
      break;
    }
    pollfd readable{ends[0], POLLIN, 0};
    if (poll(&readable, 1, static_cast<int>(std::min(left * 1000 + 1, 1000.0))) <= 0) continue;
    char buffer[4096];
    const ssize_t n = read(ends[0], buffer, sizeof(buffer));
    if (n <= 0) break;
    output.append(buffer, static_cast<size_t>(n));
    if (output.size() > kOutputKept) output.erase(0, output.size() - kOutputKept / 2);
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);

  Outcome outcome;
  outcome.progress = *progress;
  outcome.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  munmap(shared, sizeof(uint64_t));
  if (timed_out) {
    outcome.caught = true;
    outcome.how = "does not end";
  } else if (WIFSIGNALED(status)) {
    outcome.caught = true;
    outcome.how = Reason(output, WTERMSIG(status));
  } else {
    const size_t mark = output.rfind(kResultMark);
    // A process that left without a word was ended by somebody's exit(): that is no verdict.
    outcome.how = mark == std::string::npos ? "ended without a result" : output.substr(mark + sizeof(kResultMark) - 1);
    outcome.caught = !outcome.how.empty();
  }
  outcome.how = outcome.how.substr(0, outcome.how.find('\n'));
  return outcome;
}

}  // namespace keel::mutants
