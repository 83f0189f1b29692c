#include "tests/sim/isolation.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "tests/sim/profile.h"

namespace keel::sim {
namespace {

// A seed takes milliseconds; a sanitizer and a busy machine make it a hundred times as long.
constexpr int kSecondsPerSeed = 120;

void WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) _exit(1);  // The parent is gone.
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

std::string LastWords(int fd) {
  std::string text(2000, '\0');
  const off_t size = lseek(fd, 0, SEEK_END);
  const off_t from = size > static_cast<off_t>(text.size()) ? size - static_cast<off_t>(text.size()) : 0;
  const ssize_t n = pread(fd, text.data(), text.size(), from);
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  // One line: the report of a failed check is one, a sanitizer's begins with the one that matters.
  const size_t check = text.find("keel: check failed");
  if (check != std::string::npos) text = text.substr(check);
  for (char& c : text) c = c == '\n' ? ' ' : c;
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

std::string Escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '\n') {
      out += c == '\n' ? "\\n" : "\\\\";
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      ++i;
      out.push_back(text[i] == 'n' ? '\n' : text[i]);
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

}  // namespace

Child Child::Start(const std::function<void(const std::function<void(const std::string&)>& say)>& body) {
  int ends[2];
  KEEL_CHECK(pipe2(ends, O_CLOEXEC) == 0) << strerror(errno);
  const int errors = memfd_create("errors", MFD_CLOEXEC);
  KEEL_CHECK(errors >= 0) << strerror(errno);
  std::fflush(nullptr);
  const pid_t pid = fork();
  KEEL_CHECK(pid >= 0) << strerror(errno);
  if (pid == 0) {
    close(ends[0]);
    dup2(errors, STDERR_FILENO);
    body([fd = ends[1]](const std::string& line) { WriteAll(fd, absl::StrCat(line, "\n")); });
    std::fflush(nullptr);
    _exit(0);
  }
  close(ends[1]);
  return Child(pid, ends[0], errors);
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      pipe_(std::exchange(other.pipe_, -1)),
      errors_(std::exchange(other.errors_, -1)),
      unread_(std::move(other.unread_)) {}

Child::~Child() {
  Kill();
  if (pipe_ >= 0) close(pipe_);
  if (errors_ >= 0) close(errors_);
}

bool Child::ReadLines(bool wait, const std::function<void(const std::string&)>& on_line) {
  while (true) {
    char buffer[4096];
    const ssize_t n = read(pipe_, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    unread_.append(buffer, static_cast<size_t>(n));
    size_t end;
    while ((end = unread_.find('\n')) != std::string::npos) {
      on_line(unread_.substr(0, end));
      unread_.erase(0, end + 1);
    }
    if (!wait) return true;
  }
}

std::optional<Violation> Child::Wait() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return std::nullopt;
  const std::string words = LastWords(errors_);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGVTALRM) return Violation{"endless", "the run does not end"};
  if (words.find("keel: check failed") != std::string::npos) return Violation{"check", words};
  const std::string how =
      WIFSIGNALED(status) ? absl::StrCat("signal ", WTERMSIG(status)) : absl::StrCat("exit code ", WEXITSTATUS(status));
  return Violation{"crash", absl::StrCat(how, " ", words)};
}

void Child::Kill() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
}

void LimitProcessorTime(int seconds) {
  const itimerval timer{.it_interval = {}, .it_value = {.tv_sec = seconds, .tv_usec = 0}};
  setitimer(ITIMER_VIRTUAL, &timer, nullptr);
}

RunResult RunSeedIsolated(std::string_view profile, uint64_t seed, const RunOptions& options) {
  Child child = Child::Start([&](const auto& say) {
    LimitProcessorTime(kSecondsPerSeed);
    const RunResult result = RunSeed(profile, seed, options);
    say(absl::StrCat("events ", result.events));
    say(absl::StrCat("digest ", result.digest));
    say(absl::StrCat("end ", result.end));
    say(absl::StrCat("operations ", result.client_operations));
    say(absl::StrCat("options ", Escape(result.options)));
    say(absl::StrCat("ledger ", Escape(result.ledger.ToString())));
    for (const FaultEvent& event : result.schedule) say(absl::StrCat("fault ", event.ToString()));
    if (result.violation) {
      say(absl::StrCat("invariant ", result.violation->invariant));
      say(absl::StrCat("detail ", Escape(result.violation->detail)));
    }
  });
  RunResult result;
  child.ReadLines(/*wait=*/true, [&](const std::string& line) {
    const size_t space = line.find(' ');
    const std::string name = line.substr(0, space);
    const std::string value = space == std::string::npos ? "" : line.substr(space + 1);
    const auto number = [&] { return std::strtoull(value.c_str(), nullptr, 10); };
    if (name == "events") result.events = number();
    if (name == "digest") result.digest = number();
    if (name == "end") result.end = static_cast<SimTime>(number());
    if (name == "operations") result.client_operations = number();
    if (name == "options") result.options = Unescape(value);
    if (name == "ledger") KEEL_CHECK(result.ledger.Parse(Unescape(value)));
    if (name == "fault") result.schedule.push_back(*FaultEvent::Parse(value));
    if (name == "invariant") result.violation.emplace().invariant = value;
    if (name == "detail") result.violation->detail = Unescape(value);
  });
  if (const std::optional<Violation> died = child.Wait()) result.violation = died;
  return result;
}

}  // namespace keel::sim
