// keeld: one member of a Keel cluster. Flags to configuration to Server; then signals.

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "base/log.h"
#include "server/bootstrap.h"
#include "server/grpc_pollers.h"
#include "server/server.h"
#include "tools/keeld/flags.h"
#include "tools/keeld/readiness.h"
#include "tools/keeld/startup_pages.h"

namespace keel::keeld {
namespace {

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;

// The line that tells why the process ends, whatever the log level is.
void LogFatal(const absl::Status& status) {
  Log(LogLevel::kFatal, __FILE__, __LINE__, "cannot go on", {{"error", std::string(status.message())}});
  FlushLog();
}

int Fail(const char* message, const absl::Status& status) {
  Log(LogLevel::kFatal, __FILE__, __LINE__, message, {{"error", std::string(status.message())}});
  FlushLog();
  return kExitFailure;
}

// As many descriptors as the system allows: RocksDB keeps its files open, and every client is one.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

// Ends the process as the signal would have, so that whoever started it sees why; the first process of a container has
// no default action to fall back on.
int EndBy(int signal) {
  FlushLog();
  if (getpid() != 1) raise(signal);
  return 0;
}

int Run(CommandLine line) {
  const absl::Status log = ConfigureLog(
      {.level = line.config.log_level, .format = line.config.log_format, .outputs = line.config.log_outputs});
  if (!log.ok()) return Fail("cannot open the log output", log);
  for (const std::string& warning : line.warnings) KEEL_LOG_WARN(warning);
  // Before any thread starts, so that all inherit it and the signals come to sigwait below.
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  RaiseDescriptorLimit();

  const server::GrpcPollers pollers;
  auto server = server::Server::Start(std::move(line.config), [](absl::Status status) {
    LogFatal(status);
    _exit(kExitFailure);  // Nothing may be written any more: what the disk holds is not known.
  });
  if (!server.ok() && server::IsRemovedError(server.status())) {
    KEEL_LOG_WARN("the member has been permanently removed from the cluster",
                  {{"error", std::string(server.status().message())}});
    FlushLog();
    return 0;
  }
  if (!server.ok()) return Fail("cannot start the member", server.status());
  (*server)->OnReady([] {
    ReleaseStartupPages();
    NotifyReady();
  });
  // Ends the wait below as a signal from outside does.
  static std::atomic<bool> removed{false};
  (*server)->OnRemoved([] {
    removed = true;
    kill(getpid(), SIGTERM);
  });

  int signal = 0;
  sigwait(&signals, &signal);
  if (!removed) KEEL_LOG_INFO("received signal; shutting down", {{"signal", strsignal(signal)}});
  // A second one ends the process at once.
  ::signal(SIGTERM, SIG_DFL);
  ::signal(SIGINT, SIG_DFL);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  (*server)->Stop();
  server->reset();
  if (removed) {
    FlushLog();
    return 0;
  }
  return EndBy(signal);
}

int Main(int argc, char** argv) {
  // Its checks cost a lock per lock; the lock order is written at each mutex instead.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  auto line = ParseCommandLine(std::vector<std::string>(argv + 1, argv + argc), CurrentEnvironment());
  if (!line.ok()) {
    if (!absl::IsInvalidArgument(line.status())) return Fail("cannot read the configuration", line.status());
    std::cerr << std::string(line.status().message()) << "\n" << ShortUsage();
    return kExitUsage;
  }
  switch (line->action) {
    case CommandLine::Action::kHelp:
      std::cout << HelpText();
      return 0;
    case CommandLine::Action::kVersion:
      std::cout << VersionText();
      return 0;
    case CommandLine::Action::kRun:
      return Run(*std::move(line));
  }
  return kExitFailure;
}

}  // namespace
}  // namespace keel::keeld

int main(int argc, char** argv) { return keel::keeld::Main(argc, argv); }
