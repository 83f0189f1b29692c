#include "client/src/service_instances.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace keel::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const absl::Time kNow = absl::UnixEpoch();

ServiceInstance At(const std::string& address, double weight = 1, double load = 0,
                   InstanceHealth health = InstanceHealth::kPassing) {
  return {.address = address, .weight = weight, .report = {.health = health, .load = load}};
}

std::vector<std::string> Addresses(const std::vector<ServiceInstance>& instances) {
  std::vector<std::string> addresses;
  for (const ServiceInstance& i : instances) addresses.push_back(i.address + (i.is_retained ? " (retained)" : ""));
  return addresses;
}

TEST(InstanceJsonTest, ComesBackAsItWas) {
  ServiceInstance instance = At("10.0.0.1:80", 2.5, 7, InstanceHealth::kFailing);
  instance.metadata = {{"zone", "a\"b"}};
  const auto back = InstanceFromJson("name", InstanceToJson(instance));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->address, "10.0.0.1:80");
  EXPECT_EQ(back->weight, 2.5);
  EXPECT_EQ(back->report.load, 7);
  EXPECT_EQ(back->report.health, InstanceHealth::kFailing);
  EXPECT_EQ(back->metadata, instance.metadata);
}

TEST(InstanceJsonTest, ReadsWhatOtherLanguagesWrite) {
  const auto plain = InstanceFromJson("10.0.0.1:80", R"({"Op":0,"Addr":"10.0.0.1:80","Metadata":null})");
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(plain->address, "10.0.0.1:80");
  EXPECT_EQ(plain->weight, 1);
  EXPECT_EQ(plain->report.health, InstanceHealth::kPassing);
  // Metadata of any type is allowed there, and ours may be of a wrong one.
  EXPECT_TRUE(InstanceFromJson("a", R"({"Addr":"a","Metadata":"text"})").has_value());
  EXPECT_EQ(InstanceFromJson("a", R"({"Addr":"a","Metadata":{"weight":"2","health":1,"metadata":[]}})")->weight, 1);
  EXPECT_EQ(InstanceFromJson("the-key", "{}")->address, "the-key");
  EXPECT_EQ(InstanceFromJson("a", R"({"Op":1,"Addr":"a"})"), std::nullopt);
  EXPECT_EQ(InstanceFromJson("a", "no json"), std::nullopt);
  EXPECT_EQ(InstanceFromJson("a", "[1]"), std::nullopt);
}

TEST(InstanceSetTest, FewThatVanishAreGoneAtOnce) {
  InstanceSet set(0.5, absl::Seconds(30), absl::Minutes(10));
  for (const char* a : {"a", "b", "c", "d"}) set.Put(a, At(a), kNow);
  set.Remove("a", kNow);
  set.Remove("b", kNow);
  EXPECT_FALSE(set.is_protecting(kNow));
  EXPECT_THAT(Addresses(set.List(kNow)), ElementsAre("c", "d"));
}

TEST(InstanceSetTest, WhenMostVanishTogetherTheLastKnownStayUntilTheyAreBack) {
  InstanceSet set(0.5, absl::Seconds(30), absl::Minutes(10));
  for (const char* a : {"a", "b", "c", "d"}) set.Put(a, At(a), kNow);
  for (const char* a : {"a", "b", "c"}) set.Remove(a, kNow);
  EXPECT_TRUE(set.is_protecting(kNow));
  EXPECT_THAT(Addresses(set.List(kNow)), ElementsAre("a (retained)", "b (retained)", "c (retained)", "d"));
  // What vanishes now is kept too, window or not.
  set.Remove("d", kNow + absl::Minutes(5));
  EXPECT_EQ(set.List(kNow + absl::Minutes(5)).size(), 4u);
  set.Put("a", At("a"), kNow + absl::Minutes(6));
  EXPECT_THAT(Addresses(set.List(kNow + absl::Minutes(6))),
              ElementsAre("a", "b (retained)", "c (retained)", "d (retained)"));
  set.Put("b", At("b"), kNow + absl::Minutes(6));  // Half are back.
  EXPECT_FALSE(set.is_protecting(kNow + absl::Minutes(6)));
  EXPECT_THAT(Addresses(set.List(kNow + absl::Minutes(6))), ElementsAre("a", "b"));
}

TEST(InstanceSetTest, ProtectionEndsWhenTheyDoNotComeBack) {
  InstanceSet set(0.5, absl::Seconds(30), absl::Minutes(10));
  set.Put("a", At("a"), kNow);
  set.Remove("a", kNow);
  EXPECT_THAT(Addresses(set.List(kNow + absl::Minutes(9))), ElementsAre("a (retained)"));
  EXPECT_THAT(Addresses(set.List(kNow + absl::Minutes(10))), IsEmpty());
}

TEST(InstanceSetTest, ThoseThatLeaveOfTheirOwnWillAreNotProtected) {
  InstanceSet set(0.5, absl::Seconds(30), absl::Minutes(10));
  for (const char* a : {"a", "b", "c"}) {
    set.Put(a, At(a), kNow);
    set.Put(a, At(a, 1, 0, InstanceHealth::kLeaving), kNow);
    EXPECT_THAT(Addresses(set.List(kNow)), IsEmpty());
    set.Remove(a, kNow);
  }
  EXPECT_FALSE(set.is_protecting(kNow));
}

TEST(InstanceSetTest, LossesFarApartAreNotAMassExpiry) {
  InstanceSet set(0.5, absl::Seconds(30), absl::Minutes(10));
  for (const char* a : {"a", "b", "c", "d"}) set.Put(a, At(a), kNow);
  set.Remove("a", kNow);
  set.Remove("b", kNow + absl::Minutes(1));
  set.Remove("c", kNow + absl::Minutes(2));
  EXPECT_THAT(Addresses(set.List(kNow + absl::Minutes(2))), ElementsAre("d"));
}

TEST(InstanceSetTest, AProtectionOfOneIsNone) {
  InstanceSet set(1, absl::Seconds(30), absl::Minutes(10));
  set.Put("a", At("a"), kNow);
  set.Remove("a", kNow);
  EXPECT_THAT(Addresses(set.List(kNow)), IsEmpty());
}

std::string Picks(const std::vector<ServiceInstance>& instances, PickPolicy policy, int count) {
  InstancePicker picker;
  std::string picks;
  for (int i = 0; i < count; ++i) picks += picker.Pick(instances, policy)->address;
  return picks;
}

TEST(InstancePickerTest, GoesRound) {
  EXPECT_EQ(Picks({At("a"), At("b"), At("c")}, PickPolicy::kRoundRobin, 7), "abcabca");
}

TEST(InstancePickerTest, WeightsAreSharesAndInterleaved) {
  const std::string picks = Picks({At("a", 5), At("b", 1), At("c", 1)}, PickPolicy::kWeighted, 70);
  EXPECT_EQ(std::count(picks.begin(), picks.end(), 'a'), 50);
  EXPECT_EQ(std::count(picks.begin(), picks.end(), 'b'), 10);
  EXPECT_EQ(picks.find("aaaaaa"), std::string::npos);
}

TEST(InstancePickerTest, TheLeastLoadedForItsWeightIsChosenUntilItHasHadItsShare) {
  const std::vector<ServiceInstance> instances = {At("a", 1, 10), At("b", 1, 7), At("c", 2, 40)};
  InstancePicker picker;
  std::string picks;
  for (int i = 0; i < 4; ++i) picks += picker.Pick(instances, PickPolicy::kLeastLoaded)->address;
  EXPECT_EQ(picks.substr(0, 3), "bbb");  // 7, 8, 9, then as loaded as the other.
  picker.Reported("b");
  EXPECT_EQ(picker.Pick(instances, PickPolicy::kLeastLoaded)->address, "b");
}

TEST(InstancePickerTest, FailingOnesAreTheLastResort) {
  const ServiceInstance sick = At("sick", 1, 0, InstanceHealth::kFailing);
  EXPECT_EQ(Picks({sick, At("a")}, PickPolicy::kRoundRobin, 3), "aaa");
  EXPECT_EQ(Picks({sick}, PickPolicy::kRoundRobin, 2), "sicksick");
  EXPECT_EQ(InstancePicker().Pick({}, PickPolicy::kWeighted), std::nullopt);
}

}  // namespace
}  // namespace keel::client
