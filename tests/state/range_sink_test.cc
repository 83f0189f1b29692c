// What a range holds in memory on its way to the sink, and what the sink hears.

#include <algorithm>

#include "store_fixture.h"

namespace keel::storage {
namespace {

using Request = etcdserverpb::RangeRequest;

// Takes up to `pairs_max` pairs and lets up to `hold_max` bytes be held.
class CountingSink final : public RangeSink {
 public:
  explicit CountingSink(size_t pairs_max = SIZE_MAX, size_t hold_max = SIZE_MAX)
      : pairs_max_(pairs_max), hold_max_(hold_max) {}
  explicit CountingSink(Caching caching) : CountingSink() { caching_ = caching; }

  bool Add(std::string_view pair) override {
    ++asked;
    if (pairs.size() == pairs_max_) return false;
    pairs.emplace_back(pair);
    return true;
  }
  bool Hold(size_t bytes) override {
    held_max = std::max(held_max, bytes);
    return bytes <= hold_max_;
  }

  Caching caching() const override { return caching_; }

  std::vector<std::string> pairs;
  size_t asked = 0;
  size_t held_max = 0;

 private:
  const size_t pairs_max_;
  const size_t hold_max_;
  Caching caching_ = Caching::kFill;
};

constexpr int kKeys = 5000;
constexpr size_t kValueBytes = 500;
constexpr size_t kAll = kKeys * kValueBytes;

class RangeSinkTest : public StoreTest {
 protected:
  // Keys n10000 and on, with values in another order.
  RangeSinkTest() {
    Apply([](ApplyBatch& batch) {
      for (int i = 0; i < kKeys; ++i) {
        std::string value = absl::StrCat(10000 + (i * 3571) % kKeys);
        value.resize(kValueBytes, 'x');
        ASSERT_TRUE(batch.Put(PutOf(absl::StrCat("n", 10000 + i), value), nullptr).ok());
      }
    });
  }

  RangeTotals Send(const Request& request, RangeSink* sink) {
    auto totals = store_->View().ReadRange(request, sink);
    EXPECT_TRUE(totals.ok()) << totals.status();
    return totals.ok() ? *totals : RangeTotals();
  }
};

Request Sorted(Request::SortTarget target, Request::SortOrder order, int64_t limit) {
  Request request = RangeOf("n", "o");
  request.set_sort_target(target);
  request.set_sort_order(order);
  request.set_limit(limit);
  return request;
}

TEST_F(RangeSinkTest, ASinkHearsTheWireBytesOfEveryPair) {
  for (Request request : {RangeOf("n10000"), RangeOf("n", "o"), Sorted(Request::VALUE, Request::DESCEND, 100)}) {
    for (bool keys_only : {false, true}) {
      SCOPED_TRACE(request.ShortDebugString() + (keys_only ? " keys only" : ""));
      request.set_keys_only(keys_only);
      const etcdserverpb::RangeResponse response = Range(request);
      CountingSink sink;
      const RangeTotals totals = Send(request, &sink);
      EXPECT_FALSE(totals.stopped);
      EXPECT_EQ(totals.more, response.more());
      EXPECT_EQ(totals.count, response.count());
      ASSERT_EQ(sink.pairs.size(), static_cast<size_t>(response.kvs_size()));
      for (int i = 0; i < response.kvs_size(); ++i) {
        ASSERT_EQ(sink.pairs[static_cast<size_t>(i)], response.kvs(i).SerializeAsString());
      }
    }
  }
}

TEST_F(RangeSinkTest, NothingFollowsWhatASinkDoesNotTake) {
  Request keys_only = RangeOf("n", "o");
  keys_only.set_keys_only(true);
  for (const Request& request : {RangeOf("n", "o"), keys_only, Sorted(Request::MOD, Request::DESCEND, 0)}) {
    SCOPED_TRACE(request.ShortDebugString());
    CountingSink sink(7);
    EXPECT_TRUE(Send(request, &sink).stopped);
    EXPECT_EQ(sink.asked, 8u);
  }
}

TEST_F(RangeSinkTest, KeyOrderHoldsNothingBack) {
  CountingSink sink(SIZE_MAX, /*hold_max=*/0);
  EXPECT_FALSE(Send(RangeOf("n", "o"), &sink).stopped);
  EXPECT_EQ(sink.pairs.size(), static_cast<size_t>(kKeys));
  EXPECT_EQ(sink.held_max, 0u);
}

TEST_F(RangeSinkTest, ALimitedSortHoldsNoMoreThanTheBest) {
  for (Request::SortOrder order : {Request::ASCEND, Request::DESCEND}) {
    CountingSink sink;
    const RangeTotals totals = Send(Sorted(Request::VALUE, order, 10), &sink);
    EXPECT_TRUE(totals.more);
    EXPECT_EQ(totals.count, kKeys);
    EXPECT_EQ(sink.pairs.size(), 10u);
    EXPECT_GT(sink.held_max, 0u);
    EXPECT_LT(sink.held_max, kAll / 3);
  }
}

TEST_F(RangeSinkTest, ALimitedSortKeepsLessWhenMemoryIsShort) {
  CountingSink sink(SIZE_MAX, /*hold_max=*/kAll / 10);
  const Request request = Sorted(Request::VALUE, Request::DESCEND, 10);
  EXPECT_FALSE(Send(request, &sink).stopped);
  const etcdserverpb::RangeResponse response = Range(request);
  ASSERT_EQ(sink.pairs.size(), 10u);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(sink.pairs[static_cast<size_t>(i)], response.kvs(i).SerializeAsString());
  }
}

TEST_F(RangeSinkTest, ASortOfEverythingStopsWhenItHoldsTooMuch) {
  CountingSink sink(SIZE_MAX, /*hold_max=*/kAll / 2);
  EXPECT_TRUE(Send(Sorted(Request::VALUE, Request::ASCEND, 0), &sink).stopped);
  EXPECT_EQ(sink.asked, 0u);
  // By another target the values need not be held to sort.
  CountingSink light(SIZE_MAX, /*hold_max=*/kAll / 2);
  EXPECT_FALSE(Send(Sorted(Request::MOD, Request::DESCEND, 0), &light).stopped);
  EXPECT_EQ(light.pairs.size(), static_cast<size_t>(kKeys));
}

TEST_F(RangeSinkTest, OnlyTheFirstRecordsOfALongListGoToTheCache) {
  for (const Request& request : {RangeOf("n", "o"), Sorted(Request::VALUE, Request::DESCEND, 10)}) {
    SCOPED_TRACE(request.ShortDebugString());
    Reopen();
    EXPECT_EQ(store_->sizes().cached_bytes, 0);
    CountingSink piece(Caching::kBypass);
    Send(request, &piece);
    EXPECT_EQ(store_->sizes().cached_bytes, 0);
    CountingSink whole(Caching::kFill);
    Send(request, &whole);
    EXPECT_GT(store_->sizes().cached_bytes, 0);
    EXPECT_LT(store_->sizes().cached_bytes, static_cast<int64_t>(kAll / 6));
    EXPECT_LT(store_->sizes().cached_bytes, static_cast<int64_t>(Options().value_cache_bytes / 2 - kAll / 100));
  }
}

TEST_F(RangeSinkTest, TheLaterPagesOfAListStayOutOfTheCache) {
  Reopen();
  Request page = RangeOf("n", "o");
  page.set_limit(100);
  CountingSink first(Caching::kFill);
  Send(page, &first);
  const int64_t cached = store_->sizes().cached_bytes;
  EXPECT_GT(cached, 0);
  page.set_revision(store_->current_revision().value());
  page.set_key("n10100");
  CountingSink second(Caching::kFill);
  Send(page, &second);
  EXPECT_EQ(second.pairs.size(), 100u);
  EXPECT_EQ(store_->sizes().cached_bytes, cached);
}

TEST_F(RangeSinkTest, AListOfOlderVersionsLeavesTheCacheToOthersToo) {
  const int64_t before = store_->current_revision().value();
  Apply([](ApplyBatch& batch) {
    for (int i = 0; i < kKeys; ++i) ASSERT_TRUE(batch.Put(PutOf(absl::StrCat("n", 10000 + i), "new"), nullptr).ok());
  });
  Reopen();
  CountingSink sink(Caching::kFill);
  Send(RangeOf("n", "o", before), &sink);
  EXPECT_EQ(sink.pairs.size(), static_cast<size_t>(kKeys));
  EXPECT_GT(store_->sizes().cached_bytes, 0);
  EXPECT_LT(store_->sizes().cached_bytes, static_cast<int64_t>(Options().value_cache_bytes / 2 - kAll / 100));
}

}  // namespace
}  // namespace keel::storage
