#include "base/sha256.h"

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"

namespace keel {
namespace {

// FIPS 180-2, appendix B.
TEST(Sha256Test, KnownAnswers) {
  Sha256 abc;
  abc.Update("abc");
  EXPECT_EQ(absl::BytesToHexString(abc.Finish()), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(absl::BytesToHexString(Sha256().Finish()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256Test, PiecesAreTheWhole) {
  Sha256 whole;
  whole.Update("abcdefgh");
  Sha256 pieces;
  for (const char* piece : {"a", "bcd", "", "efgh"}) pieces.Update(piece);
  EXPECT_EQ(pieces.Finish(), whole.Finish());
}

}  // namespace
}  // namespace keel
