// The tables of the watch contract, line by line, over a store in memory.

#include "server/watch/watch_hub.h"

#include <gtest/gtest.h>

#include <set>

#include "absl/synchronization/notification.h"
#include "tests/watch/watch_fixture.h"

namespace keel::server {
namespace {

using etcdserverpb::WatchCreateRequest;

const std::string kZero(1, '\0');

// --- Create.

TEST_F(WatchHubTest, FirstWatchOnAnEmptyStoreIsCreatedAtRevisionOneWithIdZero) {
  Open();
  StreamReader a(hub_.get()), b(hub_.get());
  a->Create(WatchArgs{.key = "k"}.Request());
  b->Create(WatchArgs{.key = "k"}.Request());
  EXPECT_EQ(Text(a.TryNext()), "id=0 rev=1 created");
  EXPECT_EQ(Text(b.TryNext()), "id=0 rev=1 created");  // Ids are the stream's own.
  EXPECT_EQ(Text(a.TryNext()), "nothing");
}

TEST_F(WatchHubTest, IdsAreAscendingSkipTakenOnesAndAreNotReused) {
  Open();
  StreamReader s(hub_.get());
  auto create = [&](int64_t id) {
    s->Create(WatchArgs{.key = "k", .id = id}.Request());
    return Text(s.TryNext());
  };
  EXPECT_EQ(create(0), "id=0 rev=1 created");
  EXPECT_EQ(create(2), "id=2 rev=1 created");
  EXPECT_EQ(create(0), "id=1 rev=1 created");
  EXPECT_EQ(create(0), "id=3 rev=1 created");
  EXPECT_EQ(create(2), "id=-1 rev=1 created canceled reason=mvcc: duplicate watch ID provided on the WatchStream");
  s->Cancel(3);
  EXPECT_EQ(Text(s.TryNext()), "id=3 rev=1 canceled");
  EXPECT_EQ(create(0), "id=4 rev=1 created");
  EXPECT_EQ(create(3), "id=3 rev=1 created");  // Free again for who names it.
}

TEST_F(WatchHubTest, RefusalsHaveTheirTextAndIdMinusOneAndHarmNobody) {
  Open();
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "a"}.Request());
  s.TryNext();
  Put("x", "1");
  const struct {
    const char* name;
    WatchArgs args;
    const char* text;
  } kCases[] = {
      {"end = key", {.key = "b", .end = "b"}, "id=-1 rev=2 created canceled reason=mvcc: watcher range is empty"},
      {"end < key", {.key = "b", .end = "a"}, "id=-1 rev=2 created canceled reason=mvcc: watcher range is empty"},
      {"negative start",
       {.key = "b", .start = -1},
       "id=-1 rev=2 created canceled reason=etcdserver: mvcc: required revision has been compacted"},
      {"negative start is checked before the range",
       {.key = "b", .end = "a", .start = -1},
       "id=-1 rev=2 created canceled reason=etcdserver: mvcc: required revision has been compacted"},
      {"range is checked before the id",
       {.key = "b", .end = "a", .id = 0},
       "id=-1 rev=2 created canceled reason=mvcc: watcher range is empty"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.name);
    s->Create(c.args.Request());
    const auto refusal = s.TryNext();
    EXPECT_EQ(Text(refusal), c.text);
    EXPECT_EQ(refusal->compact_revision(), 0);
  }
  Put("a", "2");
  EXPECT_EQ(Text(s.TryNext()), "id=0 rev=3 [PUT a=2 @3]");
  s->Create(WatchArgs{.key = "b"}.Request());
  EXPECT_EQ(Text(s.TryNext()), "id=1 rev=3 created");  // Refusals used up no id.
}

TEST_F(WatchHubTest, RangeEndsSelectTheRightKeys) {
  const struct {
    const char* name;
    std::string key, end;
    std::set<std::string> seen;
  } kCases[] = {
      {"one key", "b", "", {"b"}},
      {"half open", "b", "d", {"b", "bb", "c"}},
      {"from key", "bb", kZero, {"bb", "c", "d"}},
      {"everything", kZero, kZero, {"a", "b", "bb", "c", "d"}},
      {"no key is the first key", "", "", {}},
      {"no key and from key", "", kZero, {"a", "b", "bb", "c", "d"}},
      {"no key and an end", "", "b", {"a"}},
  };
  Open();
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.name);
    StreamReader s(hub_.get());
    s->Create(WatchArgs{.key = c.key, .end = c.end}.Request());
    EXPECT_TRUE(s.TryNext()->created());
    std::set<std::string> seen;
    for (const char* key : {"a", "b", "bb", "c", "d"}) Put(key, "v");
    while (auto response = s.TryNext()) {
      ASSERT_EQ(response->events_size(), 1);
      seen.insert(response->events(0).kv().key());
    }
    EXPECT_EQ(seen, c.seen);
  }
}

TEST_F(WatchHubTest, StartInThePastReplaysFromThereInclusive) {
  Open();
  Put("k", "2");
  Put("k", "3");
  Put("other", "4");
  Put("k", "5");
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k", .start = 3}.Request());
  EXPECT_EQ(Text(s.Next()), "id=0 rev=5 created");
  EXPECT_EQ(Text(s.Next()), "id=0 rev=5 [PUT k=3 @3; PUT k=5 @5]");
  AwaitSynced(&s);
  Put("k", "6");
  EXPECT_EQ(Text(s.Next()), "id=0 rev=6 [PUT k=6 @6]");
  EXPECT_EQ(Text(s.TryNext()), "nothing");
}

TEST_F(WatchHubTest, StartInTheFutureWaitsForIt) {
  Open();
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k", .start = 4}.Request());
  EXPECT_EQ(Text(s.Next()), "id=0 rev=1 created");
  for (int i = 2; i <= 5; ++i) Put("k", absl::StrCat(i));
  EXPECT_EQ(Text(s.Next()), "id=0 rev=4 [PUT k=4 @4]");
  EXPECT_EQ(Text(s.Next()), "id=0 rev=5 [PUT k=5 @5]");
}

TEST_F(WatchHubTest, StartBelowTheCompactRevisionIsCreatedThenCancelled) {
  Open();
  for (int i = 2; i <= 6; ++i) Put("k", absl::StrCat(i));
  store_.Compact(4);
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k", .start = 3}.Request());
  EXPECT_EQ(Text(s.Next()), "id=0 rev=6 created");
  EXPECT_EQ(Text(s.Next()), "id=0 rev=0 canceled compact=4");
  s->Create(WatchArgs{.key = "k", .start = 4}.Request());
  EXPECT_EQ(Text(s.Next()), "id=1 rev=6 created");
  EXPECT_EQ(Text(s.Next()), "id=1 rev=6 [PUT k=4 @4; PUT k=5 @5; PUT k=6 @6]");
}

// Clients answer a cancellation by compaction with a cancellation of their own and wait for it to be confirmed. Until
// then the id stays taken.
TEST_F(WatchHubTest, AWatcherCancelledByCompactionIsStillCancelledOnceByItsClient) {
  Open();
  for (int i = 2; i <= 6; ++i) Put("k", absl::StrCat(i));
  store_.Compact(4);
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k", .start = 3, .id = 7}.Request());
  EXPECT_EQ(Text(s.Next()), "id=7 rev=6 created");
  EXPECT_EQ(Text(s.Next()), "id=7 rev=0 canceled compact=4");
  s->Create(WatchArgs{.key = "k", .id = 7}.Request());
  EXPECT_EQ(Text(s.Next()), "id=-1 rev=6 created canceled reason=mvcc: duplicate watch ID provided on the WatchStream");
  s->Cancel(7);
  EXPECT_EQ(Text(s.TryNext()), "id=7 rev=6 canceled");
  s->Cancel(7);  // Unknown by now.
  EXPECT_EQ(Text(s.TryNext()), "nothing");
  s->Create(WatchArgs{.key = "k", .id = 7}.Request());
  EXPECT_EQ(Text(s.TryNext()), "id=7 rev=6 created");
}

// A client that has written a revision and then watches "from now" must not be told of its own write, although the
// apply thread may not have published it yet.
TEST_F(WatchHubTest, FromNowIsBehindWhatIsCommittedButNotYetPublished) {
  Open();
  StreamReader s(hub_.get());
  const auto unpublished = store_.Put("k", "mine");
  s->Create(WatchArgs{.key = "k"}.Request());
  s->Create(WatchArgs{.key = "k", .start = 2}.Request());
  EXPECT_EQ(Text(s.TryNext()), "id=0 rev=2 created");
  EXPECT_EQ(Text(s.TryNext()), "id=1 rev=2 created");
  hub_->Publish({unpublished});
  EXPECT_EQ(Text(s.TryNext()), "id=1 rev=2 [PUT k=mine @2]");
  Put("k", "next");
  EXPECT_EQ(Text(s.TryNext()), "id=0 rev=3 [PUT k=next @3]");
}

TEST_F(WatchHubTest, FiltersDropEventsAndSendNothingInstead) {
  Open();
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k", .filters = {WatchCreateRequest::NOPUT}}.Request());
  s->Create(WatchArgs{.key = "k", .filters = {WatchCreateRequest::NODELETE}}.Request());
  s->Create(WatchArgs{.key = "k", .filters = {WatchCreateRequest::NOPUT, WatchCreateRequest::NODELETE}}.Request());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(s.TryNext()->created());
  Put("k", "1");
  EXPECT_EQ(Text(s.TryNext()), "id=1 rev=2 [PUT k=1 @2]");
  EXPECT_EQ(Text(s.TryNext()), "nothing");
  Delete("k");
  EXPECT_EQ(Text(s.TryNext()), "id=0 rev=3 [DELETE k @3]");
  EXPECT_EQ(Text(s.TryNext()), "nothing");

  StreamReader replay(hub_.get());
  replay->Create(WatchArgs{.key = "k", .start = 2, .filters = {WatchCreateRequest::NOPUT}}.Request());
  EXPECT_TRUE(replay.Next()->created());
  EXPECT_EQ(Text(replay.Next()), "id=0 rev=3 [DELETE k @3]");
}

// --- Events.

TEST_F(WatchHubTest, DeleteCarriesKeyAndRevisionOnlyAndRecreationIsVersionOne) {
  Open();
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k"}.Request());
  s.TryNext();
  Put("k", "1");
  Put("k", "");
  Delete("k");
  Put("k", "4");
  const auto created = s.TryNext(), empty = s.TryNext(), deleted = s.TryNext(), again = s.TryNext();
  EXPECT_EQ(created->events(0).kv().create_revision(), created->events(0).kv().mod_revision());
  EXPECT_EQ(empty->events(0).kv().version(), 2);
  EXPECT_EQ(empty->events(0).kv().create_revision(), 2);
  mvccpb::KeyValue expected;
  expected.set_key("k");
  expected.set_mod_revision(4);
  EXPECT_EQ(deleted->events(0).kv().SerializeAsString(), expected.SerializeAsString());
  EXPECT_EQ(again->events(0).kv().version(), 1);
  EXPECT_EQ(again->events(0).kv().create_revision(), 5);
}

TEST_F(WatchHubTest, PreviousPairsArePerWatcherAndAbsentForCreations) {
  Open();
  StreamReader with(hub_.get()), without(hub_.get());
  with->Create(WatchArgs{.key = "k", .prev_kv = true}.Request());
  without->Create(WatchArgs{.key = "k"}.Request());
  with.TryNext();
  without.TryNext();
  Put("k", "1");
  Put("k", "2");
  Delete("k");
  Put("k", "4");
  EXPECT_EQ(Text(with.TryNext()), "id=0 rev=2 [PUT k=1 @2]");
  EXPECT_EQ(Text(with.TryNext()), "id=0 rev=3 [PUT k=2 @3 prev=1]");
  EXPECT_EQ(Text(with.TryNext()), "id=0 rev=4 [DELETE k @4 prev=2]");
  EXPECT_EQ(Text(with.TryNext()), "id=0 rev=5 [PUT k=4 @5]");
  EXPECT_EQ(Text(without.TryNext()), "id=0 rev=2 [PUT k=1 @2]");
  EXPECT_EQ(Text(without.TryNext()), "id=0 rev=3 [PUT k=2 @3]");
  EXPECT_EQ(Text(without.TryNext()), "id=0 rev=4 [DELETE k @4]");
}

TEST_F(WatchHubTest, PreviousPairOfACompactedRevisionIsAbsent) {
  Open();
  for (int i = 2; i <= 4; ++i) Put("k", absl::StrCat(i));
  store_.Compact(3);
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k", .start = 3, .prev_kv = true}.Request());
  EXPECT_TRUE(s.Next()->created());
  EXPECT_EQ(Text(s.Next()), "id=0 rev=4 [PUT k=3 @3; PUT k=4 @4 prev=3]");
}

TEST_F(WatchHubTest, AKeyChangedTwiceInARevisionShowsThePairFromBeforeBoth) {
  Open();
  Put("k", "old");
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k", .prev_kv = true}.Request());
  s.TryNext();
  Txn({{"k", "new"}, {"k", std::nullopt}});
  EXPECT_EQ(Text(s.TryNext()), "id=0 rev=3 [PUT k=new @3 prev=old; DELETE k @3 prev=old]");
  Txn({{"j", "1"}, {"j", std::nullopt}, {"k", "again"}});
  EXPECT_EQ(Text(s.TryNext()), "id=0 rev=4 [PUT k=again @4]");
  // A transaction whose first delete has no upper end may do this.
  Txn({{"k", std::nullopt}, {"k", "anew"}, {"k", std::nullopt}});
  EXPECT_EQ(Text(s.TryNext()), "id=0 rev=5 [DELETE k @5 prev=again; PUT k=anew @5; DELETE k @5 prev=again]");
}

TEST_F(WatchHubTest, ATxnArrivesInOneResponseLiveAndReplayed) {
  Open();
  StreamReader live(hub_.get());
  live->Create(WatchArgs{.key = "a", .end = "z"}.Request());
  live.TryNext();
  Txn({{"a", "1"}, {"zz", "1"}, {"b", "1"}, {"c", "1"}});
  Txn({{"b", "2"}, {"a", "2"}});
  EXPECT_EQ(Text(live.TryNext()), "id=0 rev=2 [PUT a=1 @2; PUT b=1 @2; PUT c=1 @2]");
  EXPECT_EQ(Text(live.TryNext()), "id=0 rev=3 [PUT b=2 @3; PUT a=2 @3]");  // As the operations ran.
  StreamReader replay(hub_.get());
  replay->Create(WatchArgs{.key = "a", .end = "z", .start = 2}.Request());
  EXPECT_TRUE(replay.Next()->created());
  EXPECT_EQ(Text(replay.Next()), "id=0 rev=3 [PUT a=1 @2; PUT b=1 @2; PUT c=1 @2; PUT b=2 @3; PUT a=2 @3]");
}

TEST_F(WatchHubTest, OverlappingWatchersOfOneStreamEachGetTheirCopy) {
  Open();
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k"}.Request());
  s->Create(WatchArgs{.key = "a", .end = "z"}.Request());
  s->Create(WatchArgs{.key = "k"}.Request());
  for (int i = 0; i < 3; ++i) s.TryNext();
  Put("k", "1");
  std::set<int64_t> ids;
  while (auto response = s.TryNext()) ids.insert(response->watch_id());
  EXPECT_EQ(ids, (std::set<int64_t>{0, 1, 2}));
}

// --- Cancel.

TEST_F(WatchHubTest, NothingComesAfterACancelAndUnknownIdsAreIgnored) {
  Open();
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k"}.Request());
  s.TryNext();
  s->Cancel(7);
  EXPECT_EQ(Text(s.TryNext()), "nothing");
  Put("k", "1");
  s->Cancel(0);
  Put("k", "2");
  EXPECT_EQ(Text(s.TryNext()), "id=0 rev=2 [PUT k=1 @2]");
  EXPECT_EQ(Text(s.TryNext()), "id=0 rev=2 canceled");
  s->Cancel(0);
  Put("k", "3");
  EXPECT_EQ(Text(s.TryNext()), "nothing");
  EXPECT_EQ(hub_->stats().watchers, 0);
}

TEST_F(WatchHubTest, CancelOfAWatcherThatIsCatchingUp) {
  WatchHub::Options options;
  options.ring_bytes_max = 0;  // History is on disk.
  Open(options);
  Put("k", "1");
  store_.HoldHistory(true);
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k", .start = 2}.Request());
  EXPECT_TRUE(s.Next()->created());
  s->Cancel(0);
  EXPECT_EQ(Text(s.Next()), "id=0 rev=2 canceled");
  store_.HoldHistory(false);
  // A second watcher's replay shows that the thread has been through the first one's.
  s->Create(WatchArgs{.key = "k", .start = 2}.Request());
  EXPECT_EQ(Text(s.Next()), "id=1 rev=2 created");
  EXPECT_EQ(Text(s.Next()), "id=1 rev=2 [PUT k=1 @2]");
  EXPECT_EQ(Text(s.TryNext()), "nothing");
}

TEST_F(WatchHubTest, ManyWatchersAreReleased) {
  Open();
  Put("k", "1");
  {
    std::vector<std::unique_ptr<StreamReader>> readers;
    for (int i = 0; i < 50; ++i) {
      readers.push_back(std::make_unique<StreamReader>(hub_.get()));
      for (int j = 0; j < 20; ++j) (*readers.back())->Create(WatchArgs{.key = "k", .start = j % 3}.Request());
    }
    EXPECT_EQ(hub_->stats().streams, 50);
    EXPECT_EQ(hub_->stats().watchers, 1000);
    for (int i = 0; i < 25; ++i) {
      for (int j = 0; j < 20; ++j) (*readers[i])->Cancel(j);
    }
    EXPECT_EQ(hub_->stats().watchers, 500);
  }
  EXPECT_EQ(hub_->stats().streams, 0);
  EXPECT_EQ(hub_->stats().watchers, 0);
  EXPECT_EQ(hub_->stats().lagging_watchers, 0);
}

// --- Progress.

TEST_F(WatchHubTest, RequestedProgressIsOneMessageForAllWatchersAtTheCurrentRevision) {
  Open();
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "a"}.Request());
  s->Create(WatchArgs{.key = "b"}.Request());
  s.TryNext();
  s.TryNext();
  Put("elsewhere", "1");
  Put("elsewhere", "2");
  s->RequestProgress();
  EXPECT_EQ(Text(s.TryNext()), "id=-1 rev=3");
  EXPECT_EQ(Text(s.TryNext()), "nothing");
}

TEST_F(WatchHubTest, RequestedProgressDoesNotOvertakeEvents) {
  Open();
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k"}.Request());
  s.TryNext();
  Put("k", "1");
  s->RequestProgress();
  EXPECT_EQ(Text(s.TryNext()), "id=0 rev=2 [PUT k=1 @2]");
  EXPECT_EQ(Text(s.TryNext()), "id=-1 rev=2");
}

TEST_F(WatchHubTest, RequestedProgressWaitsForWhatIsCommittedButNotYetPublished) {
  Open();
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k"}.Request());
  s.TryNext();
  const auto committed = store_.Put("k", "1");
  s->RequestProgress();
  EXPECT_EQ(Text(s.TryNext()), "nothing");
  hub_->Publish({committed});
  EXPECT_EQ(Text(s.TryNext()), "id=0 rev=2 [PUT k=1 @2]");
  EXPECT_EQ(Text(s.TryNext()), "id=-1 rev=2");
}

TEST_F(WatchHubTest, RequestedProgressIsIgnoredWithoutWatchersOrWhenOneIsNotThereYet) {
  WatchHub::Options options;
  options.ring_bytes_max = 0;
  Open(options);
  StreamReader none(hub_.get());
  none->RequestProgress();
  EXPECT_EQ(Text(none.TryNext()), "nothing");

  StreamReader future(hub_.get());
  future->Create(WatchArgs{.key = "k"}.Request());
  future->Create(WatchArgs{.key = "k", .start = 5}.Request());
  future.TryNext();
  future.TryNext();
  future->RequestProgress();
  EXPECT_EQ(Text(future.TryNext()), "nothing");

  Put("k", "2");
  store_.HoldHistory(true);
  StreamReader lagging(hub_.get());
  lagging->Create(WatchArgs{.key = "k"}.Request());
  lagging->Create(WatchArgs{.key = "k", .start = 2}.Request());
  lagging.TryNext();
  lagging.TryNext();
  lagging->RequestProgress();
  EXPECT_EQ(Text(lagging.TryNext()), "nothing");
  store_.HoldHistory(false);
  EXPECT_EQ(Text(lagging.Next()), "id=1 rev=2 [PUT k=2 @2]");
  EXPECT_EQ(Text(lagging.TryNext()), "nothing");  // No late answer.
}

// A watcher that starts at the current revision with nothing to replay becomes synced by itself.
TEST_F(WatchHubTest, AWatcherWithNothingToReplayBecomesSynced) {
  Open();
  Put("elsewhere", "1");
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k", .start = 2}.Request());
  EXPECT_TRUE(s.Next()->created());
  AwaitSynced(&s);
}

TEST_F(WatchHubTest, PeriodicProgressGoesToQuietWatchersThatAsked) {
  WatchHub::Options options;
  options.progress_interval = absl::Seconds(10);
  Open(options);
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "busy", .progress = true}.Request());
  s->Create(WatchArgs{.key = "idle", .progress = true}.Request());
  s->Create(WatchArgs{.key = "idle"}.Request());
  s->Create(WatchArgs{.key = "idle", .start = 1000, .progress = true}.Request());
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(s.Next()->created());
  Put("busy", "1");
  EXPECT_EQ(Text(s.Next()), "id=0 rev=2 [PUT busy=1 @2]");
  clock_.Advance(absl::Seconds(11));  // One interval, and the tenth.
  EXPECT_EQ(Text(s.Next()), "id=1 rev=2");
  clock_.Advance(absl::Seconds(11));  // No events since the last tick.
  EXPECT_EQ(Text(s.Next()), "id=0 rev=2");
  EXPECT_EQ(Text(s.Next()), "id=1 rev=2");
  EXPECT_EQ(Text(s.TryNext()), "nothing");
}

// --- Size.

TEST_F(WatchHubTest, TenMegabytesOfHistoryAreOneResponse) {
  WatchHub::Options options;
  options.ring_bytes_max = 0;
  Open(options);
  for (int i = 0; i < 10; ++i) Put("k", std::string(1 << 20, 'v'));
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k", .start = 1}.Request());
  EXPECT_TRUE(s.Next()->created());
  const auto response = s.Next();
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->events_size(), 10);
  EXPECT_FALSE(response->fragment());
}

TEST_F(WatchHubTest, FragmentsShareHeaderAndIdAndOnlyTheLastIsUnmarked) {
  Open();
  for (int i = 0; i < 10; ++i) Put("k", std::string(1 << 20, static_cast<char>('a' + i)));
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k", .start = 1, .id = 6, .fragment = true}.Request());
  EXPECT_TRUE(s.Next()->created());
  std::string order;
  int pieces = 0;
  while (true) {
    const auto piece = s.Next();
    ASSERT_TRUE(piece.has_value());
    ++pieces;
    EXPECT_EQ(piece->watch_id(), 6);
    EXPECT_EQ(piece->header().revision(), 11);
    EXPECT_LT(piece->ByteSizeLong(), 2u << 20);
    for (const auto& event : piece->events()) order += event.kv().value()[0];
    if (!piece->fragment()) break;
  }
  EXPECT_EQ(order, "abcdefghij");
  EXPECT_EQ(pieces, 10);
}

TEST_F(WatchHubTest, ASingleEventIsNeverSplitAndSmallResponsesStayWhole) {
  WatchHub::Options options;
  options.fragment_bytes = 1000;
  Open(options);
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "a", .end = "z", .fragment = true}.Request());
  s.TryNext();
  Put("k", std::string(5000, 'v'));
  const auto big = s.TryNext();
  EXPECT_EQ(big->events_size(), 1);
  EXPECT_FALSE(big->fragment());
  Txn({{"a", "1"}, {"b", "1"}});
  EXPECT_EQ(Text(s.TryNext()), "id=0 rev=3 [PUT a=1 @3; PUT b=1 @3]");
  EXPECT_EQ(Text(s.TryNext()), "nothing");
}

TEST_F(WatchHubTest, CatchUpIsCutAtAThousandRevisionsNeverInsideOne) {
  for (size_t ring : {size_t{0}, size_t{32} << 20}) {
    SCOPED_TRACE(ring);
    WatchHub::Options options;
    options.ring_bytes_max = ring;
    Open(options);
    const int64_t first = store_.current_revision().value() + 1;
    for (int i = 0; i < 2500; ++i) Txn({{"a", absl::StrCat(i)}, {"b", absl::StrCat(i)}});
    StreamReader s(hub_.get());
    s->Create(WatchArgs{.key = "a", .end = "z", .start = first}.Request());
    EXPECT_TRUE(s.Next()->created());
    int64_t next = first;
    int responses = 0;
    while (next < first + 2500) {
      const auto response = s.Next();
      ASSERT_TRUE(response.has_value());
      ++responses;
      EXPECT_LE(response->events_size(), 2 * 1064);
      ASSERT_EQ(response->events_size() % 2, 0);
      for (int i = 0; i < response->events_size(); i += 2) {
        ASSERT_EQ(response->events(i).kv().mod_revision(), next);
        ASSERT_EQ(response->events(i + 1).kv().mod_revision(), next);
        ++next;
      }
    }
    EXPECT_EQ(responses, 3);
    s.Close();
    hub_.reset();
  }
}

TEST_F(WatchHubTest, OneReadOfHistoryServesAllWhoStandTogether) {
  WatchHub::Options options;
  options.ring_bytes_max = 0;
  Open(options);
  for (int i = 0; i < 100; ++i) Put("k", absl::StrCat(i));
  store_.HoldHistory(true);
  StreamReader s(hub_.get());
  for (int i = 0; i < 200; ++i) s->Create(WatchArgs{.key = "k", .start = 2}.Request());
  store_.HoldHistory(false);
  int events = 0;
  while (events < 200 * 100) {
    const auto response = s.Next();
    ASSERT_TRUE(response.has_value());
    events += response->events_size();
  }
  EXPECT_LE(store_.history_reads(), 3);
}

// --- Slow streams.

TEST_F(WatchHubTest, ASlowStreamLagsAndGetsEverythingOnce) {
  for (size_t ring : {size_t{0}, size_t{1} << 20}) {
    SCOPED_TRACE(ring);
    WatchHub::Options options;
    options.ring_bytes_max = ring;
    options.stream_buffer_bytes_max = 500;
    Open(options);
    StreamReader slow(hub_.get()), fast(hub_.get());
    slow->Create(WatchArgs{.key = "k"}.Request());
    fast->Create(WatchArgs{.key = "k"}.Request());
    const int64_t first = slow.TryNext()->header().revision() + 1;
    fast.TryNext();
    for (int i = 0; i < 100; ++i) {
      const int64_t revision = Put("k", absl::StrCat(i));
      const auto live = fast.TryNext();
      ASSERT_TRUE(live.has_value());  // Nobody waits for the slow one.
      EXPECT_EQ(live->events(0).kv().mod_revision(), revision);
    }
    EXPECT_EQ(hub_->stats().lagging_watchers, 1);
    int64_t next = first;
    while (next < first + 100) {
      const auto response = slow.Next();
      ASSERT_TRUE(response.has_value()) << "missing " << next;
      for (const auto& event : response->events()) ASSERT_EQ(event.kv().mod_revision(), next++);
    }
    AwaitSynced(&slow);
    EXPECT_EQ(hub_->stats().lagging_watchers, 0);
    Put("k", "live again");
    EXPECT_EQ(slow.TryNext()->events_size(), 1);
    slow.Close();
    fast.Close();
    hub_.reset();
  }
}

// "id=0 rev=5: 4 5", for values that are too long to print.
std::string Revisions(const std::optional<etcdserverpb::WatchResponse>& response) {
  if (!response.has_value()) return "nothing";
  std::string text = absl::StrCat("id=", response->watch_id(), " rev=", response->header().revision(), ":");
  for (const auto& event : response->events()) absl::StrAppend(&text, " ", event.kv().mod_revision());
  return text;
}

TEST_F(WatchHubTest, WhatWaitsInAStreamThatHasFallenBehindIsJoinedByLaterEvents) {
  Open();
  StreamReader s(hub_.get());
  for (int i = 0; i < 3; ++i) s->Create(WatchArgs{.key = "k"}.Request());
  for (int i = 0; i < 3; ++i) s.TryNext();
  Put("k", std::string(40 << 10, 'v'));
  Put("k", "3");
  EXPECT_EQ(Revisions(s.TryNext()), "id=0 rev=3: 2 3");
  EXPECT_TRUE(s.more_follows());
  Put("k", "4");                         // The first one's is gone, the others' wait.
  Put("k", std::string(40 << 10, 'v'));  // Would make them too large to travel together.
  EXPECT_EQ(Revisions(s.TryNext()), "id=1 rev=4: 2 3 4");
  EXPECT_EQ(Revisions(s.TryNext()), "id=2 rev=4: 2 3 4");
  EXPECT_EQ(Revisions(s.TryNext()), "id=0 rev=5: 4 5");
  EXPECT_EQ(Revisions(s.TryNext()), "id=1 rev=5: 5");
  EXPECT_TRUE(s.more_follows());
  EXPECT_EQ(Revisions(s.TryNext()), "id=2 rev=5: 5");
  EXPECT_FALSE(s.more_follows());
  Put("k", "6");
  Put("k", "7");  // It has caught up: one response for each revision, again.
  EXPECT_EQ(Revisions(s.TryNext()), "id=0 rev=6: 6");
}

TEST_F(WatchHubTest, NothingJoinsWhatStandsBeforeAnAnswer) {
  Open();
  StreamReader s(hub_.get());
  for (int i = 0; i < 2; ++i) s->Create(WatchArgs{.key = "k"}.Request());
  for (int i = 0; i < 2; ++i) s.TryNext();
  Put("k", std::string(40 << 10, 'v'));
  s->RequestProgress();
  Put("k", "3");
  EXPECT_EQ(Revisions(s.TryNext()), "id=0 rev=2: 2");
  EXPECT_EQ(Revisions(s.TryNext()), "id=1 rev=2: 2");
  EXPECT_EQ(Revisions(s.TryNext()), "id=-1 rev=2:");
  EXPECT_EQ(Revisions(s.TryNext()), "id=0 rev=3: 3");
  EXPECT_EQ(Revisions(s.TryNext()), "id=1 rev=3: 3");
}

TEST_F(WatchHubTest, CompactionThatOvertakesASlowWatcherCancelsIt) {
  WatchHub::Options options;
  options.stream_buffer_bytes_max = 1;
  Open(options);
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k"}.Request());
  s.TryNext();
  for (int i = 2; i <= 9; ++i) Put("k", absl::StrCat(i));
  store_.Compact(8);
  EXPECT_EQ(Text(s.Next()), "id=0 rev=2 [PUT k=2 @2]");  // Was on its way already.
  EXPECT_EQ(Text(s.Next()), "id=0 rev=0 canceled compact=8");
  EXPECT_EQ(hub_->stats().watchers, 0);
}

TEST_F(WatchHubTest, PublishingDoesNotWaitForADiskThatStandsStill) {
  WatchHub::Options options;
  options.ring_bytes_max = 0;
  Open(options);
  Put("k", "1");
  store_.HoldHistory(true);
  StreamReader past(hub_.get()), live(hub_.get());
  past->Create(WatchArgs{.key = "k", .start = 2}.Request());
  live->Create(WatchArgs{.key = "k"}.Request());
  past.TryNext();
  live.TryNext();
  while (store_.history_reads() == 0) absl::SleepFor(absl::Milliseconds(1));
  // The store's own lock is free while it waits, as a disk's would be.
  Put("k", "2");
  EXPECT_EQ(Text(live.TryNext()), "id=0 rev=3 [PUT k=2 @3]");
  EXPECT_EQ(Text(past.TryNext()), "nothing");
  store_.HoldHistory(false);
  EXPECT_EQ(Text(past.Next()), "id=0 rev=3 [PUT k=1 @2]");
  EXPECT_EQ(Text(past.Next()), "id=0 rev=3 [PUT k=2 @3]");
}

TEST_F(WatchHubTest, AFailedReadOfHistoryEndsTheWatcherInsteadOfLeavingAGap) {
  WatchHub::Options options;
  options.ring_bytes_max = 0;
  Open(options);
  Put("k", "1");
  store_.FailHistory(absl::DataLossError("bad block"));
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k", .start = 2}.Request());
  EXPECT_TRUE(s.Next()->created());
  EXPECT_EQ(Text(s.Next()), "id=0 rev=2 canceled reason=DATA_LOSS: bad block");
}

TEST_F(WatchHubTest, AClientThatOnlyAsksIsCongested) {
  Open();
  StreamReader s(hub_.get());
  for (int i = 0; i < 1500 && !s->congested(); ++i) {
    s->Create(WatchArgs{.key = "k"}.Request());
    s->Cancel(i);
  }
  EXPECT_TRUE(s->congested());
  while (s.TryNext().has_value()) {
  }
  EXPECT_FALSE(s->congested());
}

// --- Snapshots and ends.

TEST_F(WatchHubTest, AfterASnapshotWatchersGoOnFromHistory) {
  Open();
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k"}.Request());
  s->Create(WatchArgs{.key = "k", .start = 5}.Request());
  s->Create(WatchArgs{.key = "k", .start = 9}.Request());
  for (int i = 0; i < 3; ++i) s.TryNext();
  Put("k", "2");
  EXPECT_EQ(Text(s.TryNext()), "id=0 rev=2 [PUT k=2 @2]");
  for (int i = 3; i <= 6; ++i) store_.Put("k", absl::StrCat(i));  // Came with the snapshot, was never published.
  hub_->OnStateReplaced();
  std::map<int64_t, std::string> seen;
  for (int i = 0; i < 2; ++i) {
    const auto response = s.Next();
    ASSERT_TRUE(response.has_value());
    seen[response->watch_id()] = Text(response);
  }
  EXPECT_EQ(seen[0], "id=0 rev=6 [PUT k=3 @3; PUT k=4 @4; PUT k=5 @5; PUT k=6 @6]");
  EXPECT_EQ(seen[1], "id=1 rev=6 [PUT k=5 @5; PUT k=6 @6]");
  s->RequestProgress();  // The one at 9 has not started.
  EXPECT_EQ(Text(s.TryNext()), "nothing");
  for (int i = 7; i <= 9; ++i) Put("k", absl::StrCat(i));
  std::map<int64_t, int> counts;
  for (int i = 0; i < 7; ++i) ++counts[s.Next()->watch_id()];
  EXPECT_EQ(counts, (std::map<int64_t, int>{{0, 3}, {1, 3}, {2, 1}}));
}

TEST_F(WatchHubTest, WatchersBehindTheSnapshotsCompactRevisionAreCancelled) {
  Open();
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k"}.Request());
  s.TryNext();
  for (int i = 2; i <= 6; ++i) store_.Put("k", absl::StrCat(i));
  store_.Compact(5);
  hub_->OnStateReplaced();
  EXPECT_EQ(Text(s.Next()), "id=0 rev=0 canceled compact=5");
}

TEST_F(WatchHubTest, RevisionsThatCameWithASnapshotAreNotPublishedAgain) {
  Open();
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k"}.Request());
  s.TryNext();
  const auto revision = store_.Put("k", "2");
  hub_->OnStateReplaced();
  EXPECT_EQ(Text(s.Next()), "id=0 rev=2 [PUT k=2 @2]");
  hub_->Publish({revision});
  Put("k", "3");
  EXPECT_EQ(Text(s.Next()), "id=0 rev=3 [PUT k=3 @3]");
}

TEST_F(WatchHubTest, ReadyIsCalledOncePerEmptiness) {
  Open();
  std::atomic<int> calls{0};
  auto stream = hub_->OpenStream([&] { ++calls; });
  etcdserverpb::WatchResponse response;
  stream->Create(WatchArgs{.key = "k"}.Request());
  EXPECT_EQ(calls, 1);
  Put("k", "1");
  Put("k", "2");
  EXPECT_EQ(calls, 1);
  while (stream->Next(&response)) {
  }
  Put("k", "3");
  EXPECT_EQ(calls, 2);
  stream.reset();
  Put("k", "4");
  EXPECT_EQ(calls, 2);
}

TEST_F(WatchHubTest, StopClosesStreamsAndIsIdempotent) {
  Open();
  StreamReader s(hub_.get());
  s->Create(WatchArgs{.key = "k"}.Request());
  Put("k", "1");
  hub_->Stop();
  hub_->Stop();
  EXPECT_EQ(Text(s.TryNext()), "nothing");
  s->Create(WatchArgs{.key = "k"}.Request());
  s->RequestProgress();
  s->Cancel(0);
  Put("k", "2");
  StreamReader late(hub_.get());
  late->Create(WatchArgs{.key = "k"}.Request());
  EXPECT_EQ(Text(late.TryNext()), "nothing");
}

}  // namespace
}  // namespace keel::server
