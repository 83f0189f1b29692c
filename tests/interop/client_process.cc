#include "tests/interop/client_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace keel::interop {

absl::StatusOr<std::unique_ptr<ClientProcess>> ClientProcess::Start(const Options& options) {
  signal(SIGPIPE, SIG_IGN);  // A program that has ended does not read its answer.
  int in[2];
  int out[2];
  if (pipe2(in, O_CLOEXEC) != 0) return absl::InternalError("pipe");
  if (pipe2(out, O_CLOEXEC) != 0) {
    close(in[0]);
    close(in[1]);
    return absl::InternalError("pipe");
  }
  std::vector<std::string> argv = {"timeout", "--kill-after=5", absl::StrCat(absl::ToInt64Seconds(options.limit))};
  argv.insert(argv.end(), options.argv.begin(), options.argv.end());
  auto process = tools::ChildProcess::Start(
      {.argv = argv, .environment = options.environment, .stdin_fd = in[0], .stdout_fd = out[1]});
  close(in[0]);
  close(out[1]);
  if (!process.ok()) {
    close(in[1]);
    close(out[0]);
    return process.status();
  }
  return std::unique_ptr<ClientProcess>(new ClientProcess(*std::move(process), in[1], out[0]));
}

ClientProcess::~ClientProcess() {
  // Politely, so that `timeout` passes it on to what the program has started.
  process_.Signal(SIGTERM);
  if (!process_.Wait(absl::Seconds(5))) process_.Kill();
  close(stdin_);
  close(stdout_);
}

std::optional<std::vector<std::string>> ClientProcess::ReadLines() {
  char buffer[4096];
  ssize_t n;
  do {
    n = read(stdout_, buffer, sizeof buffer);
  } while (n < 0 && errno == EINTR);
  if (n <= 0) return std::nullopt;
  partial_.append(buffer, static_cast<size_t>(n));
  std::vector<std::string> lines;
  for (size_t end = partial_.find('\n'); end != std::string::npos; end = partial_.find('\n')) {
    lines.push_back(partial_.substr(0, end));
    partial_.erase(0, end + 1);
  }
  return lines;
}

void ClientProcess::Done() {
  constexpr char kDone[] = "done\n";
  [[maybe_unused]] const ssize_t written = write(stdin_, kDone, sizeof kDone - 1);
}

int ClientProcess::Wait() { return process_.Wait(absl::InfiniteDuration()).value_or(-1); }

}  // namespace keel::interop
