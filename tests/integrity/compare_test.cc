#include "server/integrity/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace keel::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(CompareHashesTest, EqualMembersAreEqualAtTheNewestCommonPlace) {
  const Verdict verdict =
      CompareHashes({{1, {{256, 10}, {300, 11}}}, {2, {{256, 10}, {290, 12}}}, {3, {{256, 10}}}}, 3);
  EXPECT_EQ(verdict.index, 256u);
  EXPECT_EQ(verdict.compared, 3u);
  EXPECT_FALSE(verdict.differ);
}

TEST(CompareHashesTest, TheOneAgainstAMajorityIsTheSuspectWhoeverAsks) {
  for (const uint64_t wrong : {1, 2, 3}) {
    std::vector<MemberHashes> members;
    for (const uint64_t id : {1, 2, 3}) members.push_back({id, {{300, id == wrong ? 13u : 12u}}});
    const Verdict verdict = CompareHashes(members, 3);
    EXPECT_TRUE(verdict.differ);
    EXPECT_THAT(verdict.suspects, ElementsAre(wrong));
  }
}

TEST(CompareHashesTest, WithoutAMajorityOfTheWholeClusterNobodyIsNamed) {
  const Verdict two = CompareHashes({{1, {{300, 1}}}, {2, {{300, 2}}}}, 3);
  EXPECT_TRUE(two.differ);
  EXPECT_THAT(two.suspects, IsEmpty());
  const Verdict three_of_five = CompareHashes({{1, {{300, 1}}}, {2, {{300, 1}}}, {3, {{300, 2}}}}, 5);
  EXPECT_TRUE(three_of_five.differ);
  EXPECT_THAT(three_of_five.suspects, IsEmpty());
}

TEST(CompareHashesTest, AMemberAtAnotherPlaceIsNotJudged) {
  const Verdict verdict = CompareHashes({{1, {{300, 1}}}, {2, {{300, 1}}}, {3, {{256, 2}}}}, 3);
  EXPECT_EQ(verdict.compared, 2u);
  EXPECT_FALSE(verdict.differ);
  EXPECT_EQ(CompareHashes({{1, {{300, 1}}}, {2, {{301, 1}}}}, 2).compared, 0u);
  EXPECT_EQ(CompareHashes({{1, {{300, 1}}}}, 3).compared, 0u);
  EXPECT_EQ(CompareHashes({}, 0).compared, 0u);
}

TEST(CompareHashesTest, WhatTheAskerDoesNotKnowIsNotCompared) {
  EXPECT_EQ(CompareHashes({{1, {{301, 1}}}, {2, {{300, 1}}}, {3, {{300, 2}}}}, 3).compared, 0u);
}

TEST(CompareHashesTest, MoreMembersBeatANewerPlace) {
  const Verdict verdict = CompareHashes({{1, {{256, 1}, {300, 5}}}, {2, {{256, 1}, {300, 5}}}, {3, {{256, 2}}}}, 3);
  EXPECT_EQ(verdict.index, 256u);
  EXPECT_THAT(verdict.suspects, ElementsAre(3u));
}

}  // namespace
}  // namespace keel::server
