#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "keel/client.h"
#include "tests/contract/fixture.h"

namespace keel::contract {
namespace {

using etcdserverpb::WatchResponse;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// "key@revision" of each event, with a minus for a delete.
std::string Events(const WatchResponse& response) {
  std::string text;
  for (const mvccpb::Event& event : response.events()) {
    absl::StrAppend(&text, text.empty() ? "" : " ", event.type() == mvccpb::Event::DELETE ? "-" : "", event.kv().key(),
                    "@", event.kv().mod_revision());
  }
  return text;
}

// Reads until `n` events have come, whatever their grouping.
std::string Gather(WatchStream* stream, int n) {
  std::string text;
  while (n > 0 && !testing::Test::HasFailure()) {
    const WatchResponse response = stream->NextMessage();
    absl::StrAppend(&text, text.empty() ? "" : " ", Events(response));
    n -= response.events_size();
  }
  return text;
}

TEST_F(Contract, B038_TheFirstWatchOnAnEmptyStore) {
  WatchStream watch = Watch();
  watch.Send("create_request { key: 'a' }");
  EXPECT_EQ(watch.Next(), "header { revision: 1 } created: true");
}

TEST_F(Contract, B039_IdsBeginAtZeroOnEachStream) {
  for (int i = 0; i < 2; ++i) {
    WatchStream watch = Watch();
    EXPECT_EQ(watch.Create("key: 'a'"), 0);
    EXPECT_EQ(watch.Create("key: 'a'"), 1);
    EXPECT_EQ(watch.Create("key: 'a' watch_id: 3"), 3);
    EXPECT_EQ(watch.Create("key: 'a'"), 2);
    EXPECT_EQ(watch.Create("key: 'a'"), 4);
  }
}

TEST_F(Contract, B040_AFutureStartDeliversNothingEarlier) {
  WatchStream watch = Watch();
  watch.Create("key: 'a' start_revision: 4");
  for (int i = 0; i < 4; ++i) Put("a");  // 2, 3, 4, 5.
  EXPECT_EQ(Events(watch.NextMessage()), "a@4");
  EXPECT_EQ(Events(watch.NextMessage()), "a@5");
}

TEST_F(Contract, B041_WrongRangesAreRefusedAndTheStreamServesOn) {
  WatchStream watch = Watch();
  const std::string refusal =
      "header { revision: 1 } watch_id: -1 created: true canceled: true cancel_reason: \"mvcc: watcher range is "
      "empty\"";
  watch.Send("create_request { key: 'b' range_end: 'b' }");
  EXPECT_EQ(watch.Next(), refusal);
  watch.Send("create_request { key: 'b' range_end: 'a' }");
  EXPECT_EQ(watch.Next(), refusal);
  EXPECT_EQ(watch.Create("key: 'b' range_end: '\\000'"), 0);
  EXPECT_EQ(watch.Create("key: 'b'"), 1);
  Put("c");
  EXPECT_EQ(watch.Next(),
            "header { revision: 2 } events { kv { key: \"c\" create_revision: 2 mod_revision: 2 "
            "version: 1 } }");
  EXPECT_THAT(watch.UntilFence(), IsEmpty());
}

TEST_F(Contract, B042_NothingComesAfterACancel) {
  for (int i = 0; i < 3; ++i) Put("a");
  WatchStream watch = Watch();
  watch.Create("key: 'a'");
  watch.Send("cancel_request { watch_id: 0 }");
  EXPECT_EQ(watch.Next(), "header { revision: 4 } canceled: true");
  EXPECT_EQ(watch.Create("key: 'a' start_revision: 2"), 1);
  EXPECT_EQ(Gather(&watch, 3), "a@2 a@3 a@4");
  watch.Send("cancel_request { watch_id: 1 }");
  EXPECT_EQ(watch.Next(), "header { revision: 4 } watch_id: 1 canceled: true");
  watch.Send("cancel_request { watch_id: 1 }");  // Unknown by now.
  Put("a");
  EXPECT_THAT(watch.UntilFence(), IsEmpty());
}

TEST_F(Contract, B043_AWatchThatRacesWithPutsMissesNothing) {
  WatchStream puts = Watch();
  for (int64_t revision = 2; revision < 42; ++revision) {
    // The watch asks while the put is on its way; wherever it starts, it sees everything from there on.
    WatchStream watch = Watch();
    watch.Send("create_request { key: 'a' }");
    Put("a");
    const WatchResponse created = watch.NextMessage();
    ASSERT_TRUE(created.created());
    if (created.header().revision() < revision) {
      EXPECT_EQ(Events(watch.NextMessage()), absl::StrCat("a@", revision));
    }
    EXPECT_THAT(watch.UntilFence(), IsEmpty());
  }
}

TEST_F(Contract, B044_APutOfAnEmptyValue) {
  WatchStream watch = Watch();
  watch.Create("key: 'a'");
  Put("a", "");
  EXPECT_EQ(watch.Next(),
            "header { revision: 2 } events { kv { key: \"a\" create_revision: 2 mod_revision: 2 version: 1 } }");
}

TEST_F(Contract, B045_EventsOfATxnComeTogether) {
  WatchStream watch = Watch();
  watch.Create("key: 'a' range_end: 'z'");
  Ok<etcdserverpb::TxnResponse>(
      "txn success { request_put { key: 'b' } } success { request_put { key: 'a' } } success { request_put { key: 'c' "
      "} }");
  EXPECT_EQ(Events(watch.NextMessage()), "b@2 a@2 c@2");
  WatchStream late = Watch();
  late.Create("key: 'a' range_end: 'z' start_revision: 1");
  EXPECT_EQ(Events(late.NextMessage()), "b@2 a@2 c@2");
}

TEST_F(Contract, B046_OverlappingWatchersEachGetTheirOwn) {
  WatchStream watch = Watch();
  watch.Create("key: 'a'");
  watch.Create("key: 'a' range_end: 'c'");
  watch.Create("key: '\\000' range_end: '\\000'");
  Put("a");
  std::map<int64_t, std::string> got;
  for (int i = 0; i < 3; ++i) {
    const WatchResponse response = watch.NextMessage();
    got[response.watch_id()] = Events(response);
  }
  EXPECT_THAT(got, ElementsAre(testing::Pair(0, "a@2"), testing::Pair(1, "a@2"), testing::Pair(2, "a@2")));
}

TEST_F(Contract, B047_ADeleteHasKeyAndRevisionAndACreationIsRecognised) {
  WatchStream watch = Watch();
  watch.Create("key: 'a'");
  Put("a", "1");
  Ok<etcdserverpb::DeleteRangeResponse>("delete key: 'a'");
  Put("a", "2");
  watch.Next();
  EXPECT_EQ(watch.Next(), "header { revision: 3 } events { type: DELETE kv { key: \"a\" mod_revision: 3 } }");
  EXPECT_EQ(watch.Next(),
            "header { revision: 4 } events { kv { key: \"a\" create_revision: 4 mod_revision: 4 version: 1 value: "
            "\"2\" } }");
}

TEST_F(Contract, B048_WhatIsFilteredSendsNothing) {
  WatchStream watch = Watch();
  watch.Create("key: 'a' filters: NOPUT");
  watch.Create("key: 'a' filters: NODELETE");
  watch.Create("key: 'a' filters: NOPUT filters: NODELETE");
  Put("a");
  EXPECT_EQ(watch.NextMessage().watch_id(), 1);
  Ok<etcdserverpb::DeleteRangeResponse>("delete key: 'a'");
  EXPECT_EQ(watch.NextMessage().watch_id(), 0);
  EXPECT_THAT(watch.UntilFence(), IsEmpty());
}

TEST_F(Contract, B049_PreviousPairsArePerWatcher) {
  WatchStream with = Watch();
  WatchStream without = Watch();
  with.Create("key: 'a' prev_kv: true");
  without.Create("key: 'a'");
  Put("a", "1");
  Put("a", "2");
  Ok<etcdserverpb::DeleteRangeResponse>("delete key: 'a'");
  EXPECT_FALSE(with.NextMessage().events(0).has_prev_kv());
  EXPECT_EQ(with.NextMessage().events(0).prev_kv().value(), "1");
  EXPECT_EQ(with.NextMessage().events(0).prev_kv().value(), "2");
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(without.NextMessage().events(0).has_prev_kv());
}

TEST_F(Contract, B052_ProgressOnRequestIsOneMessageForAll) {
  WatchStream watch = Watch();
  watch.Create("key: 'a'");
  watch.Create("key: 'b'");
  Put("x");
  Put("y");
  watch.Send("progress_request {}");
  EXPECT_EQ(watch.Next(), "header { revision: 3 } watch_id: -1");
  EXPECT_THAT(watch.UntilFence(), IsEmpty());
}

TEST_F(Contract, B052_ProgressWithoutAWatcherIsIgnored) {
  KEEL_SKIP_ON_OLD_ETCD("3.4.25");
  WatchStream watch = Watch();
  watch.Send("progress_request {}");
  EXPECT_THAT(watch.UntilFence(), IsEmpty());
  watch.Create("key: 'a' start_revision: 10");
  watch.Send("progress_request {}");
  EXPECT_THAT(watch.UntilFence(), IsEmpty());
}

TEST_F(Contract, B053_ACompactedStartIsCreatedThenCancelled) {
  for (int i = 0; i < 5; ++i) Put("a");
  Ok<etcdserverpb::CompactionResponse>("compact revision: 4");
  WatchStream watch = Watch();
  EXPECT_EQ(watch.Create("key: 'a' start_revision: 3"), 0);
  EXPECT_EQ(watch.Next(), "header { } canceled: true compact_revision: 4");
  EXPECT_EQ(watch.Create("key: 'a' start_revision: 4"), 1);
  EXPECT_EQ(Gather(&watch, 3), "a@4 a@5 a@6");
}

TEST_F(Contract, B054_ANegativeStartIsRefusedAndHarmsNobody) {
  KEEL_SKIP_ON_OLD_ETCD("3.4.38");
  WatchStream watch = Watch();
  watch.Create("key: 'a'");
  watch.Send("create_request { key: 'a' start_revision: -1 }");
  EXPECT_EQ(watch.Next(),
            "header { revision: 1 } watch_id: -1 created: true canceled: true cancel_reason: \"etcdserver: mvcc: "
            "required revision has been compacted\"");
  Put("a");
  EXPECT_EQ(Events(watch.NextMessage()), "a@2");
}

TEST_F(Contract, B055_ACompactionLosesNoEventFromItsRevisionOn) {
  for (int i = 0; i < 500; ++i) Put("a");
  WatchStream watch = Watch();
  watch.Create("key: 'a' start_revision: 300");
  Ok<etcdserverpb::CompactionResponse>("compact revision: 300");
  int64_t next = 300;
  while (next <= 501 && !HasFailure()) {
    const WatchResponse response = watch.NextMessage();
    for (const mvccpb::Event& event : response.events()) EXPECT_EQ(event.kv().mod_revision(), next++);
  }
}

TEST_F(Contract, B056_TenMegabytesOfHistoryAreOneResponseOrItsFragments) {
  for (int i = 0; i < 10; ++i) Put(absl::StrCat("k", i), std::string(1 << 20, 'x'));
  WatchStream whole = Watch();
  whole.Create("key: 'k' range_end: 'l' start_revision: 1");
  EXPECT_EQ(whole.NextMessage().events_size(), 10);
  WatchStream pieces = Watch();
  pieces.Create("key: 'k' range_end: 'l' start_revision: 1 fragment: true");
  int events = 0;
  for (bool more = true; more && !HasFailure();) {
    const WatchResponse piece = pieces.NextMessage();
    EXPECT_LT(piece.ByteSizeLong(), 2u << 20);
    events += piece.events_size();
    more = piece.fragment();
  }
  EXPECT_EQ(events, 10);
}

TEST_F(Contract, B057_CreatedComesBeforeEvents) {
  for (int i = 0; i < 20; ++i) Put("a");
  for (int i = 0; i < 20; ++i) {
    WatchStream watch = Watch();
    watch.Send("create_request { key: 'a' start_revision: 2 }");
    EXPECT_TRUE(watch.NextMessage().created());
    EXPECT_GT(watch.NextMessage().events_size(), 0);
  }
}

TEST_F(Contract, B060_CancelledWatchersAreReleased) {
  WatchStream watch = Watch();
  for (int i = 0; i < 200; ++i) {
    const int64_t id = watch.Create("key: 'a' range_end: '\\000' watch_id: 5");
    watch.Send(absl::StrCat("cancel_request { watch_id: ", id, " }"));
    EXPECT_TRUE(watch.NextMessage().canceled());
  }
  Put("a");
  EXPECT_THAT(watch.UntilFence(), IsEmpty());
}

TEST_F(Contract, B061_WatchersThatTakeNothingHoldUpNobody) {
  const std::string value(100 * 1000, 'x');
  for (int i = 0; i < 60; ++i) Put("k", value);
  // Six megabytes of history each, which they will never take.
  const auto client = Client::Create({.endpoints = {server().endpoint()}});
  ASSERT_TRUE(client.ok()) << client.status();
  std::vector<std::unique_ptr<Watcher>> idle;
  for (int i = 0; i < 20; ++i) {
    idle.push_back((*client)->Watch("k", {.start_revision = 2, .buffer_bytes_max = 1}));
  }
  WatchStream watch = Watch();
  watch.Create("key: 'a' progress_notify: true");
  WatchStream history = Watch();
  history.Create("key: 'k' start_revision: 2");
  for (int i = 0; i < 20; ++i) {
    const int64_t revision = Put("a");
    const WatchResponse event = watch.NextMessage();
    EXPECT_EQ(Events(event), absl::StrCat("a@", revision));
    watch.Send("progress_request {}");
    EXPECT_EQ(watch.NextMessage().header().revision(), revision);
  }
  int events = 0;
  while (events < 60 && !HasFailure()) events += history.NextMessage().events_size();
  // The slow ones are not forgotten either.
  for (const auto& watcher : idle) {
    const auto first = watcher->Next(absl::Now() + kPatience);
    ASSERT_TRUE(first.ok()) << first.status();
    EXPECT_EQ(first->events.at(0).kv.mod_revision, 2);
  }
}

TEST_F(Contract, B035_ATombstoneAtTheCompactRevisionIsSeenFromThereAlsoAfterARestart) {
  KEEL_SKIP_ON_OLD_ETCD("3.4.34");
  Put("a");
  Ok<etcdserverpb::DeleteRangeResponse>("delete key: 'a'");
  Ok<etcdserverpb::CompactionResponse>("compact revision: 3 physical: true");
  for (int i = 0; i < 2; ++i) {
    WatchStream watch = Watch();
    watch.Create("key: 'a' start_revision: 3");
    EXPECT_EQ(Events(watch.NextMessage()), "-a@3");
    if (i == 0) Restart();
  }
}

}  // namespace
}  // namespace keel::contract
