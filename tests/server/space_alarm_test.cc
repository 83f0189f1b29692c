#include "server/space_alarm.h"

#include <gtest/gtest.h>

namespace keel::server {
namespace {

TEST(SpaceAlarmTest, GoesOnceThereIsRoomAgain) {
  SpaceAlarm alarm(1000, false);
  EXPECT_FALSE(alarm.Poll(false, 999));
  EXPECT_FALSE(alarm.Poll(true, 1000));
  EXPECT_FALSE(alarm.Poll(true, 900));
  EXPECT_TRUE(alarm.Poll(true, 899));
  EXPECT_TRUE(alarm.Poll(true, 899)) << "until it is gone";
  EXPECT_FALSE(alarm.Poll(false, 899));
}

TEST(SpaceAlarmTest, OneRaisedByHandOnAMemberWithRoomStays) {
  SpaceAlarm alarm(1000, false);
  EXPECT_FALSE(alarm.Poll(true, 10));
  EXPECT_FALSE(alarm.Poll(true, 899));
  EXPECT_FALSE(alarm.Poll(true, 900)) << "now it is about space";
  EXPECT_TRUE(alarm.Poll(true, 10));
}

TEST(SpaceAlarmTest, OneFromBeforeTheStartGoes) {
  SpaceAlarm alarm(1000, true);
  EXPECT_TRUE(alarm.Poll(true, 10));
}

TEST(SpaceAlarmTest, TheDefaultQuotaAndNone) {
  EXPECT_EQ(SpaceAlarm(0, false).low_water_bytes(), (int64_t{2} << 30) / 10 * 9);
  SpaceAlarm none(-1, true);
  EXPECT_TRUE(none.Poll(true, int64_t{1} << 50));
}

}  // namespace
}  // namespace keel::server
