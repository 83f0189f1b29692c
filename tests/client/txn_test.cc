#include "keel/txn.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/src/convert.h"

namespace keel {
namespace {

TEST(PrefixEndTest, IsTheNextKeyBehindThePrefix) {
  struct Case {
    const char* name;
    std::string prefix;
    std::string end;
  };
  const Case kCases[] = {
      {"plain", "foo", "fop"},
      {"empty", "", std::string(1, '\0')},
      {"trailing ff", "a\xff", "b"},
      {"only ff", "\xff\xff", std::string(1, '\0')},
      {"zero byte", std::string("a\0", 2), "a\x01"},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(PrefixEnd(c.prefix), c.end);
  }
}

TEST(TxnTest, ComparisonsSayTargetRelationAndOperand) {
  const Compare absent = VersionOf("k") == 0;
  EXPECT_EQ(absent.target, Compare::Target::kVersion);
  EXPECT_EQ(absent.relation, Compare::Relation::kEqual);
  EXPECT_EQ(absent.key, "k");
  EXPECT_EQ((ModRevisionOf("k") < 7).relation, Compare::Relation::kLess);
  EXPECT_EQ((CreateRevisionOf("k") > 7).number, 7);
  EXPECT_EQ((ValueOf("k") != "v").value, "v");
  EXPECT_EQ((LeaseOf("p/") == 5).ForPrefix().range_end, "p0");
}

TEST(TxnTest, NestedTransactionsReachTheWire) {
  const Txn txn = Txn()
                      .If(VersionOf("a") == 0, ValueOf("b") != "x")
                      .Then(Put("a", "1").WithLease(9), Txn().Then(Delete("c", {.prefix = true})))
                      .Else(Get("a", {.limit = 3}));
  etcdserverpb::TxnRequest wire;
  ASSERT_TRUE(client::ToProto(txn, &wire).ok());
  ASSERT_EQ(wire.compare_size(), 2);
  EXPECT_EQ(wire.compare(1).target(), etcdserverpb::Compare::VALUE);
  EXPECT_EQ(wire.compare(1).result(), etcdserverpb::Compare::NOT_EQUAL);
  ASSERT_EQ(wire.success_size(), 2);
  EXPECT_EQ(wire.success(0).request_put().lease(), 9);
  ASSERT_EQ(wire.success(1).request_txn().success_size(), 1);
  EXPECT_EQ(wire.success(1).request_txn().success(0).request_delete_range().range_end(), "d");
  EXPECT_EQ(wire.failure(0).request_range().limit(), 3);
}

TEST(TxnTest, IsReadOnlyOnlyIfNoBranchAtAnyDepthWrites) {
  EXPECT_TRUE(Txn().is_read_only());
  EXPECT_TRUE(Txn().Then(Get("a")).Else(Txn().Then(Get("b"))).is_read_only());
  EXPECT_FALSE(Txn().Then(Get("a")).Else(Put("b", "")).is_read_only());
  EXPECT_FALSE(Txn().Then(Txn().Else(Delete("b"))).is_read_only());
}

TEST(TxnTest, AmbiguousIntervalsAreRefused) {
  etcdserverpb::TxnRequest wire;
  const absl::Status status = client::ToProto(Txn().Then(Get("a", {.range_end = "b", .prefix = true})), &wire);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
}

TEST(CancelReasonTest, BecomesTheCodeItNames) {
  EXPECT_EQ(client::FromCancelReason("rpc error: code = PermissionDenied desc = etcdserver: permission denied"),
            absl::PermissionDeniedError("etcdserver: permission denied"));
  EXPECT_EQ(client::FromCancelReason("mvcc: watcher range is empty").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(client::FromCancelReason("").ok());
}

}  // namespace
}  // namespace keel
