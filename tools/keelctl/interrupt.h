#pragma once

#include "absl/time/time.h"

namespace keel::ctl {

// SIGINT and SIGTERM turn into this for commands that hold something: they then let go and end in order.
class Interrupt {
 public:
  // Installs the handlers; once per process.
  static void Install();
  static bool happened();
  // Blocks until a signal came or `deadline`. True: it came.
  static bool Wait(absl::Time deadline);
};

}  // namespace keel::ctl
