#include "server/gateway/call_headers.h"

#include <gmock/gmock.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace keel::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using Metadata = std::vector<std::pair<std::string, std::string>>;

const absl::Time kNow = absl::FromUnixSeconds(1000000);

absl::StatusOr<CallHeaders> Read(Metadata headers) {
  HttpRequest request;
  request.headers = std::move(headers);
  return ReadCallHeaders(request, kNow);
}

absl::Time DeadlineOf(const std::string& timeout) {
  auto headers = Read({{"Grpc-Timeout", timeout}});
  return headers.ok() ? headers->deadline : absl::InfinitePast();
}

TEST(CallHeadersTest, TimeoutsHaveADigitOrMoreAndAUnit) {
  EXPECT_EQ(DeadlineOf("2H"), kNow + absl::Hours(2));
  EXPECT_EQ(DeadlineOf("3M"), kNow + absl::Minutes(3));
  EXPECT_EQ(DeadlineOf("04S"), kNow + absl::Seconds(4));
  EXPECT_EQ(DeadlineOf("5m"), kNow + absl::Milliseconds(5));
  EXPECT_EQ(DeadlineOf("6u"), kNow + absl::Microseconds(6));
  EXPECT_EQ(DeadlineOf("7n"), kNow + absl::Nanoseconds(7));
  EXPECT_EQ(DeadlineOf("999999999999999999H"), absl::InfiniteFuture());
  for (const char* bad :
       {"", "S", "5", "5s", "-5S", "+5S", "5.0S", " 5S", "5S ", "9999999999999999999S", "0x5S", "5SS"}) {
    EXPECT_EQ(DeadlineOf(bad), absl::InfinitePast()) << bad;
  }
}

TEST(CallHeadersTest, MetadataIsPassedOnUnderItsName) {
  EXPECT_THAT(Read({{"Grpc-Metadata-HasLeader", "true"}, {"GRPC-METADATA-x-bin", "AP8="}})->metadata,
              ElementsAre(Pair("hasleader", "true"), Pair("x-bin", std::string("\0\xff", 2))));
  EXPECT_THAT(Read({{"Authorization", "Bearer t"}})->metadata,
              ElementsAre(Pair("authorization", "Bearer t"), Pair("grpcgateway-authorization", "Bearer t")));
  EXPECT_THAT(Read({{"Accept", "*/*"}, {"X-Own", "1"}})->metadata, ElementsAre(Pair("grpcgateway-accept", "*/*")));
}

TEST(CallHeadersTest, WhatSteersTheCallItselfIsLeftOut) {
  for (const char* name :
       {"grpc-timeout", "grpc-encoding", "te", "content-type", "user-agent", "host", ":path", "", "a b"}) {
    auto headers = Read({{std::string("Grpc-Metadata-") + name, "1"}});
    ASSERT_TRUE(headers.ok()) << name;
    EXPECT_THAT(headers->metadata, IsEmpty()) << name;
  }
}

TEST(CallHeadersTest, UnprintableMetadataIsRefusedAndOtherUnprintableHeadersAreLeftOut) {
  EXPECT_FALSE(Read({{"Grpc-Metadata-X", "a\x01"}}).ok());
  EXPECT_FALSE(Read({{"Grpc-Metadata-X-bin", "%%"}}).ok());
  EXPECT_FALSE(Read({{"Authorization", "\xff"}}).ok());
  EXPECT_THAT(Read({{"Referer", "\xff"}})->metadata, IsEmpty());
}

grpc_slice SliceOver(const std::string& text) { return grpc_slice_from_static_buffer(text.data(), text.size()); }

// gRPC ends the process over metadata it finds illegal.
TEST(CallHeadersTest, NothingIllegalReachesGrpc) {
  const uint64_t seed = Random::EntropySeed();
  SCOPED_TRACE(seed);
  Random random(seed);
  const std::vector<std::string> prefixes = {"Grpc-Metadata-", "grpc-metadata-grpc-", "Authorization", "Cookie",
                                             "Grpc-Metadata-a-bin"};
  int passed = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string name = prefixes[random.Below(prefixes.size())];
    for (uint64_t n = random.Below(4); n > 0; --n) name.push_back(static_cast<char>(random.Next()));
    std::string value;
    for (uint64_t n = random.Below(6); n > 0; --n) {
      value.push_back(static_cast<char>(random.Below(4) == 0 ? random.Next() : ' ' + random.Below(95)));
    }
    auto headers = Read({{name, value}});
    if (!headers.ok()) continue;
    for (const auto& [key, text] : headers->metadata) {
      ++passed;
      ASSERT_TRUE(grpc_header_key_is_legal(SliceOver(key))) << key;
      ASSERT_TRUE(key.ends_with("-bin") || grpc_header_nonbin_value_is_legal(SliceOver(text))) << key << ": " << text;
    }
  }
  EXPECT_GT(passed, 100);
}

}  // namespace
}  // namespace keel::server
