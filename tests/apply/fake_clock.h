#pragma once

#include <atomic>

#include "base/clock.h"

namespace keel::server {

// A clock that stands still until told otherwise, and may be read by any thread meanwhile.
class FakeClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixNanos(nanos_.load()); }
  void Advance(absl::Duration by) { nanos_.fetch_add(absl::ToInt64Nanoseconds(by)); }

 private:
  std::atomic<int64_t> nanos_{1'000'000'000};
};

}  // namespace keel::server
