#include <thread>

#include "tests/api/member_fixture.h"

namespace keel::server {
namespace {

using grpc::StatusCode;
using testing::ElementsAre;

constexpr char kNoKey[] = "etcdserver: key is not provided";
constexpr char kCompacted[] = "etcdserver: mvcc: required revision has been compacted";
constexpr char kFuture[] = "etcdserver: mvcc: required revision is a future revision";

TEST(KvTest, HeaderOfAWriteHasItsRevisionAndOfAReadTheCurrentOne) {
  TestMember member;
  etcdserverpb::PutResponse put;
  ASSERT_THAT(Put(&member, PutOf("a", "1"), &put), Succeeds());
  ExpectHeader(put.header(), 2);
  ASSERT_THAT(Put(&member, PutOf("a", "2"), &put), Succeeds());
  ExpectHeader(put.header(), 3);

  etcdserverpb::RangeRequest old = RangeOf("a");
  old.set_revision(2);
  etcdserverpb::RangeResponse range;
  ASSERT_THAT(Range(&member, old, &range), Succeeds());
  ExpectHeader(range.header(), 3);
  ASSERT_EQ(range.kvs_size(), 1);
  EXPECT_EQ(range.kvs(0).value(), "1");

  Context context;
  etcdserverpb::DeleteRangeRequest remove;
  remove.set_key("nothing");
  etcdserverpb::DeleteRangeResponse removed;
  ASSERT_THAT(member.kv().DeleteRange(&context, remove, &removed), Succeeds());
  ExpectHeader(removed.header(), 3);
  EXPECT_EQ(removed.deleted(), 0);
}

TEST(KvTest, PutAnswersThePreviousPair) {
  TestMember member;
  MustPut(&member, "a", "old");
  etcdserverpb::PutRequest request = PutOf("a", "new");
  request.set_prev_kv(true);
  etcdserverpb::PutResponse response;
  ASSERT_THAT(Put(&member, request, &response), Succeeds());
  EXPECT_EQ(response.prev_kv().value(), "old");
  EXPECT_EQ(response.prev_kv().mod_revision(), 2);
}

TEST(KvTest, EmptyKeysAreRefused) {
  TestMember member;
  etcdserverpb::PutResponse put;
  EXPECT_THAT(Put(&member, PutOf("", "v"), &put), Fails(StatusCode::INVALID_ARGUMENT, kNoKey));
  etcdserverpb::RangeResponse range;
  EXPECT_THAT(Range(&member, RangeOf(""), &range), Fails(StatusCode::INVALID_ARGUMENT, kNoKey));
  Context context;
  etcdserverpb::DeleteRangeResponse removed;
  EXPECT_THAT(member.kv().DeleteRange(&context, {}, &removed), Fails(StatusCode::INVALID_ARGUMENT, kNoKey));
  etcdserverpb::TxnRequest txn;
  txn.add_compare();
  etcdserverpb::TxnResponse txn_response;
  EXPECT_THAT(Txn(&member, txn, &txn_response), Fails(StatusCode::INVALID_ARGUMENT, kNoKey));
  EXPECT_EQ(member.store().current_revision().value(), 1);
}

TEST(KvTest, PutIsCheckedBeforeAndAtApply) {
  TestMember member;
  etcdserverpb::PutResponse response;
  etcdserverpb::PutRequest request = PutOf("a", "v");
  request.set_ignore_value(true);
  EXPECT_THAT(Put(&member, request, &response), Fails(StatusCode::INVALID_ARGUMENT, "etcdserver: value is provided"));
  request.clear_value();
  EXPECT_THAT(Put(&member, request, &response), Fails(StatusCode::INVALID_ARGUMENT, "etcdserver: key not found"));
  request = PutOf("a", "v", 5);
  EXPECT_THAT(Put(&member, request, &response), Fails(StatusCode::NOT_FOUND, "etcdserver: requested lease not found"));
  request.set_ignore_lease(true);
  EXPECT_THAT(Put(&member, request, &response), Fails(StatusCode::INVALID_ARGUMENT, "etcdserver: lease is provided"));
  EXPECT_EQ(member.store().current_revision().value(), 1);
}

TEST(KvTest, RangeRefusesUnknownSortNumbers) {
  TestMember member;
  etcdserverpb::RangeRequest request = RangeOf("a");
  request.set_sort_order(static_cast<etcdserverpb::RangeRequest::SortOrder>(9));
  etcdserverpb::RangeResponse response;
  EXPECT_THAT(Range(&member, request, &response),
              Fails(StatusCode::INVALID_ARGUMENT, "etcdserver: invalid sort option"));
}

TEST(KvTest, SizeLimitsOfRequestAndMessage) {
  TestMember member({.limits = {.request_bytes_max = 4096}});
  etcdserverpb::PutResponse response;
  EXPECT_THAT(Put(&member, PutOf("a", std::string(4096, 'x')), &response),
              Fails(StatusCode::INVALID_ARGUMENT, "etcdserver: request is too large"));
  MustPut(&member, "a", std::string(3900, 'x'));
  const grpc::Status status = Put(&member, PutOf("a", std::string(4096 + (512 << 10), 'x')), &response);
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), testing::HasSubstr("larger than max"));
}

TEST(KvTest, OverfullQueuesAreTooManyRequests) {
  TestMember member;
  member.node().SetRefusal(absl::ResourceExhaustedError("mailbox full"));
  etcdserverpb::PutResponse response;
  EXPECT_THAT(Put(&member, PutOf("a", "v"), &response),
              Fails(StatusCode::RESOURCE_EXHAUSTED, "etcdserver: too many requests"));
}

TEST(KvTest, SerializableReadsNeedNoReadIndex) {
  TestMember member;
  MustPut(&member, "a", "1");
  member.node().HoldReads();
  const size_t reads = member.node().reads();
  etcdserverpb::RangeRequest request = RangeOf("a", "z");
  request.set_serializable(true);
  etcdserverpb::RangeResponse response;
  ASSERT_THAT(Range(&member, request, &response), Succeeds());
  EXPECT_EQ(response.count(), 1);
  EXPECT_EQ(member.node().reads(), reads);

  // A txn without operations is serializable whatever it compares.
  etcdserverpb::TxnRequest txn;
  txn.add_compare()->set_key("a");
  etcdserverpb::TxnResponse txn_response;
  ASSERT_THAT(Txn(&member, txn, &txn_response), Succeeds());
  ExpectHeader(txn_response.header(), 2);
  EXPECT_FALSE(txn_response.succeeded());
  EXPECT_EQ(member.node().reads(), reads);
}

TEST(KvTest, LinearizableReadsWaitForTheReadGate) {
  TestMember member;
  MustPut(&member, "a", "1");
  member.node().HoldReads();
  std::thread reader([&member] {
    etcdserverpb::RangeResponse response;
    EXPECT_THAT(Range(&member, RangeOf("a"), &response), Succeeds());
    // Written after the read began, before the gate let it pass.
    EXPECT_EQ(response.kvs(0).value(), "2");
  });
  EXPECT_TRUE(Await([&member] { return member.node().held_reads() == 1; }));
  MustPut(&member, "a", "2");
  member.node().ReleaseReads();
  reader.join();
}

TEST(KvTest, ReadsThatTheGateGivesUpAreTimedOutOrStopped) {
  TestMember member;
  const struct {
    absl::Status gate;
    const char* text;
  } kCases[] = {{absl::DeadlineExceededError("too late"), "etcdserver: request timed out"},
                {absl::UnavailableError("stopping"), "etcdserver: server stopped"}};
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.text);
    member.node().HoldReads();
    std::thread reader([&member, &c] {
      etcdserverpb::RangeResponse response;
      EXPECT_THAT(Range(&member, RangeOf("a"), &response), Fails(StatusCode::UNAVAILABLE, c.text));
    });
    EXPECT_TRUE(Await([&member] { return member.node().held_reads() == 1; }));
    member.node().ReleaseReads(c.gate);
    reader.join();
  }
}

TEST(KvTest, ProposalsThatVanishTimeOut) {
  TestMember member({.limits = {.request_timeout = absl::Milliseconds(100)}});
  member.node().SetDropping(true);
  etcdserverpb::PutResponse response;
  const grpc::Status status = Put(&member, PutOf("a", "v"), &response);
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), testing::StartsWith("etcdserver: request timed out"));
}

TEST(KvTest, CompactionBoundsReads) {
  TestMember member;
  for (int i = 0; i < 3; ++i) MustPut(&member, "a", "v");
  etcdserverpb::CompactionResponse compaction;
  EXPECT_THAT(Compact(&member, 9, &compaction), Fails(StatusCode::OUT_OF_RANGE, kFuture));
  ASSERT_THAT(Compact(&member, 3, &compaction), Succeeds());
  ExpectHeader(compaction.header(), 4);
  EXPECT_THAT(Compact(&member, 3, &compaction), Fails(StatusCode::OUT_OF_RANGE, kCompacted));

  etcdserverpb::RangeRequest request = RangeOf("a");
  etcdserverpb::RangeResponse response;
  request.set_revision(2);
  EXPECT_THAT(Range(&member, request, &response), Fails(StatusCode::OUT_OF_RANGE, kCompacted));
  request.set_revision(5);
  EXPECT_THAT(Range(&member, request, &response), Fails(StatusCode::OUT_OF_RANGE, kFuture));
  request.set_revision(3);
  EXPECT_THAT(Range(&member, request, &response), Succeeds());

  etcdserverpb::TxnRequest txn;
  *txn.add_success()->mutable_request_range() = request;
  txn.mutable_success(0)->mutable_request_range()->set_revision(2);
  etcdserverpb::TxnResponse txn_response;
  EXPECT_THAT(Txn(&member, txn, &txn_response), Fails(StatusCode::OUT_OF_RANGE, kCompacted));
}

TEST(KvTest, PhysicalCompactionAnswersWhenTheSpaceIsFree) {
  TestMember member;
  for (int i = 0; i < 20; ++i) MustPut(&member, "a", "v");
  std::atomic<int> answered{0};
  auto compact = [&member, &answered](bool first) {
    Context context;
    etcdserverpb::CompactionRequest request;
    request.set_revision(20);
    request.set_physical(true);
    etcdserverpb::CompactionResponse response;
    const grpc::Status status = member.kv().Compact(&context, request, &response);
    ++answered;
    if (first) {
      EXPECT_THAT(status, Succeeds());
      ExpectHeader(response.header(), 21);
    } else {
      EXPECT_THAT(status, Fails(StatusCode::OUT_OF_RANGE, kCompacted));
    }
  };
  std::thread first(compact, true);
  EXPECT_TRUE(Await([&member] { return member.store().compact_revision().value() == 20; }));
  // It has been compacted before, but that is still running: this one waits too.
  std::thread second(compact, false);
  etcdserverpb::RangeResponse response;
  EXPECT_THAT(Range(&member, RangeOf("a"), &response), Succeeds());
  EXPECT_EQ(answered, 0);
  while (true) {
    const auto more = member.store().CompactStep(5);
    ASSERT_TRUE(more.ok());
    if (!*more) break;
  }
  first.join();
  second.join();
}

TEST(KvTest, PhysicalCompactionEndsWithItsCaller) {
  TestMember member;
  MustPut(&member, "a", "v");
  MustPut(&member, "a", "w");
  Context context;
  std::thread caller([&member, &context] {
    etcdserverpb::CompactionRequest request;
    request.set_revision(3);
    request.set_physical(true);
    etcdserverpb::CompactionResponse response;
    EXPECT_EQ(member.kv().Compact(&context, request, &response).error_code(), StatusCode::CANCELLED);
  });
  EXPECT_TRUE(Await([&member] { return member.store().compact_revision().value() == 3; }));
  context.TryCancel();
  caller.join();
  EXPECT_TRUE(Await([&member] { return !member.metrics().handled("etcdserverpb.KV/Compact").empty(); }));
  EXPECT_THAT(member.metrics().handled("etcdserverpb.KV/Compact"), ElementsAre(absl::StatusCode::kCancelled));
}

TEST(TxnTest, TakesTheBranchAndSharesOneRevision) {
  TestMember member;
  MustPut(&member, "a", "1");
  etcdserverpb::TxnRequest txn;
  auto* compare = txn.add_compare();
  compare->set_key("a");
  compare->set_target(etcdserverpb::Compare::VALUE);
  compare->set_value("1");
  *txn.add_success()->mutable_request_put() = PutOf("a", "2");
  *txn.add_success()->mutable_request_range() = RangeOf("a");
  *txn.add_success()->mutable_request_put() = PutOf("b", "2");
  *txn.add_failure()->mutable_request_range() = RangeOf("a");
  etcdserverpb::TxnResponse response;
  ASSERT_THAT(Txn(&member, txn, &response), Succeeds());
  ExpectHeader(response.header(), 3);
  EXPECT_TRUE(response.succeeded());
  ASSERT_EQ(response.responses_size(), 3);
  EXPECT_EQ(response.responses(0).response_put().header().revision(), 3);
  EXPECT_EQ(response.responses(0).response_put().header().member_id(), 0u);
  EXPECT_EQ(response.responses(1).response_range().kvs(0).value(), "2");

  ASSERT_THAT(Txn(&member, txn, &response), Succeeds());
  EXPECT_FALSE(response.succeeded());
  ExpectHeader(response.header(), 3);
}

TEST(TxnTest, ReadOnlyOnesAreNotProposed) {
  TestMember member;
  MustPut(&member, "a", "1");
  const size_t proposals = member.node().proposals();
  etcdserverpb::TxnRequest txn;
  *txn.add_success()->mutable_request_range() = RangeOf("a", "z");
  etcdserverpb::TxnResponse response;
  ASSERT_THAT(Txn(&member, txn, &response), Succeeds());
  ExpectHeader(response.header(), 2);
  EXPECT_EQ(response.responses(0).response_range().count(), 1);
  EXPECT_EQ(member.node().proposals(), proposals);
}

TEST(TxnTest, IsCheckedAsAWhole) {
  TestMember member;
  etcdserverpb::TxnResponse response;
  etcdserverpb::TxnRequest twice;
  *twice.add_success()->mutable_request_put() = PutOf("a", "1");
  *twice.add_success()->mutable_request_put() = PutOf("a", "2");
  EXPECT_THAT(Txn(&member, twice, &response),
              Fails(StatusCode::INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request"));

  etcdserverpb::TxnRequest many;
  for (int i = 0; i < 128; ++i) *many.add_success()->mutable_request_put() = PutOf(absl::StrCat("k", i), "v");
  EXPECT_THAT(Txn(&member, many, &response), Succeeds());
  *many.add_success()->mutable_request_put() = PutOf("one-more", "v");
  EXPECT_THAT(Txn(&member, many, &response),
              Fails(StatusCode::INVALID_ARGUMENT, "etcdserver: too many operations in txn request"));

  etcdserverpb::TxnRequest unset;
  unset.add_failure();
  EXPECT_THAT(Txn(&member, unset, &response), Fails(StatusCode::INVALID_ARGUMENT, "etcdserver: key not found"));

  etcdserverpb::TxnRequest lease;
  *lease.add_success()->mutable_request_put() = PutOf("a", "1");
  *lease.add_success()->mutable_request_put() = PutOf("b", "1", 99);
  const int64_t before = member.store().current_revision().value();
  EXPECT_THAT(Txn(&member, lease, &response), Fails(StatusCode::NOT_FOUND, "etcdserver: requested lease not found"));
  EXPECT_EQ(member.store().current_revision().value(), before);
}

TEST(QuotaTest, OverQuotaRefusesWhatAddsAndRaisesTheAlarm) {
  TestMember member({.limits = {.quota_bytes = 64 << 10}});
  etcdserverpb::PutResponse put;
  grpc::Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) {
    status = Put(&member, PutOf(absl::StrCat("k", i), std::string(4096, 'x')), &put);
  }
  constexpr char kNoSpace[] = "etcdserver: mvcc: database space exceeded";
  EXPECT_THAT(status, Fails(StatusCode::RESOURCE_EXHAUSTED, kNoSpace));
  EXPECT_TRUE(Await([&member] { return !member.store().alarms().empty(); }));
  EXPECT_EQ(member.store().alarms()[0].memberid(), kMemberId);
  EXPECT_EQ(member.store().alarms()[0].alarm(), etcdserverpb::NOSPACE);

  // The quota comes before validation; an empty key is no excuse.
  EXPECT_THAT(Put(&member, PutOf("", std::string(70000, 'x')), &put), Fails(StatusCode::RESOURCE_EXHAUSTED, kNoSpace));
  etcdserverpb::LeaseGrantResponse grant;
  EXPECT_THAT(Grant(&member, 0, 10, &grant), Fails(StatusCode::RESOURCE_EXHAUSTED, kNoSpace));
  etcdserverpb::TxnRequest txn;
  *txn.add_failure()->mutable_request_put() = PutOf("a", std::string(70000, 'x'));
  etcdserverpb::TxnResponse txn_response;
  EXPECT_THAT(Txn(&member, txn, &txn_response), Fails(StatusCode::RESOURCE_EXHAUSTED, kNoSpace));

  // Reading and making room go on.
  etcdserverpb::RangeResponse range;
  EXPECT_THAT(Range(&member, RangeOf("k0"), &range), Succeeds());
  Context context;
  etcdserverpb::DeleteRangeRequest remove;
  remove.set_key("k");
  remove.set_range_end("l");
  etcdserverpb::DeleteRangeResponse removed;
  EXPECT_THAT(member.kv().DeleteRange(&context, remove, &removed), Succeeds());
}

struct Merged {
  etcdserverpb::RangeResponse response;
  std::vector<etcdserverpb::RangeResponse> pieces;
  grpc::Status status;
};

Merged RangeStream(
    TestMember* member, const etcdserverpb::RangeRequest& request, const std::function<void()>& after_first = [] {}) {
  Context context;
  auto stream = member->kv().RangeStream(&context, request);
  Merged merged;
  etcdserverpb::RangeStreamResponse piece;
  while (stream->Read(&piece)) {
    merged.pieces.push_back(piece.range_response());
    merged.response.MergeFrom(piece.range_response());
    if (merged.pieces.size() == 1) after_first();
  }
  merged.status = stream->Finish();
  return merged;
}

TEST(RangeStreamTest, PiecesMergeToTheRange) {
  TestMember member;
  for (int i = 0; i < 300; ++i) MustPut(&member, absl::StrCat("k", 1000 + i), std::string(20000, 'x'));
  for (const int64_t limit : {0, 1, 10, 11, 299, 300, 301}) {
    for (const bool keys_only : {false, true}) {
      SCOPED_TRACE(absl::StrCat("limit ", limit, " keys_only ", keys_only));
      etcdserverpb::RangeRequest request = RangeOf("k", "l");
      request.set_limit(limit);
      request.set_keys_only(keys_only);
      etcdserverpb::RangeResponse whole;
      ASSERT_THAT(Range(&member, request, &whole), Succeeds());
      const Merged merged = RangeStream(&member, request);
      EXPECT_THAT(merged.status, Succeeds());
      EXPECT_EQ(merged.response.SerializeAsString(), whole.SerializeAsString());
      for (size_t i = 0; i + 1 < merged.pieces.size(); ++i) {
        EXPECT_FALSE(merged.pieces[i].has_header());
        EXPECT_LE(merged.pieces[i].ByteSizeLong(), Limits().request_bytes_max);
      }
      if (limit == 0 && !keys_only) {
        EXPECT_GE(merged.pieces.size(), 5u);
      }
    }
  }
  etcdserverpb::RangeRequest count = RangeOf("k", "l");
  count.set_count_only(true);
  const Merged merged = RangeStream(&member, count);
  EXPECT_EQ(merged.pieces.size(), 1u);
  EXPECT_EQ(merged.response.count(), 300);
}

TEST(RangeStreamTest, WritesBetweenPiecesAreNotSeen) {
  TestMember member;
  for (int i = 0; i < 100; ++i) MustPut(&member, absl::StrCat("k", 100 + i), std::string(100000, 'x'));
  const Merged merged = RangeStream(&member, RangeOf("k", "l"), [&member] {
    MustPut(&member, "k199", "changed");
    MustPut(&member, "k1999", "added");
  });
  EXPECT_THAT(merged.status, Succeeds());
  ExpectHeader(merged.response.header(), 101);
  EXPECT_EQ(merged.response.count(), 100);
  ASSERT_EQ(merged.response.kvs_size(), 100);
  EXPECT_EQ(merged.response.kvs(99).value().size(), 100000u);
}

TEST(RangeStreamTest, RefusesWhatItCannotOrder) {
  TestMember member;
  etcdserverpb::RangeRequest request = RangeOf("k", "l");
  request.set_sort_order(etcdserverpb::RangeRequest::DESCEND);
  EXPECT_THAT(RangeStream(&member, request).status,
              Fails(StatusCode::UNIMPLEMENTED, "RangeStream does not support custom sort orders"));
  request = RangeOf("k", "l");
  request.set_min_mod_revision(1);
  EXPECT_THAT(RangeStream(&member, request).status,
              Fails(StatusCode::UNIMPLEMENTED, "RangeStream does not support revision filters"));
  EXPECT_THAT(RangeStream(&member, RangeOf("")).status, Fails(StatusCode::INVALID_ARGUMENT, kNoKey));
  request = RangeOf("k", "l");
  request.set_revision(7);
  EXPECT_THAT(RangeStream(&member, request).status, Fails(StatusCode::OUT_OF_RANGE, kFuture));
  EXPECT_THAT(RangeStream(&member, RangeOf("k", "l")).status, Succeeds());
}

TEST(MetricsTest, EveryRpcIsCountedFromStartToEnd) {
  TestMember member;
  MustPut(&member, "a", "1");
  etcdserverpb::PutResponse put;
  Put(&member, PutOf("", "1"), &put);
  RangeStream(&member, RangeOf("a"));
  EXPECT_EQ(member.metrics().started("etcdserverpb.KV/Put"), 2);
  EXPECT_THAT(member.metrics().handled("etcdserverpb.KV/Put"),
              ElementsAre(absl::StatusCode::kOk, absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(member.metrics().started("etcdserverpb.KV/RangeStream"), 1);
  EXPECT_THAT(member.metrics().handled("etcdserverpb.KV/RangeStream"), ElementsAre(absl::StatusCode::kOk));
}

}  // namespace
}  // namespace keel::server
