#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/contract/fixture.h"

namespace keel::contract {
namespace {

using etcdserverpb::LeaseGrantResponse;
using etcdserverpb::LeaseKeepAliveRequest;
using etcdserverpb::LeaseKeepAliveResponse;
using etcdserverpb::LeaseTimeToLiveResponse;

class LeaseContract : public Contract {
 protected:
  // The TTL that a renewal answers.
  int64_t KeepAlive(int64_t id) {
    const auto stream = connection().Open(*differential::FindMethod("keepalive"));
    LeaseKeepAliveRequest request;
    request.set_id(id);
    stream->Send(request.SerializeAsString());
    EXPECT_TRUE(stream->Await([](const auto& messages) { return !messages.empty(); }, absl::Seconds(20)));
    EXPECT_FALSE(stream->ended());
    const auto& response = static_cast<const LeaseKeepAliveResponse&>(*stream->messages().at(0));
    EXPECT_EQ(response.id(), id);
    return response.ttl();
  }
  int64_t TimeToLive(int64_t id) { return Ok<LeaseTimeToLiveResponse>(absl::StrCat("timetolive ID: ", id)).ttl(); }
};

TEST_F(LeaseContract, B066_WhatAGrantRefusesAndWhichIdsItTakes) {
  EXPECT_EQ(Error("grant TTL: 9000000001"), "11 etcdserver: too large lease TTL");
  EXPECT_EQ(Text("grant ID: 1 TTL: 9000000000"), "header { revision: 1 } ID: 1 TTL: 9000000000");
  EXPECT_EQ(Error("grant ID: 1 TTL: 100"), "9 etcdserver: lease already exists");
  EXPECT_EQ(Text("grant ID: -1 TTL: 100"), "header { revision: 1 } ID: -1 TTL: 100");
  EXPECT_EQ(Text("grant ID: 2"), "header { revision: 1 } ID: 2 TTL: 2");
  EXPECT_EQ(Text("grant ID: 3 TTL: -7"), "header { revision: 1 } ID: 3 TTL: 2");
  EXPECT_GT(Ok<LeaseGrantResponse>("grant TTL: 100").id(), 0);
}

TEST_F(LeaseContract, B067_ARenewalOfAnUnknownLeaseIsNoError) {
  EXPECT_EQ(KeepAlive(77), 0);
  EXPECT_EQ(KeepAlive(0), 0);
  Ok<LeaseGrantResponse>("grant ID: 77 TTL: 100");
  EXPECT_EQ(KeepAlive(77), 100);
}

TEST_F(LeaseContract, B068_TimeToLiveOfAnUnknownLease) {
  EXPECT_EQ(Text("timetolive ID: 77 keys: true"), "header { revision: 1 } ID: 77 TTL: -1");
}

TEST_F(LeaseContract, B069_WhatRemainsIsLessThanTheGrant) {
  Ok<LeaseGrantResponse>("grant ID: 1 TTL: 90");
  EXPECT_LT(TimeToLive(1), 90);
  EXPECT_GE(TimeToLive(1), 60);
  EXPECT_EQ(Ok<LeaseTimeToLiveResponse>("timetolive ID: 1").grantedttl(), 90);
}

TEST_F(LeaseContract, B070_ExpiryDeletesTheKeysAndWatchersSeeIt) {
  WatchStream watch = Watch();
  Ok<LeaseGrantResponse>("grant ID: 1 TTL: 2");
  Put("a", "v", 1);
  watch.Create("key: 'a' prev_kv: true");
  const absl::Time start = absl::Now();
  const etcdserverpb::WatchResponse expired = watch.NextMessage();
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(1500));
  ASSERT_EQ(expired.events_size(), 1);
  EXPECT_EQ(expired.events(0).type(), mvccpb::Event::DELETE);
  EXPECT_EQ(expired.events(0).prev_kv().lease(), 1);
  EXPECT_EQ(expired.header().revision(), 3);
}

TEST_F(LeaseContract, B071_ARevocationDeletesItsKeysInOneRevisionAndNoOthers) {
  Ok<LeaseGrantResponse>("grant ID: 1 TTL: 100");
  Ok<LeaseGrantResponse>("grant ID: 2 TTL: 100");
  Put("b", "", 1);
  Put("a", "", 1);
  Put("c", "", 2);
  WatchStream watch = Watch();
  watch.Create("key: 'a' range_end: 'z'");
  EXPECT_EQ(Text("revoke ID: 1"), "header { revision: 5 }");
  EXPECT_EQ(watch.Next(),
            "header { revision: 5 } events { type: DELETE kv { key: \"a\" mod_revision: 5 } } events { "
            "type: DELETE kv { key: \"b\" mod_revision: 5 } }");
  EXPECT_EQ(Keys("key: 'a' range_end: 'z'"), "c | | 1");
  EXPECT_EQ(Error("revoke ID: 1"), "5 etcdserver: requested lease not found");
}

TEST_F(LeaseContract, B072_AKeyThatMovedToAnotherLeaseOutlivesTheFirst) {
  Ok<LeaseGrantResponse>("grant ID: 1 TTL: 100");
  Ok<LeaseGrantResponse>("grant ID: 2 TTL: 100");
  Put("a", "", 1);
  Put("a", "", 2);
  Restart();
  EXPECT_EQ(Text("revoke ID: 1"), "header { revision: 3 }");
  EXPECT_EQ(Keys("key: 'a'"), "a | | 1");
  EXPECT_EQ(Text("revoke ID: 2"), "header { revision: 4 }");
  EXPECT_EQ(Keys("key: 'a'"), " | | 0");
}

TEST_F(LeaseContract, B073_APutWithoutALeaseDetachesAlsoAfterARestart) {
  Ok<LeaseGrantResponse>("grant ID: 1 TTL: 100");
  Put("a", "", 1);
  Put("a", "");
  Restart();
  EXPECT_EQ(Ok<LeaseTimeToLiveResponse>("timetolive ID: 1 keys: true").keys_size(), 0);
  EXPECT_EQ(Text("revoke ID: 1"), "header { revision: 3 }");
  EXPECT_EQ(Keys("key: 'a'"), "a | | 1");
}

TEST_F(LeaseContract, B081_LeasesComeSoonestFirst) {
  for (const char* grant : {"grant ID: 1 TTL: 300", "grant ID: 2 TTL: 100", "grant ID: 3 TTL: 200"}) {
    Ok<LeaseGrantResponse>(grant);
  }
  EXPECT_EQ(Text("leases"), "header { revision: 1 } leases { ID: 2 } leases { ID: 3 } leases { ID: 1 }");
}

TEST_F(LeaseContract, B083_AClientThatDoesNotReadItsRenewalsKeepsItsLease) {
  Ok<LeaseGrantResponse>("grant ID: 1 TTL: 3");
  const auto stream = connection().Open(*differential::FindMethod("keepalive"));
  LeaseKeepAliveRequest request;
  request.set_id(1);
  const absl::Time end = absl::Now() + absl::Seconds(5);
  size_t sent = 0;
  while (absl::Now() < end) {
    stream->Send(request.SerializeAsString());
    ++sent;
    absl::SleepFor(absl::Milliseconds(100));  // A client's own pace of renewals.
  }
  EXPECT_GT(TimeToLive(1), 0);
  EXPECT_TRUE(stream->Await([&](const auto& messages) { return messages.size() == sent; }, absl::Seconds(20)));
}

}  // namespace
}  // namespace keel::contract
