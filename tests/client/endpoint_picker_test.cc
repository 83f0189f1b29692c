#include "client/src/endpoint_picker.h"

#include <gtest/gtest.h>

namespace keel::client {
namespace {

const absl::Time kNow = absl::UnixEpoch();

TEST(EndpointPickerTest, StickyStaysUntilTheEndpointFails) {
  EndpointPicker picker(3, Balance::kSticky, 4);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(picker.Pick(kNow), 1u);
  picker.Failed(1, kNow);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(picker.Pick(kNow), 2u);
  // It does not go back when the first is well again.
  EXPECT_EQ(picker.Pick(kNow + absl::Hours(1)), 2u);
}

TEST(EndpointPickerTest, RoundRobinSkipsTheOneThatRests) {
  EndpointPicker picker(3, Balance::kRoundRobin, 0);
  EXPECT_EQ(picker.Pick(kNow), 0u);
  EXPECT_EQ(picker.Pick(kNow), 1u);
  picker.Failed(2, kNow);
  EXPECT_EQ(picker.Pick(kNow), 0u);
  EXPECT_EQ(picker.Pick(kNow), 1u);
  EXPECT_EQ(picker.Pick(kNow + absl::Seconds(1)), 2u);
}

TEST(EndpointPickerTest, RestsGrowWithEachFailureAndEndWithSuccess) {
  EndpointPicker picker(2, Balance::kSticky, 0);
  for (int i = 0; i < 5; ++i) picker.Failed(0, kNow);
  picker.Failed(1, kNow);
  EXPECT_TRUE(picker.has_failures());
  // Both rest; the one with fewer failures rests shorter, so it is tried.
  EXPECT_EQ(picker.Pick(kNow), 1u);
  picker.Succeeded(0);
  picker.Succeeded(1);
  EXPECT_FALSE(picker.has_failures());
  EXPECT_EQ(picker.Pick(kNow), 1u);
}

TEST(EndpointPickerTest, AvoidsAnEndpointUnlessItIsTheOnlyOne) {
  EndpointPicker two(2, Balance::kSticky, 0);
  EXPECT_EQ(two.Pick(kNow, 0), 1u);
  EndpointPicker one(1, Balance::kSticky, 0);
  EXPECT_EQ(one.Pick(kNow, 0), 0u);
}

TEST(EndpointPickerTest, WhenAllRestTheNextIsStillNotTheOneToAvoid) {
  EndpointPicker picker(2, Balance::kSticky, 0);
  picker.Failed(0, kNow);
  picker.Failed(1, kNow);
  picker.Failed(1, kNow);
  EXPECT_EQ(picker.Pick(kNow, 0), 1u);
}

}  // namespace
}  // namespace keel::client
