#include "absl/strings/str_cat.h"
#include "tests/contract/fixture.h"

namespace keel::contract {
namespace {

using etcdserverpb::PutResponse;
using etcdserverpb::RangeResponse;

TEST_F(Contract, B001_PutOfAnExistingKeyKeepsItsCreationAndCountsVersions) {
  EXPECT_EQ(Text("put key: 'a' value: '1'"), "header { revision: 2 }");
  EXPECT_EQ(Text("put key: 'a' value: '2'"), "header { revision: 3 }");
  EXPECT_EQ(Text("put key: 'a' value: '2'"), "header { revision: 4 }");
  EXPECT_EQ(Text("range key: 'a'"),
            "header { revision: 4 } kvs { key: \"a\" create_revision: 2 mod_revision: 4 version: 3 value: \"2\" } "
            "count: 1");
}

TEST_F(Contract, B002_CompactionAtTheCurrentRevisionLeavesItReadable) {
  const int64_t revision = Put("a", "v");
  Ok<etcdserverpb::CompactionResponse>(absl::StrCat("compact revision: ", revision));
  EXPECT_EQ(Keys(absl::StrCat("key: 'a' revision: ", revision)), "a | | 1");
}

TEST_F(Contract, B003_AnEmptyValueIsAValue) {
  Put("a", "");
  EXPECT_EQ(Text("range key: 'a'"),
            "header { revision: 2 } kvs { key: \"a\" create_revision: 2 mod_revision: 2 version: 1 } count: 1");
}

TEST_F(Contract, B004_EmptyKeysAreRefusedEverywhere) {
  const std::string refusal = "3 etcdserver: key is not provided";
  EXPECT_EQ(Error("put value: 'v'"), refusal);
  EXPECT_EQ(Error("range range_end: 'z'"), refusal);
  EXPECT_EQ(Error("delete range_end: 'z'"), refusal);
  EXPECT_EQ(Error("txn compare { version: 1 }"), refusal);
  EXPECT_EQ(Error("txn failure { request_put {} }"), refusal);
}

TEST_F(Contract, B005_SizeLimitsOfRequestAndMessage) {
  const auto put = [this](size_t bytes) {
    etcdserverpb::PutRequest request;
    request.set_key("a");
    request.set_value(std::string(bytes, 'x'));
    PutResponse response;
    return connection().Call("put", request, &response);
  };
  EXPECT_TRUE(put(1'500'000).ok());
  EXPECT_EQ(put(1'572'864).error_message(), "etcdserver: request is too large");
  EXPECT_EQ(put(1'572'864).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(put(2'097'152).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);  // The gRPC layer's.
}

TEST_F(Contract, B006_IgnoreValueKeepsTheValueAndMovesEverythingElse) {
  Ok<etcdserverpb::LeaseGrantResponse>("grant ID: 9 TTL: 100");
  Put("a", "v");
  EXPECT_EQ(Text("put key: 'a' ignore_value: true lease: 9"), "header { revision: 3 }");
  EXPECT_EQ(Text("range key: 'a'"),
            "header { revision: 3 } kvs { key: \"a\" create_revision: 2 mod_revision: 3 version: 2 value: \"v\" "
            "lease: 9 } count: 1");
  EXPECT_EQ(Error("put key: 'none' ignore_value: true"), "3 etcdserver: key not found");
  EXPECT_EQ(Error("put key: 'a' value: 'w' ignore_value: true"), "3 etcdserver: value is provided");
}

TEST_F(Contract, B007_IgnoreLeaseKeepsTheLease) {
  Ok<etcdserverpb::LeaseGrantResponse>("grant ID: 9 TTL: 100");
  Put("a", "v", 9);
  EXPECT_EQ(Text("put key: 'a' value: 'w' ignore_lease: true"), "header { revision: 3 }");
  EXPECT_EQ(Ok<RangeResponse>("range key: 'a'").kvs(0).lease(), 9);
  EXPECT_EQ(Error("put key: 'a' lease: 9 ignore_lease: true"), "3 etcdserver: lease is provided");
  EXPECT_EQ(Error("put key: 'none' ignore_lease: true"), "3 etcdserver: key not found");
}

TEST_F(Contract, B010_DeletesOfNothingAndTheEndsOfRanges) {
  for (const char* key : {"a", "b", "c", "d", "e"}) Put(key);
  const int64_t before = Revision();
  EXPECT_EQ(Text("delete key: 'x'"), absl::StrCat("header { revision: ", before, " }"));
  EXPECT_EQ(Text("delete key: 'a' range_end: 'c' prev_kv: false"),
            absl::StrCat("header { revision: ", before + 1, " } deleted: 2"));
  EXPECT_EQ(Text("delete key: 'd' range_end: '\\000'"),
            absl::StrCat("header { revision: ", before + 2, " } deleted: 2"));
  EXPECT_EQ(Keys("key: '\\000' range_end: '\\000'"), "c | | 1");
}

TEST_F(Contract, B011_CountIsTheWholeAndMoreMeansCut) {
  for (const char* key : {"a", "b", "c"}) Put(key);
  EXPECT_EQ(Keys("key: 'a' range_end: 'z' limit: 2"), "a b | more | 3");
  EXPECT_EQ(Keys("key: 'a' range_end: 'z' limit: 3"), "a b c | | 3");
  EXPECT_EQ(Keys("key: 'a' range_end: 'z' limit: 4"), "a b c | | 3");
  EXPECT_EQ(Keys("key: 'a' range_end: 'z'"), "a b c | | 3");
}

TEST_F(Contract, B012_CountOnlyWinsOverKeysOnly) {
  for (const char* key : {"a", "b"}) Put(key);
  EXPECT_EQ(Text("range key: 'a' range_end: 'z' count_only: true keys_only: true limit: 1"),
            "header { revision: 3 } count: 2");
}

TEST_F(Contract, B013_ARangeThatEndsBeforeItBeginsIsEmpty) {
  for (const char* key : {"a", "b"}) Put(key);
  EXPECT_EQ(Text("range key: 'b' range_end: 'b'"), "header { revision: 3 }");
  EXPECT_EQ(Text("range key: 'b' range_end: 'a'"), "header { revision: 3 }");
  EXPECT_EQ(Text("delete key: 'b' range_end: 'b'"), "header { revision: 3 }");
}

TEST_F(Contract, B014_FiltersAreInclusiveAndComeBeforeTheLimit) {
  for (const char* key : {"a", "b", "c", "d"}) Put(key);  // 2, 3, 4, 5.
  Put("a");                                               // 6.
  EXPECT_EQ(Keys("key: 'a' range_end: 'z' min_mod_revision: 4 max_mod_revision: 5"), "c d | | 4");
  EXPECT_EQ(Keys("key: 'a' range_end: 'z' min_create_revision: 2 max_create_revision: 3"), "a b | | 4");
  EXPECT_EQ(Keys("key: 'a' range_end: 'z' min_mod_revision: 4 limit: 2"), "a c | more | 4");
  EXPECT_EQ(Keys("key: 'a' range_end: 'z' min_mod_revision: 5 limit: 2"), "a d | | 4");
}

TEST_F(Contract, B015_SortsByEveryTargetBothWaysAlsoInThePast) {
  Put("a", "3");  // 2
  Put("b", "1");  // 3
  Put("c", "2");  // 4
  const std::string past = "revision: 4 ";
  Put("b", "9");
  Put("b", "9");
  Put("a", "0");
  const struct {
    const char* target;
    const char* ascending;
    const char* descending;
    const char* past_descending;
  } cases[] = {
      {"KEY", "a b c", "c b a", "c b a"},   {"CREATE", "a b c", "c b a", "c b a"},  {"MOD", "c b a", "a b c", "c b a"},
      {"VALUE", "a c b", "b c a", "a c b"}, {"VERSION", "c a b", "b a c", nullptr},  // In the past all are equal.
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.target);
    const std::string range = absl::StrCat("key: 'a' range_end: 'z' sort_target: ", c.target, " sort_order: ");
    EXPECT_EQ(Keys(range + "ASCEND"), absl::StrCat(c.ascending, " | | 3"));
    EXPECT_EQ(Keys(range + "DESCEND"), absl::StrCat(c.descending, " | | 3"));
    if (c.past_descending == nullptr) continue;
    EXPECT_EQ(Keys(absl::StrCat(past, range, "DESCEND")), absl::StrCat(c.past_descending, " | | 3"));
  }
}

TEST_F(Contract, B016_RevisionsOutsideOfHistoryAreRefused) {
  for (int i = 0; i < 4; ++i) Put("a");
  EXPECT_EQ(Error("range key: 'a' revision: 6"), "11 etcdserver: mvcc: required revision is a future revision");
  Ok<etcdserverpb::CompactionResponse>("compact revision: 4");
  EXPECT_EQ(Error("range key: 'a' revision: 3"), "11 etcdserver: mvcc: required revision has been compacted");
  EXPECT_EQ(Keys("key: 'a' revision: 4"), "a | | 1");
}

TEST_F(Contract, B017_OldRevisionsShowTheOldKeys) {
  Put("a");
  Put("b");
  Ok<etcdserverpb::DeleteRangeResponse>("delete key: 'a'");
  EXPECT_EQ(Keys("key: 'a' range_end: 'z' revision: 1"), " | | 0");
  EXPECT_EQ(Keys("key: 'a' range_end: 'z' revision: 2"), "a | | 1");
  EXPECT_EQ(Keys("key: 'a' range_end: 'z' revision: 3"), "a b | | 2");
  EXPECT_EQ(Keys("key: 'a' range_end: 'z'"), "b | | 1");
  EXPECT_EQ(Ok<RangeResponse>("range key: 'a' revision: 1").header().revision(), 4);
}

TEST_F(Contract, B028_RevisionsDoNotGoBackAcrossARestart) {
  for (int i = 0; i < 5; ++i) Put("a");
  Restart();
  EXPECT_EQ(Revision(), 6);
  EXPECT_EQ(Put("a"), 7);
}

TEST_F(Contract, B032_CompactionTakesWhatIsDeadAndKeepsWhatLives) {
  Put("dead");
  Put("live", "1");
  Ok<etcdserverpb::DeleteRangeResponse>("delete key: 'dead'");
  Put("live", "2");
  EXPECT_EQ(Text("compact revision: 5"), "header { revision: 5 }");
  EXPECT_EQ(Keys("key: 'dead' revision: 5"), " | | 0");
  EXPECT_EQ(Ok<RangeResponse>("range key: 'live' revision: 5").kvs(0).value(), "2");
  EXPECT_EQ(Error("compact revision: 5"), "11 etcdserver: mvcc: required revision has been compacted");
  EXPECT_EQ(Error("compact revision: 6"), "11 etcdserver: mvcc: required revision is a future revision");
}

TEST_F(Contract, B033_HashesStandStillWithoutWrites) {
  Put("a", "1");
  const int64_t last = Put("a", "2");
  const auto first = Ok<etcdserverpb::HashKVResponse>("hashkv");
  const auto second = Ok<etcdserverpb::HashKVResponse>("hashkv");
  EXPECT_EQ(first.header().revision(), last);
  EXPECT_EQ(first.hash(), second.hash());
  EXPECT_EQ(first.compact_revision(), second.compact_revision());
  EXPECT_NE(Ok<etcdserverpb::HashKVResponse>(absl::StrCat("hashkv revision: ", last - 1)).hash(), first.hash());
  Ok<etcdserverpb::CompactionResponse>(absl::StrCat("compact revision: ", last, " physical: true"));
  EXPECT_EQ(Ok<etcdserverpb::HashKVResponse>("hashkv").compact_revision(), last);
  EXPECT_EQ(Error(absl::StrCat("hashkv revision: ", last + 1)),
            "11 etcdserver: mvcc: required revision is a future revision");
  EXPECT_EQ(Error(absl::StrCat("hashkv revision: ", last - 1)),
            "11 etcdserver: mvcc: required revision has been compacted");
}

TEST_F(Contract, B034_ACompactionOfTrailingTombstonesDoesNotTakeTheRevisionBack) {
  Put("a");
  const auto deleted = Ok<etcdserverpb::DeleteRangeResponse>("delete key: 'a'");
  const int64_t last = deleted.header().revision();
  Ok<etcdserverpb::CompactionResponse>(absl::StrCat("compact revision: ", last, " physical: true"));
  Restart();
  EXPECT_EQ(Revision(), last);
}

TEST_F(Contract, B037_AStreamedRangeMergesToTheRange) {
  KEEL_SKIP_ON_OLD_ETCD("3.7");
  for (int i = 0; i < 100; ++i) Put(absl::StrCat("k", i), std::string(1000, 'x'));
  const std::string range = "key: 'k' range_end: 'l' limit: 70";
  RangeResponse merged;
  for (const auto& message : Call("rangestream " + range).messages) {
    merged.MergeFrom(static_cast<const etcdserverpb::RangeStreamResponse&>(*message).range_response());
  }
  EXPECT_EQ(merged.SerializeAsString(), Ok<RangeResponse>("range " + range).SerializeAsString());
  EXPECT_EQ(Error("rangestream key: 'k' range_end: 'l' sort_order: DESCEND"),
            "12 RangeStream does not support custom sort orders");
}

}  // namespace
}  // namespace keel::contract
