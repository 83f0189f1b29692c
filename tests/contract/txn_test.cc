#include "absl/strings/str_cat.h"
#include "tests/contract/fixture.h"

namespace keel::contract {
namespace {

using etcdserverpb::TxnRequest;
using etcdserverpb::TxnResponse;

std::string Repeated(int n, const std::string& what) {
  std::string text;
  for (int i = 0; i < n; ++i) absl::StrAppend(&text, what, " ");
  return text;
}

// `n` puts of different keys in the success branch.
std::string Puts(int n, const std::string& prefix = "k") {
  std::string text;
  for (int i = 0; i < n; ++i) absl::StrAppend(&text, "success { request_put { key: '", prefix, i, "' } } ");
  return text;
}

TEST_F(Contract, B008_IgnoreErrorsRejectTheWholeTxn) {
  Put("a");
  const std::string other = "success { request_put { key: 'other' } } ";
  EXPECT_EQ(Error("txn " + other + "success { request_put { key: 'none' ignore_value: true } }"),
            "3 etcdserver: key not found");
  EXPECT_EQ(Error("txn " + other + "success { request_put { key: 'a' value: 'v' ignore_value: true } }"),
            "3 etcdserver: value is provided");
  EXPECT_EQ(Error("txn " + other + "success { request_put { key: 'a' lease: 1 ignore_lease: true } }"),
            "3 etcdserver: lease is provided");
  EXPECT_EQ(Keys("key: 'other'"), " | | 0");
  EXPECT_EQ(Revision(), 2);
}

TEST_F(Contract, B009_AnUnknownLeaseRejectsEverythingAroundIt) {
  EXPECT_EQ(Error("put key: 'a' lease: 99"), "5 etcdserver: requested lease not found");
  EXPECT_EQ(Error("txn success { request_put { key: 'b' } } success { request_put { key: 'a' lease: 99 } }"),
            "5 etcdserver: requested lease not found");
  EXPECT_EQ(Keys("key: 'a' range_end: 'z'"), " | | 0");
  EXPECT_EQ(Revision(), 1);
}

TEST_F(Contract, B018_ExactlyAsManyOperationsAsAllowed) {
  const std::string refusal = "3 etcdserver: too many operations in txn request";
  EXPECT_TRUE(Ok<TxnResponse>("txn " + Puts(128)).succeeded());
  EXPECT_EQ(Error("txn " + Puts(129)), refusal);
  // Each list on its own.
  const std::string compares = Repeated(128, "compare { key: 'none' version: 0 }");
  const std::string reads = Repeated(128, "failure { request_range { key: 'a' } }");
  EXPECT_TRUE(Ok<TxnResponse>("txn " + compares + Puts(128, "m") + reads).succeeded());
  EXPECT_EQ(Error("txn " + Repeated(129, "compare { key: 'none' version: 0 }")), refusal);
  EXPECT_EQ(Error("txn " + Repeated(129, "failure { request_range { key: 'a' } }")), refusal);
  // What is nested draws from what its parent left; siblings do not add up.
  const auto nested = [](int inner) { return "success { request_txn { " + Puts(inner, "n") + " } } "; };
  EXPECT_TRUE(Ok<TxnResponse>("txn " + Puts(63, "o") + nested(64)).succeeded());
  EXPECT_EQ(Error("txn " + Puts(63, "o") + nested(65)), refusal);
}

TEST_F(Contract, B019_WhichWritesOfOneTxnCollide) {
  const std::string refusal = "3 etcdserver: duplicate key given in txn request";
  const std::string put = "request_put { key: 'x' }";
  const std::string erase = "request_delete_range { key: 'a' range_end: 'z' }";
  const auto op = [](const std::string& what) { return "success { " + what + " } "; };
  const auto nested = [&](const std::string& what) { return op("request_txn { " + op(what) + " }"); };
  const struct {
    const char* name;
    std::string txn;
    bool refused;
  } cases[] = {
      {"put and put", op(put) + op(put), true},
      {"put and delete", op(put) + op(erase), true},
      {"delete and put", op(erase) + op(put), true},
      {"delete and delete", op(erase) + op(erase), false},
      {"put in both branches", op(put) + "failure { " + put + " }", false},
      {"put and nested put", op(put) + nested(put), true},
      {"nested put and put", nested(put) + op(put), true},
      {"nested put and nested put", nested(put) + nested(put), true},
      {"both branches of one nested", op("request_txn { " + op(put) + "failure { " + put + " } }"), false},
      {"nested delete and put", nested(erase) + op(put), true},
      {"nested delete, then nested put", nested(erase) + nested(put), true},
      {"nested put, then nested delete", nested(put) + nested(erase), false},
      {"delete from a key on, and put", op("request_delete_range { key: 'a' range_end: '\\000' }") + op(put), false},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    if (c.refused) {
      EXPECT_EQ(Error("txn " + c.txn), refusal);
    } else {
      Ok<TxnResponse>("txn " + c.txn);
    }
  }
}

TEST_F(Contract, B020_ARangeOutsideOfHistoryAbortsTheWholeTxn) {
  Put("a");
  Put("a");
  Ok<etcdserverpb::CompactionResponse>("compact revision: 3");
  const std::string put = "success { request_put { key: 'b' } } ";
  EXPECT_EQ(Error("txn " + put + "success { request_range { key: 'a' revision: 4 } }"),
            "11 etcdserver: mvcc: required revision is a future revision");
  EXPECT_EQ(Error("txn " + put + "success { request_range { key: 'a' revision: 2 } }"),
            "11 etcdserver: mvcc: required revision has been compacted");
  EXPECT_EQ(Keys("key: 'b'"), " | | 0");
  EXPECT_EQ(Revision(), 3);
}

TEST_F(Contract, B021_ATxnHasOneRevisionAndSeesItsOwnWrites) {
  const auto txn = Ok<TxnResponse>(
      "txn success { request_put { key: 'a' } } success { request_put { key: 'b' } } "
      "success { request_range { key: 'a' range_end: 'z' } }");
  EXPECT_EQ(txn.header().revision(), 2);
  const auto& range = txn.responses(2).response_range();
  ASSERT_EQ(range.kvs_size(), 2);
  EXPECT_EQ(range.kvs(0).mod_revision(), 2);
  EXPECT_EQ(range.kvs(1).mod_revision(), 2);
  EXPECT_EQ(range.header().revision(), 2);
  EXPECT_EQ(Ok<TxnResponse>("txn success { request_range { key: 'a' } }").header().revision(), 2);
}

TEST_F(Contract, B023_ARangeCompareMustHoldForEveryKey) {
  Put("p/a");  // 2
  Put("p/b");  // 3
  Put("q");    // 4
  const auto holds = [this](const std::string& compare) {
    return Ok<TxnResponse>("txn compare { " + compare + " }").succeeded();
  };
  EXPECT_TRUE(holds("key: 'p/' range_end: 'p0' target: CREATE result: LESS create_revision: 4"));
  EXPECT_FALSE(holds("key: 'p/' range_end: 'p0' target: CREATE result: LESS create_revision: 3"));
  EXPECT_FALSE(holds("key: 'p/' range_end: '\\000' target: CREATE result: LESS create_revision: 4"));
  // No key at all counts as one of revision, version and lease 0; a value never holds.
  EXPECT_TRUE(holds("key: 'x' range_end: 'y' target: CREATE create_revision: 0"));
  EXPECT_FALSE(holds("key: 'x' range_end: 'y' target: CREATE result: GREATER create_revision: 0"));
  EXPECT_FALSE(holds("key: 'x' range_end: 'y' target: VALUE value: ''"));
  EXPECT_FALSE(holds("key: 'x' range_end: 'y' target: VALUE result: NOT_EQUAL value: ''"));
}

TEST_F(Contract, B024_NestedResultsAreATree) {
  EXPECT_EQ(Text("txn compare { key: 'none' version: 0 } success { request_txn { compare { key: 'none' version: 1 } "
                 "success { request_put { key: 'no' } } failure { request_txn { success { request_put { key: 'yes' } } "
                 "} } } }"),
            "header { revision: 2 } succeeded: true responses { response_txn { header { } responses { response_txn { "
            "header { } succeeded: true responses { response_put { header { revision: 2 } } } } } } }");
}

TEST_F(Contract, B025_AnOperationWithNothingSetIsAKeyNotFound) {
  EXPECT_EQ(Error("txn success {}"), "3 etcdserver: key not found");
  EXPECT_EQ(Error("txn failure { request_txn { success {} } }"), "3 etcdserver: key not found");
}

TEST_F(Contract, B026_ComparesChooseTheBranch) {
  Put("a key", "a value");
  Put(std::string("b\0\xff", 3), std::string("\0\x80", 2));
  const struct {
    const char* compare;
    bool holds;
  } cases[] = {
      {"key: 'a key' target: VALUE value: 'a value'", true},
      {"key: 'a key' target: VALUE value: 'a valud'", false},
      {"key: 'a key' target: VALUE result: GREATER value: 'a valud'", true},
      {"key: 'a key' target: VALUE result: LESS value: 'b'", true},
      {"key: 'b\\000\\377' target: VALUE value: '\\000\\200'", true},
      {"key: 'b\\000\\377' target: VALUE result: GREATER value: '\\000\\177'", true},  // As unsigned bytes.
      {"key: 'a key' version: 1", true},
      {"key: 'a key' result: NOT_EQUAL version: 1", false},
      {"key: 'a key' target: MOD mod_revision: 2", true},
      {"key: 'none' target: LEASE lease: 0", true},
      {"key: 'a key' target: MOD create_revision: 2", false},  // The union's other member counts as 0.
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.compare);
    EXPECT_EQ(Ok<TxnResponse>(absl::StrCat("txn compare { ", c.compare, " }")).succeeded(), c.holds);
  }
}

}  // namespace
}  // namespace keel::contract
