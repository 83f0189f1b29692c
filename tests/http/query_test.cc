#include "server/http/query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace keel::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(QueryTest, KeepsRepeatedKeysInOrder) {
  const Query query = ParseQuery("exclude=NOSPACE&verbose&exclude=CORRUPT");
  EXPECT_THAT(query.All("exclude"), ElementsAre("NOSPACE", "CORRUPT"));
  EXPECT_TRUE(query.Has("verbose"));
  EXPECT_EQ(query.First("verbose"), "");
  EXPECT_FALSE(query.Has("serializable"));
}

TEST(QueryTest, DecodesEscapesAndDropsWhatIsMalformed) {
  const Query query = ParseQuery("a=1%202&b=x+y&c=%zz&d=%4");
  EXPECT_EQ(query.First("a"), "1 2");
  EXPECT_EQ(query.First("b"), "x y");
  EXPECT_FALSE(query.Has("c"));
  EXPECT_FALSE(query.Has("d"));
  EXPECT_THAT(ParseQuery("").pairs, IsEmpty());
}

}  // namespace
}  // namespace keel::server
