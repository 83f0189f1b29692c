#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

#include "tools/keelctl/progress_bar.h"

namespace keel::ctl {

// Shows how far a directory has grown that other code fills: for work that says nothing of itself until it is done.
// The constructor begins to look, a few times a second on a thread of its own; the destructor ends it. Does nothing
// where nobody sees the bar.
class GrowthWatch {
 public:
  // `expected_bytes`: about what it will come to.
  GrowthWatch(ProgressBar& bar, std::string dir, int64_t expected_bytes);
  ~GrowthWatch();
  GrowthWatch(const GrowthWatch&) = delete;
  GrowthWatch& operator=(const GrowthWatch&) = delete;

  // Of all files below `dir`; 0 if there is none. What vanishes meanwhile does not count.
  static int64_t BytesIn(const std::string& dir);

 private:
  ProgressBar& bar_;
  const std::string dir_;
  const int64_t expected_bytes_;
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

}  // namespace keel::ctl
