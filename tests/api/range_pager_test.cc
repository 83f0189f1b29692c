#include "server/api/range_pager.h"

#include "absl/synchronization/notification.h"
#include "tests/api/member_fixture.h"

namespace keel::server {
namespace {

absl::StatusOr<bool> NextPiece(RangePager* pager, etcdserverpb::RangeStreamResponse* piece) {
  absl::Notification done;
  absl::StatusOr<bool> last = false;
  pager->Next(piece, [&](absl::StatusOr<bool> result) {
    last = std::move(result);
    done.Notify();
  });
  done.WaitForNotification();
  return last;
}

TEST(RangePagerTest, CompactionBetweenPiecesIsTold) {
  TestMember member;
  for (int i = 0; i < 20; ++i) MustPut(&member, absl::StrCat("k", 10 + i), "v");
  WorkerPool readers(1);
  ApiBase base{.member = &member.member(), .readers = &readers};
  auto pager = std::make_shared<RangePager>(&base, RangePager::Options{.first_keys = 3}, Call(), RangeOf("k", "l"));
  etcdserverpb::RangeStreamResponse piece;
  const auto first = NextPiece(pager.get(), &piece);
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE(*first);
  EXPECT_EQ(piece.range_response().kvs_size(), 3);

  MustPut(&member, "other", "v");
  etcdserverpb::CompactionResponse compaction;
  ASSERT_THAT(Compact(&member, 22, &compaction), Succeeds());
  const auto second = NextPiece(pager.get(), &piece);
  EXPECT_EQ(second.status(), absl::OutOfRangeError("etcdserver: mvcc: required revision has been compacted"));
  EXPECT_EQ(piece.range_response().kvs_size(), 0);
}

TEST(RangePagerTest, PiecesGrowToTheWantedSize) {
  TestMember member;
  for (int i = 0; i < 100; ++i) MustPut(&member, absl::StrCat("k", 100 + i), std::string(1000, 'x'));
  WorkerPool readers(1);
  ApiBase base{.member = &member.member(), .readers = &readers};
  auto pager = std::make_shared<RangePager>(&base, RangePager::Options{.first_keys = 1, .piece_bytes = 20000}, Call(),
                                            RangeOf("k", "l"));
  etcdserverpb::RangeStreamResponse piece;
  std::vector<int> sizes;
  absl::StatusOr<bool> last = false;
  while (last.ok() && !*last) {
    last = NextPiece(pager.get(), &piece);
    sizes.push_back(piece.range_response().kvs_size());
  }
  ASSERT_TRUE(last.ok());
  EXPECT_EQ(sizes.front(), 1);
  EXPECT_THAT(sizes[1], testing::AllOf(testing::Ge(15), testing::Le(20)));
  EXPECT_EQ(piece.range_response().count(), 100);
}

TEST(RangePagerTest, ACallerThatHasGoneIsNotReadFor) {
  TestMember member;
  WorkerPool readers(1);
  ApiBase base{.member = &member.member(), .readers = &readers};
  Call call;
  call.cancelled = std::make_shared<std::atomic<bool>>(true);
  auto pager = std::make_shared<RangePager>(&base, RangePager::Options(), call, RangeOf("k", "l"));
  etcdserverpb::RangeStreamResponse piece;
  EXPECT_TRUE(absl::IsCancelled(NextPiece(pager.get(), &piece).status()));
}

}  // namespace
}  // namespace keel::server
