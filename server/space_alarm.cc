#include "server/space_alarm.h"

#include <limits>

#include "server/apply/request_check.h"

namespace keel::server {
namespace {

int64_t LowWater(int64_t quota_bytes) {
  if (quota_bytes < 0) return std::numeric_limits<int64_t>::max();  // No quota, so always room.
  return QuotaLimit(quota_bytes) / 10 * 9;
}

}  // namespace

SpaceAlarm::SpaceAlarm(int64_t quota_bytes, bool raised) : low_water_bytes_(LowWater(quota_bytes)), was_full_(raised) {}

bool SpaceAlarm::Poll(bool raised, int64_t in_use_bytes) {
  const bool has_room = in_use_bytes < low_water_bytes_;
  if (!raised) {
    was_full_ = false;
    return false;
  }
  was_full_ |= !has_room;
  return was_full_ && has_room;
}

}  // namespace keel::server
