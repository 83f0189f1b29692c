#include "tools/keelctl/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "absl/time/clock.h"
#include "base/check.h"

namespace keel::ctl {
namespace {

int g_interrupt_pipe[2] = {-1, -1};
volatile sig_atomic_t g_interrupted = 0;

void OnSignal(int) {
  g_interrupted = 1;
  const char byte = 0;
  [[maybe_unused]] const ssize_t n = write(g_interrupt_pipe[1], &byte, 1);
}

}  // namespace

void Interrupt::Install() {
  KEEL_CHECK_EQ(pipe2(g_interrupt_pipe, O_CLOEXEC | O_NONBLOCK), 0);
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool Interrupt::happened() { return g_interrupted != 0; }

bool Interrupt::Wait(absl::Time deadline) {
  while (!happened()) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) return false;
    pollfd p = {.fd = g_interrupt_pipe[0], .events = POLLIN, .revents = 0};
    poll(&p, 1, static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(left) + 1, 60000)));
  }
  return true;
}

}  // namespace keel::ctl
