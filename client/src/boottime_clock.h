#pragma once

// A monotonic clock that goes on while the machine is suspended: leases do too.

#include <ctime>

#include "base/clock.h"

namespace keel::client {

class BoottimeClock final : public Clock {
 public:
  absl::Time Now() const override {
    timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return absl::TimeFromTimespec(now);
  }
};

inline const Clock& Boottime() {
  static const BoottimeClock clock;
  return clock;
}

}  // namespace keel::client
