#pragma once

// Running what may end the process. A child process does it; how it ended, and what it said last, is the result.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "tests/sim/ledger.h"

namespace keel::sim {

// A child process that runs `body` and sends lines to its parent; the last thing it does is to exit.
class Child {
 public:
  // `body` may call `say` with one line (no line break) at a time, and must not return to what the parent was doing:
  // the child exits when it returns. The parent must have no other threads.
  static Child Start(const std::function<void(const std::function<void(const std::string&)>& say)>& body);

  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;
  ~Child();  // Ends it.

  int pipe() const { return pipe_; }
  // The next whole lines that are there, without waiting when `wait` is false. False: the child has closed its end.
  bool ReadLines(bool wait, const std::function<void(const std::string&)>& on_line);
  // Waits for its end. nullopt: it ended well; else "check" (a KEEL_CHECK failed), "endless" (its time was up) or
  // "crash", with the last lines it wrote to the standard error.
  std::optional<Violation> Wait();
  void Kill();

 private:
  Child(int pid, int pipe, int errors) : pid_(pid), pipe_(pipe), errors_(errors) {}

  int pid_;
  int pipe_;
  int errors_;  // A file in memory: the child's standard error.
  std::string unread_;
};

// The calling process ends (SIGVTALRM) when it has used this much processor time from now on. 0: it may go on.
void LimitProcessorTime(int seconds);

}  // namespace keel::sim
