#include "server/apply/txn_evaluator.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "google/protobuf/text_format.h"
#include "storage/state/apply_batch.h"
#include "storage/state/state_store.h"
#include "tests/apply/one_member.h"
#include "tests/apply/requests.h"

namespace keel::server {
namespace {

using absl::StatusCode;
using etcdserverpb::Compare;
using etcdserverpb::TxnRequest;
using etcdserverpb::TxnResponse;

TxnRequest Parse(const std::string& text) {
  TxnRequest txn;
  KEEL_CHECK(google::protobuf::TextFormat::ParseFromString(text, &txn)) << text;
  return txn;
}

class TxnEvaluatorTest : public testing::Test {
 protected:
  TxnEvaluatorTest() {
    auto opened = storage::StateStore::Open({.dir = dir_.path() + "/state"});
    KEEL_CHECK_OK(opened);
    store_ = std::move(*opened);
    KEEL_CHECK_OK(store_->Bootstrap({.cluster_id = 7, .members = {{.id = 1, .name = "m1"}}}));
  }
  ~TxnEvaluatorTest() override { KEEL_CHECK_OK(store_->Close()); }

  // Runs `step` as one entry.
  template <typename Step>
  void Entry(Step step) {
    storage::ApplyBatch batch = store_->BeginBatch();
    batch.BeginEntry({.index = ++index_, .term = 1});
    step(&batch);
    batch.EndEntry();
    KEEL_CHECK_OK(batch.Commit());
  }
  void Put(const std::string& key, const std::string& value, int64_t lease = 0) {
    Entry([&](storage::ApplyBatch* batch) {
      etcdserverpb::PutRequest request;
      request.set_key(key);
      request.set_value(value);
      request.set_lease(lease);
      KEEL_CHECK_OK(batch->Put(request, nullptr));
    });
  }
  absl::Status Run(const TxnRequest& txn, TxnResponse* response) {
    absl::Status status;
    Entry([&](storage::ApplyBatch* batch) { status = ExecuteTxn(txn, batch, response); });
    return status;
  }
  bool Holds(const std::string& compare) {
    const TxnRequest txn = Parse("compare { " + compare + " }");
    TxnResponse logged;
    KEEL_CHECK_OK(Run(txn, &logged));
    // Both ways to evaluate agree.
    TxnResponse read;
    KEEL_CHECK_OK(EvaluateReadOnly(txn, store_->View(), &read));
    EXPECT_EQ(logged.succeeded(), read.succeeded()) << compare;
    return logged.succeeded();
  }
  int64_t revision() const { return store_->current_revision().value(); }
  bool Has(const std::string& key) const {
    auto facts = store_->View().Find(key);
    KEEL_CHECK_OK(facts);
    return facts->has_value();
  }

  TemporaryDir dir_;
  std::unique_ptr<storage::StateStore> store_;
  uint64_t index_ = 1;  // The bootstrap's.
};

TEST_F(TxnEvaluatorTest, Compares) {
  Entry([](storage::ApplyBatch* batch) { KEEL_CHECK_OK(batch->LeaseGrant(storage::LeaseId{9}, 60)); });
  Put("a", "1");     // Revision 2.
  Put("b", "x", 9);  // 3.
  Put("b", "y", 9);  // 4: version 2, create 3, mod 4.
  const struct {
    const char* compare;
    bool holds;
  } cases[] = {
      {"key: 'b' target: VERSION version: 2", true},
      {"key: 'b' target: VERSION result: GREATER version: 1", true},
      {"key: 'b' target: VERSION result: GREATER version: 2", false},
      {"key: 'b' target: VERSION result: LESS version: 3", true},
      {"key: 'b' target: VERSION result: NOT_EQUAL version: 2", false},
      {"key: 'b' target: CREATE create_revision: 3", true},
      {"key: 'b' target: MOD mod_revision: 4", true},
      {"key: 'b' target: MOD result: LESS mod_revision: 4", false},
      {"key: 'b' target: LEASE lease: 9", true},
      {"key: 'a' target: LEASE", true},
      {"key: 'b' target: VALUE value: 'y'", true},
      {"key: 'b' target: VALUE result: GREATER value: 'x'", true},
      {"key: 'b' target: VALUE result: LESS value: 'yy'", true},
      {"key: 'b' target: VALUE result: GREATER value: '\\377'", false},
      // A missing key is all zeroes, but has no value to compare.
      {"key: 'none' target: VERSION", true},
      {"key: 'none' target: CREATE create_revision: 0", true},
      {"key: 'none' target: MOD result: LESS mod_revision: 1", true},
      {"key: 'none' target: LEASE result: NOT_EQUAL lease: 9", true},
      {"key: 'none' target: VALUE value: ''", false},
      {"key: 'none' target: VALUE result: NOT_EQUAL value: 'z'", false},
      // The union member of another target counts as unset.
      {"key: 'none' target: VERSION create_revision: 5", true},
      {"key: 'b' target: MOD version: 4", false},
      {"key: 'b' target: VALUE result: GREATER version: 4", true},
      // Every key of a range must hold.
      {"key: 'a' range_end: 'c' target: VERSION result: GREATER version: 0", true},
      {"key: 'a' range_end: 'c' target: VERSION version: 1", false},
      {"key: 'a' range_end: 'b' target: VERSION version: 1", true},
      {"key: 'a' range_end: 'c' target: VALUE result: NOT_EQUAL value: 'q'", true},
      {"key: 'a' range_end: 'c' target: VALUE result: NOT_EQUAL value: 'y'", false},
      {"key: 'a' range_end: '\\000' target: MOD result: GREATER mod_revision: 1", true},
      // An empty range is like a missing key.
      {"key: 'x' range_end: 'z' target: VERSION", true},
      {"key: 'x' range_end: 'z' target: VERSION result: GREATER", false},
      {"key: 'x' range_end: 'z' target: VALUE result: NOT_EQUAL value: 'q'", false},
      {"key: 'c' range_end: 'a' target: CREATE", true},
      // Numbers of a later version: targets are equal, results hold.
      {"key: 'b' target: 77", true},
      {"key: 'b' target: 77 result: NOT_EQUAL", false},
      {"key: 'b' target: MOD result: 55 mod_revision: 1000", true},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.compare);
    EXPECT_EQ(Holds(c.compare), c.holds);
  }
  EXPECT_EQ(revision(), 4) << "no compare changes anything";
}

TEST_F(TxnEvaluatorTest, ValueCompareOfALargeRangeLooksAtEveryKey) {
  for (int i = 0; i < 300; ++i) Put("k" + std::to_string(1000 + i), i == 299 ? "odd" : "even");
  EXPECT_FALSE(Holds("key: 'k' range_end: 'l' target: VALUE value: 'even'"));
  EXPECT_TRUE(Holds("key: 'k' range_end: 'k1299' target: VALUE value: 'even'"));
}

TEST_F(TxnEvaluatorTest, NoCompareIsTrueAndOneFalseIsEnough) {
  TxnResponse response;
  ASSERT_TRUE(Run(TxnRequest(), &response).ok());
  EXPECT_TRUE(response.succeeded());
  response.Clear();
  ASSERT_TRUE(
      Run(Parse("compare { key: 'a' target: VERSION } compare { key: 'a' target: VERSION version: 1 }"), &response)
          .ok());
  EXPECT_FALSE(response.succeeded());
}

TEST_F(TxnEvaluatorTest, AllChangesShareOneRevisionAndReadsSeeEarlierWrites) {
  Put("b", "old");  // Revision 2.
  TxnRequest txn;
  ParseOps("r:a:z p:a=1 r:a:z d:b r:a:z p:c=2 d:none", txn.mutable_success());
  TxnResponse response;
  ASSERT_TRUE(Run(txn, &response).ok());
  EXPECT_TRUE(response.succeeded());
  EXPECT_EQ(response.header().revision(), 3);
  EXPECT_EQ(response.header().cluster_id(), 0u);
  ASSERT_EQ(response.responses_size(), 7);
  EXPECT_EQ(response.responses(0).response_range().count(), 1);
  EXPECT_EQ(response.responses(0).response_range().header().revision(), 2) << "nothing has changed yet";
  EXPECT_EQ(response.responses(1).response_put().header().revision(), 3);
  EXPECT_EQ(response.responses(2).response_range().count(), 2);
  EXPECT_EQ(response.responses(2).response_range().kvs(0).mod_revision(), 3);
  EXPECT_EQ(response.responses(2).response_range().header().revision(), 3);
  EXPECT_EQ(response.responses(3).response_delete_range().deleted(), 1);
  EXPECT_EQ(response.responses(3).response_delete_range().header().revision(), 3);
  EXPECT_EQ(response.responses(4).response_range().count(), 1);
  EXPECT_EQ(response.responses(6).response_delete_range().deleted(), 0);
  EXPECT_EQ(response.responses(6).response_delete_range().header().revision(), 3);
  EXPECT_EQ(revision(), 3);
}

TEST_F(TxnEvaluatorTest, DeleteBeforeAnyChangeReportsTheOldRevision) {
  TxnRequest txn;
  ParseOps("d:none p:a", txn.mutable_success());
  TxnResponse response;
  ASSERT_TRUE(Run(txn, &response).ok());
  EXPECT_EQ(response.responses(0).response_delete_range().header().revision(), 1);
  EXPECT_EQ(response.responses(1).response_put().header().revision(), 2);
}

TEST_F(TxnEvaluatorTest, ATxnThatChangesNothingKeepsTheRevision) {
  TxnRequest txn;
  ParseOps("d:none (r:a|)", txn.mutable_success());
  TxnResponse response;
  ASSERT_TRUE(Run(txn, &response).ok());
  EXPECT_EQ(response.header().revision(), 1);
  EXPECT_EQ(revision(), 1);
}

TEST_F(TxnEvaluatorTest, NestedComparesSeeTheStateBeforeTheWholeTxn) {
  TxnRequest txn = Parse(R"(
    success { request_put { key: 'a' value: '1' } }
    success { request_txn {
      compare { key: 'a' target: VERSION version: 0 }
      success { request_range { key: 'a' } }
      failure { request_put { key: 'wrong' } }
      success { request_txn { compare { key: 'q' target: VERSION version: 1 }
                              failure { request_put { key: 'deep' } } } } } })");
  TxnResponse response;
  ASSERT_TRUE(Run(txn, &response).ok());
  const TxnResponse& nested = response.responses(1).response_txn();
  EXPECT_TRUE(nested.succeeded());
  EXPECT_TRUE(nested.has_header());
  EXPECT_EQ(nested.header().revision(), 0);
  EXPECT_EQ(nested.responses(0).response_range().count(), 1) << "operations do see earlier writes";
  EXPECT_FALSE(nested.responses(1).response_txn().succeeded());
  EXPECT_TRUE(Has("deep"));
  EXPECT_FALSE(Has("wrong"));
}

// Of several errors it is always the same one: puts are looked at before ranges, and of a put the pair to keep before
// the lease.
TEST_F(TxnEvaluatorTest, PutsAreCheckedBeforeRangesAndWhatTheyKeepBeforeTheirLease) {
  const struct {
    const char* name;
    const char* txn;
    const char* text;
  } cases[] = {
      {"range, then put",
       "success { request_range { key: 'k' revision: 99 } } success { request_put { key: 'k' lease: 77 } }",
       "etcdserver: requested lease not found"},
      {"range, then nested put",
       "success { request_range { key: 'k' revision: 99 } } "
       "success { request_txn { success { request_put { key: 'k' ignore_value: true } } } }",
       "etcdserver: key not found"},
      {"both of one put", "success { request_put { key: 'k' lease: 77 ignore_value: true } }",
       "etcdserver: key not found"},
      {"two puts, in order",
       "success { request_put { key: 'k' lease: 77 } } success { request_put { key: 'l' ignore_lease: true } }",
       "etcdserver: requested lease not found"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    TxnResponse response;
    EXPECT_EQ(std::string(Run(Parse(c.txn), &response).message()), c.text);
  }
}

TEST_F(TxnEvaluatorTest, AnErrorInTheBranchTakenLeavesNoTrace) {
  Put("there", "v");  // Revision 2.
  Entry([](storage::ApplyBatch* batch) { KEEL_CHECK_OK(batch->Compact(storage::Revision{2})); });
  const struct {
    const char* name;
    const char* op;
    StatusCode code;
    const char* text;
  } cases[] = {
      {"unknown lease", "request_put { key: 'k' lease: 77 }", StatusCode::kNotFound,
       "etcdserver: requested lease not found"},
      {"kept value of a missing key", "request_put { key: 'k' ignore_value: true }", StatusCode::kInvalidArgument,
       "etcdserver: key not found"},
      {"kept lease of a missing key", "request_put { key: 'k' ignore_lease: true }", StatusCode::kInvalidArgument,
       "etcdserver: key not found"},
      {"future revision", "request_range { key: 'k' revision: 3 }", StatusCode::kOutOfRange,
       "etcdserver: mvcc: required revision is a future revision"},
      {"compacted revision", "request_range { key: 'k' revision: 1 }", StatusCode::kOutOfRange,
       "etcdserver: mvcc: required revision has been compacted"},
      {"negative revision", "request_range { key: 'k' revision: -1 }", StatusCode::kOutOfRange,
       "etcdserver: mvcc: required revision has been compacted"},
      {"nothing set", "", StatusCode::kInvalidArgument, "etcdserver: key not found"},
  };
  for (const auto& c : cases) {
    for (bool nested : {false, true}) {
      SCOPED_TRACE(std::string(c.name) + (nested ? ", nested" : ""));
      const std::string op = std::string("success { ") + c.op + " }";
      const std::string failing = nested ? "success { request_txn { " + op + " } }" : op;
      TxnResponse response;
      const absl::Status status = Run(
          Parse("success { request_put { key: 'before' } } " + failing + " success { request_put { key: 'after' } }"),
          &response);
      EXPECT_EQ(status.code(), c.code) << status;
      EXPECT_EQ(std::string(status.message()), c.text);
      EXPECT_EQ(revision(), 2);
      EXPECT_FALSE(Has("before"));

      // The branch not taken is not checked.
      response.Clear();
      EXPECT_TRUE(Run(Parse("compare { key: 'there' target: VERSION version: 5 } " + failing), &response).ok());
    }
  }
}

TEST_F(TxnEvaluatorTest, KeepingTheValueOfAKeyDeletedEarlierInTheTxnIsRefused) {
  // The duplicate rules let this pass: a from-key delete is never seen to cover a put.
  Put("k", "v");
  TxnRequest txn = Parse(
      "success { request_delete_range { key: 'a' range_end: '\\000' } }"
      "success { request_put { key: 'k' ignore_value: true } }");
  TxnResponse response;
  EXPECT_EQ(Run(txn, &response), absl::InvalidArgumentError("etcdserver: key not found"));
  EXPECT_TRUE(Has("k"));
}

TEST_F(TxnEvaluatorTest, RangeAtTheRevisionBeforeTheTxnIsAllowedAndOneAheadIsNot) {
  Put("k", "v");  // Revision 2.
  TxnResponse response;
  EXPECT_TRUE(
      Run(Parse("success { request_put { key: 'k' } } success { request_range { key: 'k' revision: 2 } }"), &response)
          .ok());
  EXPECT_EQ(response.responses(1).response_range().kvs(0).value(), "v");
  EXPECT_EQ(
      Run(Parse("success { request_put { key: 'k' } } success { request_range { key: 'k' revision: 4 } }"), &response)
          .code(),
      StatusCode::kOutOfRange)
      << "the revision that the txn itself makes";
}

TEST_F(TxnEvaluatorTest, WithoutAResponseTheEffectIsTheSame) {
  TxnRequest txn;
  ParseOps("p:a=1 r:a (p:b|) d:a", txn.mutable_success());
  ASSERT_TRUE(Run(txn, nullptr).ok());
  EXPECT_EQ(revision(), 2);
  EXPECT_TRUE(Has("b"));
  EXPECT_FALSE(Has("a"));
}

TEST_F(TxnEvaluatorTest, ReadOnlyTxnAnswersFromItsView) {
  Put("k", "1");  // Revision 2.
  const storage::ReadView view = store_->View();
  Put("k", "2");
  const TxnRequest txn = Parse("compare { key: 'k' target: VALUE value: '1' } success { request_range { key: 'k' } }");
  TxnResponse response;
  ASSERT_TRUE(EvaluateReadOnly(txn, view, &response).ok());
  EXPECT_TRUE(response.succeeded());
  EXPECT_EQ(response.header().revision(), 2);
  EXPECT_EQ(response.responses(0).response_range().kvs(0).value(), "1");
  EXPECT_EQ(response.responses(0).response_range().header().revision(), 2);
}

TEST_F(TxnEvaluatorTest, ReadOnlyTxnRefusesNegativeAndFutureRevisionsWhole) {
  for (const char* revision : {"-1", "9"}) {
    TxnResponse response;
    const absl::Status status = EvaluateReadOnly(
        Parse(std::string("success { request_range { key: 'k' } } success { request_range { key: 'k' revision: ") +
              revision + " } }"),
        store_->View(), &response);
    EXPECT_EQ(status.code(), StatusCode::kOutOfRange);
    EXPECT_EQ(response.ByteSizeLong(), 0u);
  }
}

TEST(TxnKindTest, ReadOnlyMeansRangesAloneInBothBranches) {
  const struct {
    const char* then;
    const char* otherwise;
    bool read_only;
  } cases[] = {{"", "", true},     {"r:a", "", true},  {"r:a", "r:b", true}, {"r:a", "p:b", false},
               {"p:a", "", false}, {"d:a", "", false}, {"(r:a|)", "", false}};
  for (const auto& c : cases) {
    TxnRequest txn;
    ParseOps(c.then, txn.mutable_success());
    ParseOps(c.otherwise, txn.mutable_failure());
    EXPECT_EQ(IsReadOnly(txn), c.read_only) << c.then << "|" << c.otherwise;
  }
}

TEST(TxnKindTest, SerializableMeansEveryRangeIs) {
  EXPECT_TRUE(IsSerializable(TxnRequest()));
  TxnRequest txn;
  AddRange(txn.mutable_success(), "a")->set_serializable(true);
  EXPECT_TRUE(IsSerializable(txn));
  AddRange(txn.mutable_failure(), "a");
  EXPECT_FALSE(IsSerializable(txn));
}

}  // namespace
}  // namespace keel::server
