#include "server/api/range_pager.h"

#include "absl/strings/str_join.h"
#include "absl/synchronization/notification.h"
#include "tests/api/member_fixture.h"

namespace keel::server {
namespace {

using testing::ElementsAre;

struct Piece {
  etcdserverpb::RangeResponse response;
  bool last = false;
  size_t bytes = 0;
};

// A member's pager without gRPC around it. A piece's memory is given back when it has been looked at, unless told
// otherwise.
class RangePagerTest : public testing::Test {
 protected:
  void Open(const RangePager::Options& options, const etcdserverpb::RangeRequest& request, Call call = {}) {
    pager_ = std::make_shared<RangePager>(&base_, options, std::move(call), request);
  }

  absl::StatusOr<Piece> Next() {
    absl::Notification done;
    absl::StatusOr<RangePager::Piece> piece = absl::UnknownError("no answer");
    pager_->Next([&](absl::StatusOr<RangePager::Piece> result) {
      piece = std::move(result);
      done.Notify();
    });
    done.WaitForNotification();
    if (!piece.ok()) return piece.status();
    Piece read{.last = piece->last};
    const WireReply::Bytes bytes = piece->reply.Release();
    const std::string text = absl::StrJoin(bytes.blocks, "");
    read.bytes = text.size();
    etcdserverpb::RangeStreamResponse message;
    EXPECT_TRUE(message.ParseFromString(text));
    read.response = message.range_response();
    if (keep_) kept_.push_back(bytes.share);
    return read;
  }

  // How many pairs each piece has; the pieces themselves in `pieces_`.
  std::vector<int> Sizes() {
    std::vector<int> sizes;
    pieces_.clear();
    for (bool last = false; !last;) {
      auto piece = Next();
      EXPECT_TRUE(piece.ok()) << piece.status();
      if (!piece.ok()) break;
      last = piece->last;
      sizes.push_back(piece->response.kvs_size());
      pieces_.push_back(*std::move(piece));
    }
    return sizes;
  }

  TestMember member_;
  WorkerPool readers_{1};
  const std::shared_ptr<ReplyBudget> budget_ =
      std::make_shared<ReplyBudget>(ReplyBudget::Options{.total_bytes = 1u << 20, .request_bytes = 1u << 20});
  ApiBase base_{.member = &member_.member(), .readers = &readers_, .replies = budget_.get()};
  std::shared_ptr<RangePager> pager_;
  std::vector<Piece> pieces_;
  bool keep_ = false;
  std::vector<std::shared_ptr<ReplyShare>> kept_;
};

TEST_F(RangePagerTest, CompactionBetweenPiecesIsTold) {
  for (int i = 0; i < 20; ++i) MustPut(&member_, absl::StrCat("k", 10 + i), "v");
  Open({.first_keys = 3}, RangeOf("k", "l"));
  const auto first = Next();
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE(first->last);
  EXPECT_EQ(first->response.kvs_size(), 3);

  MustPut(&member_, "other", "v");
  etcdserverpb::CompactionResponse compaction;
  ASSERT_THAT(Compact(&member_, 22, &compaction), Succeeds());
  EXPECT_EQ(Next().status(), absl::OutOfRangeError("etcdserver: mvcc: required revision has been compacted"));
  EXPECT_EQ(budget_->stats().in_use_bytes, 0u);
}

TEST_F(RangePagerTest, CompactionUpToItsRevisionDoesNotDisturbIt) {
  for (int i = 0; i < 20; ++i) MustPut(&member_, absl::StrCat("k", 10 + i), "v");
  Open({.first_keys = 3}, RangeOf("k", "l"));
  ASSERT_TRUE(Next().ok());
  for (int i = 0; i < 20; ++i) MustPut(&member_, absl::StrCat("k", 10 + i), "later");
  etcdserverpb::CompactionResponse compaction;
  ASSERT_THAT(Compact(&member_, 21, &compaction), Succeeds());
  const auto rest = Next();
  ASSERT_TRUE(rest.ok());
  EXPECT_TRUE(rest->last);
  ASSERT_EQ(rest->response.kvs_size(), 17);
  for (const auto& kv : rest->response.kvs()) EXPECT_EQ(kv.value(), "v");
  EXPECT_EQ(rest->response.header().revision(), 21);
}

TEST_F(RangePagerTest, PiecesEndWhereTheNextPairWouldMakeThemTooLarge) {
  // Each pair takes 1017 bytes of a piece.
  for (int i = 0; i < 100; ++i) MustPut(&member_, absl::StrCat("k", 100 + i), std::string(1000, 'x'));
  etcdserverpb::RangeResponse whole;
  ASSERT_THAT(Range(&member_, RangeOf("k199"), &whole), Succeeds());
  const size_t pair = whole.kvs(0).ByteSizeLong() + 3;
  Open({.first_keys = 1, .piece_bytes = 20 * pair}, RangeOf("k", "l"));
  EXPECT_THAT(Sizes(), ElementsAre(1, 20, 20, 20, 20, 19));
  EXPECT_EQ(pieces_.back().response.count(), 100);
  Open({.first_keys = 1, .piece_bytes = 20 * pair - 1}, RangeOf("k", "l"));
  EXPECT_THAT(Sizes(), ElementsAre(1, 19, 19, 19, 19, 19, 4));
  // The first keys count, but their size too.
  Open({.first_keys = 10, .piece_bytes = 4 * pair}, RangeOf("k", "l"));
  EXPECT_EQ(Sizes().front(), 4);
  // A pair that is larger than a piece travels alone.
  Open({.first_keys = 10, .piece_bytes = pair / 2}, RangeOf("k10", "k11"));
  EXPECT_THAT(Sizes(), ElementsAre(1, 1, 1, 1, 1, 1, 1, 1, 1, 1));
}

TEST_F(RangePagerTest, ALimitEndsOnTheBorderOfAPiece) {
  for (int i = 0; i < 10; ++i) MustPut(&member_, absl::StrCat("k", i), "v");
  for (const auto& [limit, sizes] : std::vector<std::pair<int, std::vector<int>>>{
           {0, {4, 6}}, {3, {3}}, {4, {4}}, {5, {4, 1}}, {10, {4, 6}}, {11, {4, 6}}}) {
    SCOPED_TRACE(limit);
    etcdserverpb::RangeRequest request = RangeOf("k", "l");
    request.set_limit(limit);
    Open({.first_keys = 4}, request);
    EXPECT_EQ(Sizes(), sizes);
    EXPECT_EQ(pieces_.back().response.more(), limit > 0 && limit < 10);
    EXPECT_EQ(pieces_.back().response.count(), 10);
    for (size_t i = 0; i + 1 < pieces_.size(); ++i) {
      EXPECT_FALSE(pieces_[i].response.has_header());
      EXPECT_FALSE(pieces_[i].response.more());
      EXPECT_EQ(pieces_[i].response.count(), 0);
    }
  }
}

TEST_F(RangePagerTest, AnEmptyRangeIsOnePieceWithAHeader) {
  Open({}, RangeOf("k", "l"));
  EXPECT_THAT(Sizes(), ElementsAre(0));
  ExpectHeader(pieces_[0].response.header(), 1);
}

TEST_F(RangePagerTest, NeverHoldsMoreThanAPieceHoweverLongTheRange) {
  for (int i = 0; i < 200; ++i) MustPut(&member_, absl::StrCat("k", 100 + i), std::string(10000, 'x'));
  Open({.first_keys = 10, .piece_bytes = 100000}, RangeOf("k", "l"));
  EXPECT_GE(Sizes().size(), 20u);
  EXPECT_GE(budget_->stats().in_use_bytes_max, 100000u);
  EXPECT_LT(budget_->stats().in_use_bytes_max, 500000u);
  EXPECT_EQ(budget_->stats().in_use_bytes, 0u);
}

TEST_F(RangePagerTest, APieceWaitsForMemoryUntilTheServersTimeout) {
  for (int i = 0; i < 50; ++i) MustPut(&member_, absl::StrCat("k", 100 + i), std::string(10000, 'x'));
  Open({.first_keys = 1, .piece_bytes = 400000}, RangeOf("k", "l"));
  keep_ = true;
  ASSERT_TRUE(Next().ok());
  auto hog = budget_->NewShare();
  ASSERT_TRUE(hog->Grow(700000));
  std::atomic<bool> done = false;
  absl::StatusOr<RangePager::Piece> piece = absl::UnknownError("no answer");
  pager_->Next([&](absl::StatusOr<RangePager::Piece> result) {
    piece = std::move(result);
    done = true;
  });
  EXPECT_EQ(budget_->stats().waiting, 1u);
  const absl::Time now = member_.member().clock->Now();
  budget_->Expire(now);
  EXPECT_FALSE(done);
  budget_->Expire(now + member_.member().limits.request_timeout + absl::Seconds(1));
  EXPECT_TRUE(done);
  EXPECT_EQ(piece.status(), absl::ResourceExhaustedError("etcdserver: too many requests"));
}

TEST_F(RangePagerTest, ACallerThatHasGoneIsNotReadFor) {
  Call call;
  call.cancelled = std::make_shared<std::atomic<bool>>(true);
  Open({}, RangeOf("k", "l"), call);
  EXPECT_TRUE(absl::IsCancelled(Next().status()));
  EXPECT_EQ(budget_->stats().in_use_bytes, 0u);
}

}  // namespace
}  // namespace keel::server
