#include "base/random.h"

#include <gtest/gtest.h>

namespace keel {
namespace {

TEST(RandomTest, SameSeedSameSequence) {
  Random a(7), b(7), c(8);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const uint64_t x = a.Next();
    EXPECT_EQ(x, b.Next());
    differs |= x != c.Next();
  }
  EXPECT_TRUE(differs);
}

TEST(RandomTest, BoundsAreInclusiveWhereSaid) {
  Random random(1);
  bool low = false, high = false;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_LT(random.Below(3), 3u);
    const int64_t x = random.Between(-1, 1);
    EXPECT_GE(x, -1);
    EXPECT_LE(x, 1);
    low |= x == -1;
    high |= x == 1;
  }
  EXPECT_TRUE(low && high);
}

}  // namespace
}  // namespace keel
