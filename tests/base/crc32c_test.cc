#include "base/crc32c.h"

#include <gtest/gtest.h>

namespace keel {
namespace {

TEST(Crc32cTest, KnownValues) {
  // The check value of the Castagnoli polynomial, and RFC 3720 appendix B.4.
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(Crc32c(""), 0u);
}

TEST(Crc32cTest, ExtendingInPiecesGivesTheSame) {
  const std::string text = "a record that is written in several pieces of odd lengths";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    EXPECT_EQ(ExtendCrc32c(Crc32c(text.substr(0, cut)), text.substr(cut)), Crc32c(text)) << "cut at " << cut;
  }
}

}  // namespace
}  // namespace keel
