#include "client/src/endpoint_picker.h"

#include <gtest/gtest.h>

namespace keel::client {
namespace {

const absl::Time kNow = absl::UnixEpoch();
constexpr size_t kFirst[] = {0};

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
  EXPECT_EQ(two.Pick(kNow, kFirst), 1u);
  EndpointPicker one(1, Balance::kSticky, 0);
  EXPECT_EQ(one.Pick(kNow, kFirst), 0u);
}

TEST(EndpointPickerTest, WhenAllRestTheNextIsStillNotTheOneToAvoid) {
  EndpointPicker picker(2, Balance::kSticky, 0);
  picker.Failed(0, kNow);
  picker.Failed(1, kNow);
  picker.Failed(1, kNow);
  EXPECT_EQ(picker.Pick(kNow, kFirst), 1u);
}

TEST(EndpointPickerTest, AvoidsEveryEndpointThatWasTriedInThisRound) {
  EndpointPicker picker(3, Balance::kSticky, 0);
  const size_t tried[] = {0, 1};
  EXPECT_EQ(picker.Pick(kNow, tried), 2u);
  picker.Failed(2, kNow);
  EXPECT_EQ(picker.Pick(kNow, tried), 2u);  // Resting, but the only one left.
  const size_t all[] = {0, 1, 2};
  EXPECT_NE(picker.Pick(kNow, all), 2u);
}

TEST(EndpointPickerTest, GoesToTheLeaderWhileItIsKnownAndHealthy) {
  EndpointPicker picker(3, Balance::kLeader, 0);
  EXPECT_EQ(picker.Pick(kNow), 0u);
  picker.set_leader(2);
  EXPECT_EQ(picker.Pick(kNow), 2u);
  picker.Failed(2, kNow);
  EXPECT_NE(picker.Pick(kNow), 2u);
  picker.Succeeded(2);
  EXPECT_EQ(picker.Pick(kNow), 2u);
  const size_t tried[] = {2};
  EXPECT_NE(picker.Pick(kNow, tried), 2u);
  picker.set_leader(std::nullopt);
  const size_t home = picker.Pick(kNow);
  EXPECT_EQ(picker.Pick(kNow), home);
}

TEST(EndpointPickerTest, OnlyTheLeaderBalanceCaresWhoLeads) {
  EndpointPicker picker(3, Balance::kSticky, 0);
  picker.set_leader(2);
  EXPECT_EQ(picker.Pick(kNow), 0u);
}

}  // namespace
}  // namespace keel::client
