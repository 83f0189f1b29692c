// Watches that outlive members, connections and leaders.

#include <deque>

#include "absl/strings/str_cat.h"
#include "tests/contract/cluster_fixture.h"
#include "tests/contract/tcp_proxy.h"

namespace keel::contract {
namespace {

using etcdserverpb::WatchResponse;
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::ElementsAreArray;
using ::testing::Gt;

// The next message that is news of how far the watch is, and nothing else.
WatchResponse NextProgress(WatchStream* watch) {
  while (!testing::Test::HasFailure()) {
    const WatchResponse message = watch->NextMessage();
    if (message.events_size() == 0 && !message.created()) return message;
  }
  return {};
}

TEST_F(ClusterContract, B050_AnIdleWatcherIsToldHowFarItIs) {
  const int64_t revision = at(0).Put(Key("other"));
  const int member = AnyFollower();
  at(member).Revision();
  WatchStream watch = at(member).Watch();
  watch.Create(absl::StrCat("key: '", Key(), "' progress_notify: true"));
  const WatchResponse progress = watch.NextMessage();
  EXPECT_EQ(progress.header().revision(), revision);
  EXPECT_EQ(progress.events_size(), 0);
  EXPECT_EQ(progress.watch_id(), 0);
  EXPECT_FALSE(progress.canceled());
}

TEST_F(ClusterContract, B050_NoEventUpToAnAnnouncedRevisionComesAgainAfterARestart) {
  const std::string key = absl::StrCat("key: '", Key(), "'");
  const int member = AnyFollower();
  const int other = (member + 1) % kMembers;
  int64_t announced = 0;
  {
    WatchStream watch = at(member).Watch();
    watch.Create(key + " progress_notify: true");
    const int64_t put = at(other).Put(Key());
    while (announced < put && !HasFailure()) announced = NextProgress(&watch).header().revision();
  }
  members().processes().Kill(member);
  std::vector<int64_t> written;
  for (int i = 0; i < 3; ++i) written.push_back(at(other).Put(Key()));
  ASSERT_TRUE(members().processes().Start(member).ok());
  // As soon as it listens, whatever it has caught up with.
  std::vector<int64_t> seen;
  Await(
      [&] {
        WatchStream watch = at(member).Watch();
        watch.Send(
            absl::StrCat("create_request { progress_notify: true ", key, " start_revision: ", announced + 1, "}"));
        if (!watch.stream().Await([](const auto& messages) { return !messages.empty(); }, kPatience)) return false;
        EXPECT_TRUE(watch.NextMessage().created());
        int64_t last = 0;
        while (last < written.back() && !HasFailure()) {
          const WatchResponse message = watch.NextMessage();
          for (const mvccpb::Event& event : message.events()) seen.push_back(event.kv().mod_revision());
          if (message.events_size() == 0 && message.header().revision() >= written.back()) break;
          if (!seen.empty()) last = seen.back();
        }
        return true;
      },
      "the member does not come back");
  EXPECT_THAT(seen, Each(Gt(announced)));
  EXPECT_THAT(seen, ElementsAreArray(written));
}

TEST_F(ClusterContract, B051_TheIntervalOfSuchNewsGoesDownToATenthOfASecond) {
  WatchStream watch = at(0).Watch();
  watch.Create(absl::StrCat("key: '", Key(), "' progress_notify: true"));
  // With the default of ten minutes not even the first would come.
  for (int i = 0; i < 4; ++i) EXPECT_EQ(watch.NextMessage().events_size(), 0);
}

TEST_F(ClusterContract, B058_AWatchSurvivesItsConnectionWithoutLossOrRepetition) {
  TcpProxy proxy(members().processes().endpoint(0));
  auto client = Client::Create({.endpoints = {proxy.address()}});
  ASSERT_TRUE(client.ok()) << client.status();
  const auto watcher = (*client)->Watch(Key(), {.prev_kv = true, .created_notify = true});
  ASSERT_TRUE(watcher->Next(absl::Now() + kPatience)->created);
  std::vector<int64_t> written;
  std::vector<int64_t> seen;
  for (int i = 0; i < 60; ++i) {
    written.push_back(at(1).Put(Key(), absl::StrCat(i)));
    if (i % 10 == 5) proxy.Drop();
  }
  while (seen.size() < written.size()) {
    const auto next = watcher->Next(absl::Now() + kPatience);
    ASSERT_TRUE(next.ok()) << next.status();
    for (const Event& event : next->events) seen.push_back(event.kv.mod_revision);
  }
  EXPECT_EQ(seen, written);
}

TEST_F(ClusterContract, B059_WatchersOnAFollowerGoOnAfterItIsGivenASnapshot) {
  const int follower = AnyFollower();
  const int other = Leader();
  WatchStream watch = at(follower).Watch();
  watch.Create(absl::StrCat("key: '", Key("watched"), "'"));
  const int64_t before = at(other).Put(Key("watched"));
  EXPECT_EQ(watch.NextMessage().events(0).kv().mod_revision(), before);
  const double received = Metric(follower, "etcd_network_snapshot_receive_success");
  // By whom is not said: who leads may change.
  const auto sent = [&] { return SumOverMembers("etcd_network_snapshot_send_success"); };
  const double sent_before = sent();
  members().Pause(follower);
  // More than the others keep for it: of entries here, of bytes there.
  const int64_t missed = at(other).Put(Key("watched"));
  const int entries = is_etcd() ? 5300 : 280;
  etcdserverpb::PutRequest filling;
  filling.set_key(Key("filling"));
  filling.set_value(std::string(is_etcd() ? 1 : 200 * 1024, 'x'));
  const std::string request = filling.SerializeAsString();
  const size_t at_once = is_etcd() ? 200 : 8;
  std::deque<std::unique_ptr<differential::PendingCall>> calls;
  for (int i = 0; i < entries || !calls.empty();) {
    if (i < entries && calls.size() < at_once) {
      calls.push_back(at(other).connection().Start(*differential::FindMethod("put"), request));
      ++i;
    } else {
      ASSERT_EQ(Shown(calls.front()->Wait().status), "ok");
      calls.pop_front();
    }
  }
  members().Resume(follower);
  members().AwaitHealthy(follower);
  const int64_t after = at(other).Put(Key("watched"));
  std::vector<int64_t> seen;
  while ((seen.empty() || seen.back() < after) && !HasFailure()) {
    const WatchResponse message = watch.NextMessage();
    for (const mvccpb::Event& event : message.events()) seen.push_back(event.kv().mod_revision());
  }
  EXPECT_THAT(seen, testing::ElementsAre(missed, after));
  // It did not come back by the log.
  Await([&] { return Metric(follower, "etcd_network_snapshot_receive_success") > received; }, "no snapshot arrives");
  Await([&] { return sent() > sent_before; }, "no snapshot is sent");
  at(other).Call(absl::StrCat("delete key: '", Key("filling"), "'"));
}

TEST_F(ClusterContract, B064_ACallerThatRequiresALeaderIsToldWhenThereIsNone) {
  const std::string no_leader = "14 etcdserver: no leader";
  const int alone = AnyFollower();
  WatchStream requiring = at(alone).Watch(kRequireLeader);
  WatchStream patient = at(alone).Watch();
  const std::string create = absl::StrCat("key: '", Key(), "'");
  requiring.Create(create);
  patient.Create(create);
  PauseOthers(alone);
  ASSERT_TRUE(requiring.stream().AwaitEnd(kPatience));
  EXPECT_EQ(Shown(requiring.stream().status()), no_leader);
  EXPECT_EQ(at(alone).Error("range serializable: true key: 'a'", kPatience, kRequireLeader), no_leader);
  WatchStream late = at(alone).Watch(kRequireLeader);
  ASSERT_TRUE(late.stream().AwaitEnd(kPatience));
  EXPECT_EQ(Shown(late.stream().status()), no_leader);
  EXPECT_FALSE(patient.stream().ended());
  members().Heal();
  const int64_t revision = at(alone).Put(Key());
  EXPECT_EQ(patient.NextMessage().header().revision(), revision);
}

}  // namespace
}  // namespace keel::contract
