#include "tools/keelctl/progress_bar.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace keel::ctl {
namespace {

constexpr int kCells = 30;
constexpr absl::Duration kPause = absl::Milliseconds(100);

}  // namespace

ProgressBar::ProgressBar(std::ostream& err, std::string what)
    : ProgressBar(err, std::move(what), isatty(STDERR_FILENO) == 1) {}

ProgressBar::ProgressBar(std::ostream& err, std::string what, bool shown)
    : err_(err), what_(std::move(what)), shown_(shown) {}

ProgressBar::~ProgressBar() {
  if (width_ > 0) err_ << "\n" << std::flush;
}

void ProgressBar::Show(double done, double total, const std::string& text) {
  const absl::Time now = absl::Now();
  if (!shown_ || (now - drawn_ < kPause && done < total)) return;
  drawn_ = now;
  std::string line = what_;
  if (total > 0) {
    const double fraction = std::clamp(done / total, 0.0, 1.0);
    const int cells = static_cast<int>(fraction * kCells);
    absl::StrAppendFormat(&line, " [%s%s] %3d%%", std::string(static_cast<size_t>(cells), '#'),
                          std::string(static_cast<size_t>(kCells - cells), '.'), static_cast<int>(fraction * 100));
  }
  absl::StrAppend(&line, " ", text);
  const size_t width = line.size();
  if (width < width_) line.append(width_ - width, ' ');
  width_ = width;
  err_ << "\r" << line << std::flush;
}

}  // namespace keel::ctl
