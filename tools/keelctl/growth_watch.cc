#include "tools/keelctl/growth_watch.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tools/keelctl/text.h"

namespace keel::ctl {
namespace {

constexpr absl::Duration kLook = absl::Milliseconds(100);

}  // namespace

GrowthWatch::GrowthWatch(ProgressBar& bar, std::string dir, int64_t expected_bytes)
    : bar_(bar), dir_(std::move(dir)), expected_bytes_(expected_bytes) {
  if (!bar_.shown()) return;
  thread_ = std::thread([this] {
    do {
      const int64_t bytes = BytesIn(dir_);
      // Not quite full before it is done: the estimate may have been too low.
      bar_.Show(static_cast<double>(std::min(bytes, expected_bytes_ * 99 / 100)), static_cast<double>(expected_bytes_),
                absl::StrCat(HumanSize(bytes), " written"));
      absl::SleepFor(kLook);
    } while (!done_);
  });
}

GrowthWatch::~GrowthWatch() {
  done_ = true;
  if (thread_.joinable()) thread_.join();
}

int64_t GrowthWatch::BytesIn(const std::string& dir) {
  namespace fs = std::filesystem;
  int64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator it(dir, error), end; !error && it != end; it.increment(error)) {
    std::error_code gone;
    const bool is_file = it->is_regular_file(gone);
    const auto size = is_file ? it->file_size(gone) : 0;
    if (!gone) bytes += static_cast<int64_t>(size);
  }
  return bytes;
}

}  // namespace keel::ctl
