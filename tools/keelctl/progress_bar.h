#pragma once

#include <cstdint>
#include <ostream>
#include <string>

#include "absl/time/time.h"

namespace keel::ctl {

// How far long work has come, in one line that writes over itself: only where a person watches, silent elsewhere. Owned
// by one thread; the destructor ends the line.
class ProgressBar {
 public:
  // On `err` if stderr is a terminal. `what` is the work: "saving".
  ProgressBar(std::ostream& err, std::string what);
  // For tests: `shown` decides.
  ProgressBar(std::ostream& err, std::string what, bool shown);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  bool shown() const { return shown_; }
  // `total` 0: not known. At most ten times a second, and the end always, a line is drawn. `text` says it in words:
  // "12 MB of 80 MB".
  void Show(double done, double total, const std::string& text);

 private:
  std::ostream& err_;
  const std::string what_;
  const bool shown_;
  absl::Time drawn_ = absl::InfinitePast();
  size_t width_ = 0;  // Of the line that stands there.
};

}  // namespace keel::ctl
