#include "server/api/wire_reply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/api/grpc_reply.h"

namespace keel::server {
namespace {

mvccpb::KeyValue PairOf(int i, size_t value_bytes) {
  mvccpb::KeyValue pair;
  pair.set_key(absl::StrCat("key", i));
  pair.set_mod_revision(i + 2);
  pair.set_value(std::string(value_bytes, 'v'));
  return pair;
}

etcdserverpb::ResponseHeader Header() {
  etcdserverpb::ResponseHeader header;
  header.set_cluster_id(7);
  header.set_revision(300);
  return header;
}

class WireReplyTest : public testing::Test {
 protected:
  const std::shared_ptr<ReplyBudget> budget_ =
      std::make_shared<ReplyBudget>(ReplyBudget::Options{.total_bytes = 4u << 20, .request_bytes = 2u << 20});
};

TEST_F(WireReplyTest, TheBytesAreThoseOfTheMessage) {
  for (const int pairs : {0, 1, 2, 1000}) {
    for (const size_t value_bytes : {size_t{0}, size_t{1}, size_t{126}, size_t{1000}}) {
      SCOPED_TRACE(absl::StrCat(pairs, " pairs of ", value_bytes));
      etcdserverpb::RangeResponse message;
      WireReply reply(budget_->NewShare());
      *message.mutable_header() = Header();
      reply.PutHeader(Header());
      for (int i = 0; i < pairs; ++i) {
        *message.add_kvs() = PairOf(i, value_bytes);
        ASSERT_TRUE(reply.Add(message.kvs(i).SerializeAsString()));
        ASSERT_EQ(reply.last_pair(), message.kvs(i).SerializeAsString());
      }
      message.set_more(pairs > 1);
      message.set_count(pairs * 300);
      reply.PutTotals(message.more(), message.count());
      EXPECT_EQ(reply.pairs(), static_cast<size_t>(pairs));
      EXPECT_EQ(absl::StrJoin(reply.Release().blocks, ""), message.SerializeAsString());
    }
  }
}

TEST_F(WireReplyTest, APieceHoldsTheResponseAndItsHeaderMayComeLast) {
  WireReply reply(budget_->NewShare(), 1000);
  ASSERT_TRUE(reply.Add(PairOf(1, 200).SerializeAsString()));
  reply.PutHeader(Header());
  reply.PutTotals(false, 1);
  reply.WrapInPiece();
  etcdserverpb::RangeStreamResponse expected;
  *expected.mutable_range_response()->mutable_header() = Header();
  *expected.mutable_range_response()->add_kvs() = PairOf(1, 200);
  expected.mutable_range_response()->set_count(1);
  EXPECT_EQ(absl::StrJoin(reply.Release().blocks, ""), expected.SerializeAsString());
}

TEST_F(WireReplyTest, APieceIsNotLargerThanAskedForUnlessItsFirstPairIs) {
  const std::string pair = PairOf(1, 100).SerializeAsString();
  WireReply exact(budget_->NewShare(), 3 * (pair.size() + 2));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(exact.Add(pair));
  EXPECT_FALSE(exact.Add(pair));
  WireReply short_by_one(budget_->NewShare(), 3 * (pair.size() + 2) - 1);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(short_by_one.Add(pair));
  EXPECT_FALSE(short_by_one.Add(pair));
  EXPECT_EQ(short_by_one.pairs(), 2u);
  WireReply tiny(budget_->NewShare(), 10);
  EXPECT_TRUE(tiny.Add(pair));
  EXPECT_FALSE(tiny.Add(pair));
}

TEST_F(WireReplyTest, AReplyEndsWhereItsShareDoes) {
  const auto share = budget_->NewShare();
  WireReply reply(share);
  const std::string pair = PairOf(1, 100000).SerializeAsString();
  while (reply.Add(pair)) {
  }
  EXPECT_EQ(share->refusal(), ReplyShare::Refusal::kTooLarge);
  EXPECT_GE(reply.pairs(), 14u);
  EXPECT_LE(reply.allocated_bytes(), 2u << 20);
  EXPECT_GE(budget_->stats().in_use_bytes, reply.allocated_bytes());
}

TEST_F(WireReplyTest, WhatIsHeldToSortCountsToo) {
  WireReply reply(budget_->NewShare());
  EXPECT_TRUE(reply.Hold(1u << 20));
  EXPECT_EQ(budget_->stats().in_use_bytes, 1u << 20);
  EXPECT_FALSE(reply.Hold(3u << 20));
}

TEST_F(WireReplyTest, TheShareEndsWithTheLastByteThatGrpcHolds) {
  auto share = budget_->NewShare();
  WireReply reply(share);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(reply.Add(PairOf(i, 100000).SerializeAsString()));
  share.reset();
  grpc::ByteBuffer bytes = ToByteBuffer(std::move(reply));
  EXPECT_GT(bytes.Length(), 1000000u);
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(bytes.Dump(&slices).ok());
  bytes.Clear();
  EXPECT_GT(budget_->stats().in_use_bytes, 1000000u);
  slices.resize(1);
  EXPECT_GT(budget_->stats().in_use_bytes, 1000000u);
  slices.clear();
  EXPECT_EQ(budget_->stats().in_use_bytes, 0u);
}

}  // namespace
}  // namespace keel::server
