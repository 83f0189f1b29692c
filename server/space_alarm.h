#pragma once

#include <cstdint>

namespace keel::server {

// When a member's NOSPACE alarm has done its work: the policy alone, told what is the case. An alarm that an operator
// raised by hand on a member with room stays until a hand takes it back; one that stands while the member is, or was at
// its last start, full goes by itself once there is room again, with a distance below the quota that keeps it from
// coming back at once.
//
// Owned by one thread.
class SpaceAlarm {
 public:
  // `quota_bytes` as configured: 0 means the default, negative none. `raised`: at the start of the process.
  SpaceAlarm(int64_t quota_bytes, bool raised);

  // True: take the alarm back now. Cheap.
  bool Poll(bool raised, int64_t in_use_bytes);

  int64_t low_water_bytes() const { return low_water_bytes_; }

 private:
  const int64_t low_water_bytes_;
  bool was_full_;  // While the alarm stands: it is about space.
};

}  // namespace keel::server
