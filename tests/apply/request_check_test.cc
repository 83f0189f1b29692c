#include "server/apply/request_check.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/apply/requests.h"

namespace keel::server {
namespace {

using absl::StatusCode;
using etcdserverpb::TxnRequest;

constexpr char kNoKey[] = "etcdserver: key is not provided";
constexpr char kDuplicate[] = "etcdserver: duplicate key given in txn request";
constexpr char kTooMany[] = "etcdserver: too many operations in txn request";

void ExpectStatus(const absl::Status& status, StatusCode code, const std::string& text) {
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_EQ(std::string(status.message()), text);
}

TEST(RequestCheckTest, RangeNeedsAKeyAndAKnownSortOption) {
  etcdserverpb::RangeRequest request;
  ExpectStatus(CheckRange(request), StatusCode::kInvalidArgument, kNoKey);
  request.set_key("k");
  EXPECT_TRUE(CheckRange(request).ok());
  request.set_sort_order(static_cast<etcdserverpb::RangeRequest::SortOrder>(3));
  ExpectStatus(CheckRange(request), StatusCode::kInvalidArgument, "etcdserver: invalid sort option");
  request.clear_sort_order();
  request.set_sort_target(static_cast<etcdserverpb::RangeRequest::SortTarget>(-1));
  ExpectStatus(CheckRange(request), StatusCode::kInvalidArgument, "etcdserver: invalid sort option");
}

TEST(RequestCheckTest, PutKeepsEitherTheOldValueOrTheGivenOne) {
  etcdserverpb::PutRequest request;
  request.set_value("v");
  request.set_ignore_value(true);
  ExpectStatus(CheckPut(request), StatusCode::kInvalidArgument, kNoKey);
  request.set_key("k");
  ExpectStatus(CheckPut(request), StatusCode::kInvalidArgument, "etcdserver: value is provided");
  request.clear_value();
  request.set_lease(-7);
  request.set_ignore_lease(true);
  ExpectStatus(CheckPut(request), StatusCode::kInvalidArgument, "etcdserver: lease is provided");
  request.clear_lease();
  EXPECT_TRUE(CheckPut(request).ok());
}

TEST(RequestCheckTest, DeleteRangeNeedsAKey) {
  etcdserverpb::DeleteRangeRequest request;
  request.set_range_end("z");
  ExpectStatus(CheckDeleteRange(request), StatusCode::kInvalidArgument, kNoKey);
  request.set_key("a");
  EXPECT_TRUE(CheckDeleteRange(request).ok());
}

TEST(RequestCheckTest, TxnChecksComparesBeforeOperationsAndBothBranches) {
  TxnRequest txn;
  EXPECT_TRUE(CheckTxn(txn, 128).ok());

  txn.add_failure();  // Nothing set.
  ExpectStatus(CheckTxn(txn, 128), StatusCode::kInvalidArgument, "etcdserver: key not found");
  txn.add_compare();
  ExpectStatus(CheckTxn(txn, 128), StatusCode::kInvalidArgument, kNoKey);
  txn.mutable_compare(0)->set_key("k");
  AddPut(txn.mutable_success(), "k", "v")->set_ignore_value(true);
  ExpectStatus(CheckTxn(txn, 128), StatusCode::kInvalidArgument, "etcdserver: value is provided");
}

TEST(RequestCheckTest, TxnCountsItsLongestListAndExactlyTheLimitPasses) {
  for (int list = 0; list < 3; ++list) {
    SCOPED_TRACE(list);
    TxnRequest txn;
    for (int i = 0; i < 128; ++i) {
      const std::string key = "k" + std::to_string(i);
      if (list == 0) txn.add_compare()->set_key(key);
      if (list == 1) AddPut(txn.mutable_success(), key, "");
      if (list == 2) AddRange(txn.mutable_failure(), key);
    }
    EXPECT_TRUE(CheckTxn(txn, 128).ok());
    ExpectStatus(CheckTxn(txn, 127), StatusCode::kInvalidArgument, kTooMany);
  }
}

TEST(RequestCheckTest, NestedTxnDrawsFromItsParentsBudgetAndSiblingsDoNotAddUp) {
  TxnRequest txn;
  for (int sibling = 0; sibling < 2; ++sibling) {
    TxnRequest* nested = AddTxn(txn.mutable_success());
    for (int i = 0; i < 2; ++i) AddRange(nested->mutable_success(), "k");
  }
  EXPECT_TRUE(CheckTxn(txn, 4).ok());
  ExpectStatus(CheckTxn(txn, 3), StatusCode::kInvalidArgument, kTooMany);
}

struct DuplicateCase {
  const char* name;
  // A list of operations: "p:KEY" put, "d:KEY" or "d:KEY:END" delete, "r:KEY" range, "(then|else)" a nested
  // transaction.
  const char* ops;
  bool duplicate;
};

TEST(RequestCheckTest, DuplicateKeys) {
  const DuplicateCase cases[] = {
      {"one put", "p:a", false},
      {"two keys", "p:a p:b", false},
      {"put twice", "p:a p:a", true},
      {"put then delete", "p:a d:a", true},
      {"delete then put", "d:a p:a", true},
      {"delete range over put", "d:a:c p:b", true},
      {"put at the excluded end", "d:a:c p:c", false},
      {"put at the included start", "d:a:c p:a", true},
      {"put before the range", "d:b:c p:a", false},
      {"a longer key is another key", "d:a p:aa", false},
      {"overlapping deletes", "d:a:c d:b:d d:b", false},
      {"put in the seam of two deletes", "d:a:c d:c:e p:c", true},
      {"put covered by the longer of nested deletes", "d:a:z d:b:c p:x", true},
      {"range and put", "r:a p:a", false},
      {"range and delete", "r:a d:a", false},
      {"inverted delete covers nothing", "d:c:a p:b", false},
      {"empty delete covers nothing", "d:b:b p:b", false},
      {"from-key delete is never seen", "d:a:0 p:b", false},
      {"all-keys delete is never seen", "d:0:0 p:b", false},
      {"put and nested put", "p:a (p:a|)", true},
      {"nested put before put", "(p:a|) p:a", true},
      {"put and nested else put", "p:a (|p:a)", true},
      {"branches of one nested put the same", "(p:a|p:a)", false},
      {"branches of one nested, put and delete", "(p:a|d:a)", false},
      {"two nested put the same", "(p:a|) (p:a|)", true},
      {"two nested put the same in other branches", "(p:a|) (|p:a)", true},
      {"both branches, then a sibling", "(p:a|p:a) (|p:a)", true},
      {"nested put under a delete", "d:a (p:a|)", true},
      {"nested put before a delete", "(p:a|) d:a", true},
      {"nested delete and a put", "(d:a|) p:a", true},
      {"put and a nested delete", "p:a (|d:a:c)", true},
      {"nested delete then sibling put", "(d:a|) (p:a|)", true},
      {"nested put then sibling delete", "(p:a|) (d:a|)", false},
      {"inside one nested", "(p:a p:a|)", true},
      {"inside a nested else", "(|d:a p:a)", true},
      {"deeply nested put", "p:a ((|(p:a|))|)", true},
      {"deeply nested delete", "p:b (((d:a:c|)|)|)", true},
      {"deeply nested, apart", "p:a ((|(p:b|d:c:d))|)", false},
  };
  for (const DuplicateCase& c : cases) {
    SCOPED_TRACE(c.name);
    for (bool success : {true, false}) {
      TxnRequest txn;
      ParseOps(c.ops, success ? txn.mutable_success() : txn.mutable_failure());
      const absl::Status status = CheckTxn(txn, 128);
      if (c.duplicate) {
        ExpectStatus(status, StatusCode::kInvalidArgument, kDuplicate);
      } else {
        EXPECT_TRUE(status.ok()) << status;
      }
    }
  }
}

TEST(RequestCheckTest, SuccessAndFailureMayWriteTheSameKey) {
  TxnRequest txn;
  AddPut(txn.mutable_success(), "k", "1");
  AddPut(txn.mutable_failure(), "k", "2");
  EXPECT_TRUE(CheckTxn(txn, 128).ok());
}

TEST(RequestCheckTest, LeaseTtlHasAnUpperLimit) {
  etcdserverpb::LeaseGrantRequest request;
  request.set_ttl(9'000'000'000);
  EXPECT_TRUE(CheckLeaseGrant(request).ok());
  request.set_ttl(9'000'000'001);
  ExpectStatus(CheckLeaseGrant(request), StatusCode::kOutOfRange, "etcdserver: too large lease TTL");
}

TEST(RequestCheckTest, ChosenLeaseIsPositiveAndOfTheMinimumTtl) {
  Random random(1);
  for (int i = 0; i < 1000; ++i) {
    etcdserverpb::LeaseGrantRequest request;
    request.set_ttl(-5);
    ChooseLease(2, &random, &request);
    ASSERT_GT(request.id(), 0);
    ASSERT_EQ(request.ttl(), 2);
  }
  etcdserverpb::LeaseGrantRequest request;
  request.set_id(-7);
  request.set_ttl(60);
  ChooseLease(2, &random, &request);
  EXPECT_EQ(request.id(), -7);
  EXPECT_EQ(request.ttl(), 60);
}

TEST(RequestCheckTest, AlarmActionAndTypeMustBeKnown) {
  etcdserverpb::AlarmRequest request;
  EXPECT_TRUE(CheckAlarm(request).ok());
  request.set_action(static_cast<etcdserverpb::AlarmRequest::AlarmAction>(3));
  EXPECT_EQ(CheckAlarm(request).code(), StatusCode::kInvalidArgument);
  request.clear_action();
  request.set_alarm(static_cast<etcdserverpb::AlarmType>(9));
  EXPECT_EQ(CheckAlarm(request).code(), StatusCode::kInvalidArgument);
}

TEST(RequestCheckTest, TxnCostsItsDearerBranchNestedIncluded) {
  TxnRequest txn;
  AddRange(txn.mutable_success(), "k");
  EXPECT_EQ(QuotaCost(txn), 0);
  AddPut(txn.mutable_success(), "key", "value");
  AddDelete(txn.mutable_failure(), "a", "z");
  EXPECT_EQ(QuotaCost(txn), 256 + 3 + 5);
  TxnRequest* nested = AddTxn(txn.mutable_failure());
  AddPut(nested->mutable_success(), "k", "");
  AddPut(nested->mutable_failure(), "k", "0123456789");
  EXPECT_EQ(QuotaCost(txn), 256 + 1 + 10);
}

TEST(RequestCheckTest, QuotaZeroIsTwoGibibytesAndNegativeIsNone) {
  const int64_t two_gib = int64_t{2} << 30;
  EXPECT_TRUE(QuotaExceeded(two_gib - 10, 10, 0));
  EXPECT_FALSE(QuotaExceeded(two_gib - 11, 10, 0));
  EXPECT_FALSE(QuotaExceeded(int64_t{1} << 60, 10, -1));
  EXPECT_FALSE(QuotaExceeded(100, 0, 50)) << "what adds nothing passes";
  EXPECT_TRUE(QuotaExceeded(100, 1, 50));
}

}  // namespace
}  // namespace keel::server
