#include "tools/keelctl/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace keel::ctl {
namespace {

using ::testing::ElementsAre;

TEST(TextTest, GoQuoteEscapesWhatGoWould) {
  EXPECT_EQ(GoQuote("plain"), R"("plain")");
  EXPECT_EQ(GoQuote("tab\tquote\"back\\nl\n"), R"("tab\tquote\"back\\nl\n")");
  EXPECT_EQ(GoQuote(std::string("\0\x01\x7f\xff", 4)), R"("\x00\x01\x7f\xff")");
  EXPECT_EQ(GoQuote("grün 鍵"), "\"grün 鍵\"");
  EXPECT_EQ(GoQuote("cut \xe9\x8d"), R"("cut \xe9\x8d")");
}

TEST(TextTest, GoUnquoteIsTheInverse) {
  Random random(7);
  for (int round = 0; round < 1000; ++round) {
    std::string bytes;
    for (uint64_t n = random.Below(20); n > 0; --n) bytes.push_back(static_cast<char>(random.Below(256)));
    const auto back = GoUnquote(GoQuote(bytes));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, bytes);
  }
  EXPECT_EQ(*GoUnquote(R"("\u00fc\101\'")"), "üA'");
  EXPECT_EQ(*GoUnquote("`raw\\n`"), "raw\\n");
}

TEST(TextTest, GoUnquoteRefusesWhatIsNotALiteral) {
  for (const char* text :
       {"", "\"", "plain", "\"open", "\"bad \\q\"", "\"short \\x1\"", "\"inner \" quote\"", "`open"}) {
    EXPECT_FALSE(GoUnquote(text).ok()) << text;
  }
}

TEST(TextTest, HumanSizeIsDecimal) {
  EXPECT_EQ(HumanSize(0), "0 B");
  EXPECT_EQ(HumanSize(999), "999 B");
  EXPECT_EQ(HumanSize(1000), "1.0 kB");
  EXPECT_EQ(HumanSize(25000), "25 kB");
  EXPECT_EQ(HumanSize(999999), "1.0 MB");
  EXPECT_EQ(HumanSize(2147483648), "2.1 GB");
}

TEST(TextTest, SplitWordsKnowsQuotes) {
  EXPECT_THAT(*SplitWords("put  k 'a b' \"c\\td\""), ElementsAre("put", "k", "a b", "c\td"));
  EXPECT_THAT(*SplitWords("put k ''"), ElementsAre("put", "k", ""));
  EXPECT_THAT(*SplitWords(" \t "), ElementsAre());
  EXPECT_FALSE(SplitWords("put 'k").ok());
  EXPECT_FALSE(SplitWords("put \"k").ok());
}

TEST(TextTest, TableCentresHeadersAndAlignsRight) {
  Table table({"ID", "NAME"});
  table.AddRow({"1", "longer"});
  EXPECT_EQ(table.ToString(),
            "+----+--------+\n"
            "| ID |  NAME  |\n"
            "+----+--------+\n"
            "|  1 | longer |\n"
            "+----+--------+\n");
}

TEST(TextTest, HexIds) {
  EXPECT_EQ(*ParseHexId("694d7f1a2b3c4d5e"), 0x694d7f1a2b3c4d5eu);
  for (const char* text : {"", "0x1", "xyz", "1 ", "12345678901234567"}) {
    EXPECT_EQ(ParseHexId(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(TextTest, Utf8IsWhatRfc3629SaysItIs) {
  for (const char* good :
       {"", "plain", "gr\xc3\xbcn", "\xe9\x8d\xb5", "\xf0\x9f\x94\x91", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(good)) << good;
  }
  for (const char* bad : {"\xff", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf0\x80\x80\xaf",
                          "\xe9\x8d", "a\x80"}) {
    EXPECT_FALSE(IsUtf8(bad)) << GoQuote(bad);
  }
}

}  // namespace
}  // namespace keel::ctl
