// Every option of a RangeRequest (rpc.md section 2.2), on one small keyspace.

#include "base/random.h"
#include "store_fixture.h"

namespace keel::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Request = etcdserverpb::RangeRequest;

class RangeTest : public StoreTest {
 protected:
  // Revision 2: c=1, 3: a=9, 4: b=5, 5: d=7, 6: a=3, 7: gone (deleted), 8: b=5 again. Live: a b c d.
  RangeTest() {
    Put("c", "1");
    Put("a", "9");
    Put("b", "5");
    Put("d", "7");
    Put("a", "3");
    Put("gone", "x");
    Put("b", "5");
    Delete("gone");
  }
};

TEST_F(RangeTest, IntervalsMeanWhatTheProtocolSays) {
  struct Case {
    std::string name, key, end;
    std::vector<std::string> pairs;
  };
  const Case cases[] = {
      {"one key", "a", "", {"a=3"}},
      {"missing key", "aa", "", {}},
      {"deleted key", "gone", "", {}},
      {"half-open", "a", "c", {"a=3", "b=5"}},
      {"end equals key", "b", "b", {}},
      {"end before key", "c", "a", {}},
      {"from key", "c", kFromKey, {"c=1", "d=7"}},
      {"all keys", kFromKey, kFromKey, {"a=3", "b=5", "c=1", "d=7"}},
      {"end with zero bytes", "a", std::string("a\0", 2), {"a=3"}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    etcdserverpb::RangeResponse response = Range(RangeOf(c.key, c.end));
    EXPECT_EQ(Pairs(response), c.pairs);
    EXPECT_EQ(response.count(), static_cast<int64_t>(c.pairs.size()));
    EXPECT_FALSE(response.more());
  }
}

TEST_F(RangeTest, OrdersAndTargets) {
  struct Case {
    Request::SortOrder order;
    Request::SortTarget target;
    std::vector<std::string> pairs;
  };
  const Case cases[] = {
      {Request::NONE, Request::KEY, {"a=3", "b=5", "c=1", "d=7"}},
      {Request::ASCEND, Request::KEY, {"a=3", "b=5", "c=1", "d=7"}},
      {Request::DESCEND, Request::KEY, {"d=7", "c=1", "b=5", "a=3"}},
      {Request::ASCEND, Request::VALUE, {"c=1", "a=3", "b=5", "d=7"}},
      {Request::NONE, Request::VALUE, {"c=1", "a=3", "b=5", "d=7"}},
      {Request::DESCEND, Request::VALUE, {"d=7", "b=5", "a=3", "c=1"}},
      {Request::ASCEND, Request::CREATE, {"c=1", "a=3", "b=5", "d=7"}},
      {Request::ASCEND, Request::MOD, {"c=1", "d=7", "a=3", "b=5"}},
      {Request::DESCEND, Request::MOD, {"b=5", "a=3", "d=7", "c=1"}},
      {Request::ASCEND, Request::VERSION, {"c=1", "d=7", "a=3", "b=5"}},
      {Request::DESCEND, Request::VERSION, {"a=3", "b=5", "c=1", "d=7"}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(absl::StrCat(c.order, " by ", c.target));
    Request request = RangeOf("a", "z");
    request.set_sort_order(c.order);
    request.set_sort_target(c.target);
    EXPECT_EQ(Pairs(Range(request)), c.pairs);
  }
}

TEST_F(RangeTest, ATargetWithoutOrderSortsOnlyTheFirstKeysUpToTheLimit) {
  Request request = RangeOf("a", "z");
  request.set_limit(1);
  request.set_sort_target(Request::VALUE);
  // The first two keys are a=3 and b=5; c=1, smaller than both, is never looked at.
  EXPECT_THAT(Pairs(Range(request)), ElementsAre("a=3"));
  request.set_sort_order(Request::ASCEND);
  EXPECT_THAT(Pairs(Range(request)), ElementsAre("c=1"));
  request.set_sort_order(Request::NONE);
  request.set_min_mod_revision(1);
  EXPECT_THAT(Pairs(Range(request)), ElementsAre("c=1")) << "a filter makes the whole interval be read";
}

TEST_F(RangeTest, LimitCutsAfterFiltersAndCountIgnoresBoth) {
  Request request = RangeOf("a", "z");
  request.set_limit(2);
  etcdserverpb::RangeResponse response = Range(request);
  EXPECT_THAT(Pairs(response), ElementsAre("a=3", "b=5"));
  EXPECT_TRUE(response.more());
  EXPECT_EQ(response.count(), 4);

  request.set_max_mod_revision(6);
  response = Range(request);
  EXPECT_THAT(Pairs(response), ElementsAre("a=3", "c=1"));
  EXPECT_TRUE(response.more());
  EXPECT_EQ(response.count(), 4);

  request.set_limit(3);
  response = Range(request);
  EXPECT_THAT(Pairs(response), ElementsAre("a=3", "c=1", "d=7"));
  EXPECT_FALSE(response.more());

  request = RangeOf("a", "z");
  request.set_limit(4);
  EXPECT_FALSE(Range(request).more());
  request.set_limit(-1);
  EXPECT_EQ(Range(request).kvs_size(), 4);
}

TEST_F(RangeTest, FiltersAreInclusive) {
  struct Case {
    std::string name;
    int64_t min_mod, max_mod, min_create, max_create;
    std::vector<std::string> pairs;
  };
  const Case cases[] = {
      {"min mod", 6, 0, 0, 0, {"a=3", "b=5"}},    {"max mod", 0, 5, 0, 0, {"c=1", "d=7"}},
      {"mod window", 5, 6, 0, 0, {"a=3", "d=7"}}, {"min create", 0, 0, 4, 0, {"b=5", "d=7"}},
      {"max create", 0, 0, 0, 3, {"a=3", "c=1"}}, {"all four", 6, 8, 3, 3, {"a=3"}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Request request = RangeOf("a", "z");
    request.set_min_mod_revision(c.min_mod);
    request.set_max_mod_revision(c.max_mod);
    request.set_min_create_revision(c.min_create);
    request.set_max_create_revision(c.max_create);
    EXPECT_EQ(Pairs(Range(request)), c.pairs);
  }
}

TEST_F(RangeTest, KeysOnlyLeavesOutValuesAndCountOnlyEverything) {
  Request request = RangeOf("a", "c");
  request.set_keys_only(true);
  etcdserverpb::RangeResponse response = Range(request);
  ASSERT_EQ(response.kvs_size(), 2);
  EXPECT_EQ(response.kvs(0).key(), "a");
  EXPECT_EQ(response.kvs(0).value(), "");
  EXPECT_EQ(response.kvs(0).version(), 2);
  EXPECT_EQ(response.kvs(0).create_revision(), 3);
  EXPECT_EQ(response.kvs(0).mod_revision(), 6);

  request.set_sort_target(Request::VALUE);
  request.set_sort_order(Request::DESCEND);
  response = Range(request);
  EXPECT_EQ(response.kvs(0).key(), "b") << "sorted by the values that are not shown";
  EXPECT_EQ(response.kvs(0).value(), "");

  request.set_count_only(true);
  request.set_limit(1);
  response = Range(request);
  EXPECT_EQ(response.kvs_size(), 0);
  EXPECT_EQ(response.count(), 2);
  EXPECT_FALSE(response.more());
}

TEST_F(RangeTest, OldRevisionsShowWhatWasThereThen) {
  struct Case {
    int64_t revision;
    std::vector<std::string> pairs;
  };
  const Case cases[] = {
      {1, {}},
      {2, {"c=1"}},
      {3, {"a=9", "c=1"}},
      {5, {"a=9", "b=5", "c=1", "d=7"}},
      {6, {"a=3", "b=5", "c=1", "d=7"}},
      {7, {"a=3", "b=5", "c=1", "d=7", "gone=x"}},
      {9, {"a=3", "b=5", "c=1", "d=7"}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.revision);
    etcdserverpb::RangeResponse response = Range(RangeOf("a", "z", c.revision));
    EXPECT_EQ(Pairs(response), c.pairs);
    EXPECT_EQ(response.count(), static_cast<int64_t>(c.pairs.size()));
    Request count = RangeOf("a", "z", c.revision);
    count.set_count_only(true);
    EXPECT_EQ(Range(count).count(), static_cast<int64_t>(c.pairs.size()));
  }
  EXPECT_EQ(Range(RangeOf("a", "", 4)).kvs(0).version(), 1);
}

TEST_F(RangeTest, CompactedAndFutureRevisionsHaveTheirExactErrors) {
  Compact(5);
  EXPECT_EQ(RangeStatus(RangeOf("a", "", 10)),
            absl::OutOfRangeError("etcdserver: mvcc: required revision is a future revision"));
  EXPECT_EQ(RangeStatus(RangeOf("a", "", 4)),
            absl::OutOfRangeError("etcdserver: mvcc: required revision has been compacted"));
  EXPECT_TRUE(RangeStatus(RangeOf("a", "", 5)).ok());
  EXPECT_TRUE(RangeStatus(RangeOf("a", "", -3)).ok());
}

TEST_F(RangeTest, ManyKeysCrossTheChunksOfTheIndexAndOfTheValues) {
  ApplyBatch batch = store_->BeginBatch();
  batch.BeginEntry({.index = 100, .term = 1});
  for (int i = 0; i < 3000; ++i) {
    ASSERT_TRUE(batch.Put(PutOf(absl::StrCat("n", 10000 + i), absl::StrCat((i * 7919) % 3000)), nullptr).ok());
  }
  batch.EndEntry();
  Request request = RangeOf("n", "o");
  EXPECT_EQ(Read(batch, request).kvs_size(), 3000);
  ASSERT_TRUE(batch.Commit().ok());

  etcdserverpb::RangeResponse all = Range(request);
  ASSERT_EQ(all.kvs_size(), 3000);
  for (int i = 0; i < 3000; ++i) ASSERT_EQ(all.kvs(i).key(), absl::StrCat("n", 10000 + i));

  request.set_limit(10);
  for (Request::SortTarget target : {Request::KEY, Request::VALUE, Request::MOD}) {
    for (Request::SortOrder order : {Request::ASCEND, Request::DESCEND}) {
      Request whole = RangeOf("n", "o");
      whole.set_sort_target(target);
      whole.set_sort_order(order);
      request.set_sort_target(target);
      request.set_sort_order(order);
      etcdserverpb::RangeResponse best = Range(request);
      ASSERT_EQ(best.kvs_size(), 10);
      EXPECT_TRUE(best.more());
      EXPECT_EQ(best.count(), 3000);
      etcdserverpb::RangeResponse sorted = Range(whole);
      for (int i = 0; i < 10; ++i) EXPECT_EQ(best.kvs(i).key(), sorted.kvs(i).key()) << target << " " << order;
    }
  }
}

class ViewTest : public StoreTest {};

TEST_F(ViewTest, ShowsItsRevisionWhateverHappensAfterwards) {
  for (int i = 0; i < 10; ++i) Put("k", std::to_string(i));
  Put("deleted", "later");
  ReadView view = store_->View();
  Put("k", "new");
  Put("born", "after");
  Delete("deleted");
  Compact(store_->current_revision().value());
  // The view holds the history it can still ask for.
  auto more = store_->CompactStep(1000);
  ASSERT_TRUE(more.ok());
  EXPECT_TRUE(*more);

  EXPECT_EQ(view.revision(), Revision(12));
  EXPECT_THAT(Pairs(Read(view, RangeOf(kFromKey, kFromKey))), ElementsAre("deleted=later", "k=9"));
  EXPECT_THAT(Pairs(Read(view, RangeOf("k", "", 4))), ElementsAre("k=2"));
  EXPECT_EQ(view.Find("k").value()->version, 10);
  EXPECT_EQ(*view.Value("k"), "9");
  EXPECT_FALSE(view.Find("born").value().has_value());
  etcdserverpb::RangeResponse response;
  EXPECT_TRUE(absl::IsOutOfRange(view.Range(RangeOf("k", "", 13), &response)));
  std::vector<std::string> keys;
  ASSERT_TRUE(view.ForEach(kFromKey, kFromKey,
                           [&](std::string_view key, const KeyFacts&) {
                             keys.emplace_back(key);
                             return true;
                           })
                  .ok());
  EXPECT_THAT(keys, ElementsAre("deleted", "k"));
}

TEST_F(ViewTest, LettingGoLetsCompactionGoOn) {
  Put("k", "1");
  Put("k", "2");
  {
    ReadView view = store_->View();
    Compact(3);
    ASSERT_TRUE(store_->CompactStep(1000).ok());
    EXPECT_TRUE(store_->RecordAt({Revision(2), 0}).ok());
  }
  CompactPhysically();
  EXPECT_EQ(store_->compacted_physically(), Revision(3));
  EXPECT_THAT(Pairs(Range(RangeOf("k"))), ElementsAre("k=2"));
}

TEST_F(ViewTest, ForEachStopsWhenToldTo) {
  for (const char* key : {"a", "b", "c"}) Put(key, "v");
  std::vector<std::string> keys;
  ASSERT_TRUE(store_->View()
                  .ForEach("a", kFromKey,
                           [&](std::string_view key, const KeyFacts&) {
                             keys.emplace_back(key);
                             return keys.size() < 2;
                           })
                  .ok());
  EXPECT_THAT(keys, ElementsAre("a", "b"));
}

TEST_F(ViewTest, MissingKeysAreResultsNotErrors) {
  EXPECT_THAT(Pairs(Range(RangeOf("nothing"))), IsEmpty());
  EXPECT_FALSE(store_->View().Find("nothing").value().has_value());
  EXPECT_TRUE(absl::IsNotFound(store_->View().Value("nothing").status()));
}

}  // namespace
}  // namespace keel::storage
