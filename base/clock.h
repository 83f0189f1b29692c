#pragma once

// Time, passed in. A Clock is monotonic: its absl::Time values have an arbitrary zero, never go back, and mean nothing
// to another process. Wall time is only for log lines and users' eyes.

#include "absl/time/time.h"

namespace keel {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;

  // The machine's monotonic clock.
  static const Clock& Real();
};

// A clock that stands still until told otherwise. Thread-safe only for one setter and readers on the same thread.
class ManualClock : public Clock {
 public:
  absl::Time Now() const override { return now_; }
  void Advance(absl::Duration by) { now_ += by; }

 private:
  absl::Time now_ = absl::UnixEpoch();
};

}  // namespace keel
