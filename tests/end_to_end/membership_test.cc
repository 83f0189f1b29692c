// Members that come, go and change while clients write; directories that are not what they were.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "keel/client.h"
#include "tests/end_to_end/fixture.h"
#include "tests/end_to_end/writers.h"

namespace keel::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(60);

std::string Slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

class MembershipTest : public ClusterTest {
 protected:
  std::unique_ptr<Client> Connect(absl::Duration timeout = absl::Seconds(10)) {
    std::vector<std::string> endpoints;
    for (int i = 0; i < cluster_->size(); ++i) endpoints.push_back(cluster_->endpoint(i));
    auto client = Client::Create({.endpoints = endpoints, .timeout = timeout});
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  // Repeats `call` while a rule of safety says "not yet", or when it went to a member that has just been killed.
  template <typename Call>
  absl::StatusOr<MembersResponse> Insist(Call call) {
    const absl::Time deadline = absl::Now() + kPatience;
    while (true) {
      absl::StatusOr<MembersResponse> response = call();
      const bool not_yet = !response.ok() && (absl::StrContains(response.status().message(), "unhealthy cluster") ||
                                              absl::StrContains(response.status().message(), "not enough started") ||
                                              absl::StrContains(response.status().message(), "in sync with leader") ||
                                              absl::StrContains(response.status().message(), "Transport closed") ||
                                              absl::StrContains(response.status().message(), "Socket closed"));
      if (!not_yet || absl::Now() > deadline) return response;
      absl::SleepFor(absl::Milliseconds(50));
    }
  }

  // --initial-cluster of a new member: all by now, by the names they were started with.
  std::string InitialCluster(const MembersResponse& response, int newcomer) {
    std::vector<std::string> members;
    for (const Member& member : response.members) {
      const bool is_new = response.member && response.member->id == member.id;
      for (const std::string& url : member.peer_urls) {
        members.push_back(absl::StrCat(is_new ? cluster_->name(newcomer) : NameAt(url), "=", url));
      }
    }
    return absl::StrJoin(members, ",");
  }
  std::string NameAt(const std::string& peer_url) {
    for (int i = 0; i < cluster_->size(); ++i) {
      if (cluster_->peer_url(i) == peer_url) return cluster_->name(i);
    }
    return "";
  }

  // Adds and starts one; its number.
  int Grow(Client& client, bool learner = false) {
    auto number = cluster_->Reserve();
    KEEL_CHECK_OK(number);
    auto added = Insist([&] { return client.cluster().Add({cluster_->peer_url(*number)}, {.learner = learner}); });
    EXPECT_TRUE(added.ok()) << added.status();
    if (!added.ok()) return *number;
    EXPECT_TRUE(added->member.has_value());
    EXPECT_EQ(added->member->is_learner, learner);
    EXPECT_TRUE(cluster_->Join(*number, InitialCluster(*added, *number)).ok());
    AwaitStarted(client, *number);
    return *number;
  }

  uint64_t IdOf(Client& client, int number) {
    auto list = client.cluster().List();
    EXPECT_TRUE(list.ok()) << list.status();
    if (!list.ok()) return 0;
    for (const Member& member : list->members) {
      if (member.peer_urls == std::vector<std::string>{cluster_->peer_url(number)}) return member.id;
    }
    return 0;
  }
  void AwaitStarted(Client& client, int number) {
    const absl::Time deadline = absl::Now() + kPatience;
    std::string last;
    while (absl::Now() < deadline) {
      auto list = client.cluster().List();
      if (list.ok()) {
        for (const Member& member : list->members) {
          if (member.name == cluster_->name(number)) return;
        }
      }
      last = list.ok() ? "not started" : list.status().ToString();
      absl::SleepFor(absl::Milliseconds(20));
    }
    ADD_FAILURE() << cluster_->name(number) << ": " << last;
  }

  // All that run come to the same state.
  void ExpectSameState(Client& client) {
    const absl::Time deadline = absl::Now() + kPatience;
    std::string last;
    while (absl::Now() < deadline) {
      last.clear();
      std::set<std::pair<int64_t, uint32_t>> states;
      bool all = true;
      for (int i = 0; i < cluster_->size(); ++i) {
        if (!cluster_->Running(i)) continue;
        auto hash = client.maintenance().HashKv(cluster_->endpoint(i));
        all = all && hash.ok();
        if (hash.ok()) states.emplace(hash->header.revision, hash->hash);
        absl::StrAppend(&last, cluster_->name(i), ": ",
                        hash.ok() ? absl::StrCat(hash->hash, " at ", hash->header.revision) : hash.status().ToString(),
                        "; ");
      }
      if (all && states.size() == 1) return;
      absl::SleepFor(absl::Milliseconds(50));
    }
    ADD_FAILURE() << "states differ: " << last;
  }

  std::optional<int> ExitOf(int number) { return cluster_->process(number).Wait(kPatience); }
  std::string LogOf(int number) { return Slurp(cluster_->log_file(number)); }
};

TEST_F(MembershipTest, GrowsToFiveAndShrinksToThreeUnderWrites) {
  StartCluster(1);
  auto client = Connect();
  Writers writers(*client, 3);
  ASSERT_TRUE(writers.AwaitMore(50));
  for (int members = 2; members <= 5; ++members) {
    SCOPED_TRACE(absl::StrCat("growing to ", members));
    const int added = Grow(*client);
    ASSERT_TRUE(writers.AwaitMore(50)) << "writes do not go on";
    ASSERT_TRUE(Healthy(added, kPatience));
  }
  // From here on through all of them.
  auto wide = Connect();
  for (const int goes : {0, 3}) {
    SCOPED_TRACE(absl::StrCat("removing ", cluster_->name(goes)));
    const uint64_t id = IdOf(*wide, goes);
    auto removed = Insist([&] { return wide->cluster().Remove(id); });
    ASSERT_TRUE(removed.ok()) << removed.status();
    EXPECT_EQ(ExitOf(goes), 0);
    EXPECT_THAT(LogOf(goes), HasSubstr("the member has been permanently removed from the cluster"));
    if (goes == 0) {
      // The first writers knew nobody else.
      writers.Stop();
    }
    ASSERT_TRUE(wide->kv().Put("after", absl::StrCat(goes)).ok());
  }
  auto list = wide->cluster().List();
  ASSERT_TRUE(list.ok());
  EXPECT_EQ(list->members.size(), 3u);
  ExpectAllPresent(*wide, writers.acknowledged());
  ExpectSameState(*wide);

  // All of them come back by themselves, and the removed ones do not.
  for (const int i : {1, 2, 4}) cluster_->Kill(i);
  for (const int i : {1, 2, 4}) ASSERT_TRUE(cluster_->Start(i).ok());
  WaitHealthy();
  ASSERT_TRUE(cluster_->Start(0).ok());
  EXPECT_EQ(ExitOf(0), 0);
  ExpectAllPresent(*wide, writers.acknowledged());
  ExpectSameState(*wide);
}

TEST_F(MembershipTest, ALearnerHasNoVoteUntilItIsPromoted) {
  StartCluster(3);
  auto client = Connect();
  auto number = cluster_->Reserve();
  ASSERT_TRUE(number.ok());
  auto added = Insist([&] { return client->cluster().Add({cluster_->peer_url(*number)}, {.learner = true}); });
  ASSERT_TRUE(added.ok()) << added.status();
  const uint64_t id = added->member->id;
  EXPECT_EQ(client->cluster().Promote(id).status().message(),
            "etcdserver: can only promote a learner member which is in sync with leader");
  EXPECT_EQ(client->cluster().Add({"http://127.0.0.1:1"}, {.learner = true}).status().message(),
            "etcdserver: too many learner members in cluster");
  EXPECT_EQ(client->cluster().Add({cluster_->peer_url(*number)}).status().message(),
            "etcdserver: Peer URLs already exists");
  ASSERT_TRUE(cluster_->Join(*number, InitialCluster(*added, *number)).ok());
  AwaitStarted(*client, *number);

  auto learner = Client::Create({.endpoints = {cluster_->endpoint(*number)}, .timeout = absl::Seconds(2)});
  ASSERT_TRUE(learner.ok());
  EXPECT_THAT(std::string((*learner)->kv().Put("k", "v").status().message()),
              HasSubstr("etcdserver: rpc not supported for learner"));
  ASSERT_TRUE(client->kv().Put("k", "v").ok());
  // It reads for itself as soon as the snapshot has come.
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (!(*learner)->kv().Get("k", {.serializable = true}).ok() && absl::Now() < deadline) {
  }
  EXPECT_TRUE((*learner)->kv().Get("k", {.serializable = true}).ok());
  EXPECT_TRUE((*learner)->maintenance().Status(cluster_->endpoint(*number))->is_learner);
  const int leader = Leader();
  EXPECT_EQ(client->maintenance().MoveLeader(cluster_->endpoint(leader), id).status().message(),
            "etcdserver: bad leader transferee");
  // A new address does not promote it.
  ASSERT_TRUE(client->cluster().Update(id, {cluster_->peer_url(*number), "http://127.0.0.1:1"}).ok());
  EXPECT_TRUE((*learner)->maintenance().Status(cluster_->endpoint(*number))->is_learner);
  ASSERT_TRUE(client->cluster().Update(id, {cluster_->peer_url(*number)}).ok());

  auto promoted = Insist([&] { return client->cluster().Promote(id); });
  ASSERT_TRUE(promoted.ok()) << promoted.status();
  EXPECT_EQ(client->cluster().Promote(id).status().message(), "etcdserver: can only promote a learner member");
  EXPECT_EQ(client->cluster().Promote(12345).status().message(), "etcdserver: member not found");
  cluster_->Kill(*number);
  ASSERT_TRUE(cluster_->Start(*number).ok());
  ASSERT_TRUE(Healthy(*number, kPatience));
  EXPECT_FALSE((*learner)->maintenance().Status(cluster_->endpoint(*number))->is_learner);
  const auto put = (*learner)->kv().Put("k", "w");
  EXPECT_TRUE(put.ok()) << put.status();
}

TEST_F(MembershipTest, ALeaderThatIsRemovedEndsAndTheOthersGoOn) {
  StartCluster(3);
  auto client = Connect();
  Writers writers(*client, 2);
  ASSERT_TRUE(writers.AwaitMore(20));
  const int leader = Leader();
  const uint64_t id = IdOf(*client, leader);
  auto removed = Insist([&] { return client->cluster().Remove(id); });
  ASSERT_TRUE(removed.ok()) << removed.status();
  EXPECT_EQ(removed->members.size(), 2u);
  ASSERT_TRUE(writers.AwaitMore(20)) << "the others do not go on";
  EXPECT_EQ(ExitOf(leader), 0);
  EXPECT_EQ(client->cluster().Remove(id).status().message(), "etcdserver: member not found");
  // With its old data it ends again, whatever it is asked for.
  ASSERT_TRUE(cluster_->Start(leader).ok());
  EXPECT_EQ(ExitOf(leader), 0);
  writers.Stop();
  ExpectAllPresent(*client, writers.acknowledged());
  ExpectSameState(*client);
}

TEST_F(MembershipTest, ADeadMemberIsReplacedInOneStep) {
  StartCluster(3);
  auto client = Connect();
  const int dead = (Leader() + 1) % 3;
  const uint64_t id = IdOf(*client, dead);
  cluster_->Kill(dead);
  auto number = cluster_->Reserve();
  ASSERT_TRUE(number.ok());
  auto replaced = Insist([&] { return client->cluster().Replace(id, {cluster_->peer_url(*number)}); });
  ASSERT_TRUE(replaced.ok()) << replaced.status();
  ASSERT_TRUE(replaced->member.has_value());
  EXPECT_EQ(replaced->members.size(), 3u);
  ASSERT_TRUE(client->kv().Put("k", "v").ok());
  ASSERT_TRUE(cluster_->Join(*number, InitialCluster(*replaced, *number)).ok());
  ASSERT_TRUE(Healthy(*number, kPatience));
  // The old one hears of it from the others: it was dead when it happened.
  ASSERT_TRUE(cluster_->Start(dead).ok());
  EXPECT_EQ(ExitOf(dead), 0);
  EXPECT_THAT(LogOf(dead), HasSubstr("the member has been permanently removed from the cluster"));
  // The new one's vote counts.
  const int third = 3 - dead - Leader();
  if (third != *number && third >= 0 && third < 3) cluster_->Kill(third);
  // One that was on its way to the killed one fails: its outcome is unknown.
  const absl::Time deadline = absl::Now() + kPatience;
  while (!client->kv().Put("k", "w").ok() && absl::Now() < deadline) {
  }
  EXPECT_TRUE(client->kv().Put("k", "w").ok());
}

TEST_F(MembershipTest, AWipedDirectoryIsNotTheMember) {
  StartCluster(3);
  auto client = Connect();
  ASSERT_TRUE(client->kv().Put("k", "v").ok());
  const int member = (Leader() + 1) % 3;
  cluster_->Kill(member);
  fs::remove_all(cluster_->data_dir(member));
  ASSERT_TRUE(cluster_->Start(member).ok());
  EXPECT_EQ(ExitOf(member), 1);
  EXPECT_THAT(LogOf(member), HasSubstr("has already been bootstrapped"));
  EXPECT_FALSE(fs::exists(cluster_->data_dir(member) + "/MEMBER"));

  auto list = client->cluster().List();
  ASSERT_TRUE(list.ok());
  ASSERT_TRUE(cluster_->Join(member, InitialCluster(*list, -1)).ok());
  EXPECT_EQ(ExitOf(member), 1);
  EXPECT_THAT(LogOf(member), HasSubstr("has been started before with another data directory"));
  EXPECT_TRUE(client->kv().Put("k", "w").ok());

  // Removed and added again it is welcome.
  ASSERT_TRUE(Insist([&] { return client->cluster().Remove(IdOf(*client, member)); }).ok());
  auto added = Insist([&] { return client->cluster().Add({cluster_->peer_url(member)}); });
  ASSERT_TRUE(added.ok()) << added.status();
  ASSERT_TRUE(cluster_->Join(member, InitialCluster(*added, member)).ok());
  EXPECT_TRUE(Healthy(member, kPatience));
  ExpectSameState(*client);
}

TEST_F(MembershipTest, ARestoredDirectoryIsNotTheMember) {
  StartCluster(3);
  auto client = Connect();
  ASSERT_TRUE(client->kv().Put("k", "v").ok());
  const int member = (Leader() + 1) % 3;
  const std::string dir = cluster_->data_dir(member);
  cluster_->Kill(member);
  fs::copy(dir, dir + ".copy", fs::copy_options::recursive);
  ASSERT_TRUE(cluster_->Start(member).ok());
  ASSERT_TRUE(Healthy(member, kPatience));
  ASSERT_TRUE(client->kv().Put("k", "w").ok());
  ExpectSameState(*client);
  cluster_->Kill(member);
  fs::remove_all(dir);
  fs::copy(dir + ".copy", dir, fs::copy_options::recursive);
  const std::string identity = Slurp(dir + "/MEMBER");
  ASSERT_TRUE(cluster_->Start(member).ok());
  EXPECT_EQ(ExitOf(member), 1);
  EXPECT_THAT(LogOf(member), HasSubstr("older"));
  EXPECT_THAT(LogOf(member), HasSubstr("remove the member and add it again"));
  EXPECT_EQ(Slurp(dir + "/MEMBER"), identity) << "the refused directory was written to";
  EXPECT_TRUE(client->kv().Put("k", "x").ok());
}

TEST_F(MembershipTest, ARollingRestartLosesAlmostNoTime) {
  StartCluster(3);
  auto client = Connect();
  Writers writers(*client, 2);
  ASSERT_TRUE(writers.AwaitMore(100));
  writers.ForgetGaps();
  absl::Duration slowest_stop;
  for (int i = 0; i < 3; ++i) {
    const absl::Time begin = absl::Now();
    cluster_->Signal(i, SIGTERM);
    EXPECT_EQ(ExitOf(i), 128 + SIGTERM);
    slowest_stop = std::max(slowest_stop, absl::Now() - begin);
    ASSERT_TRUE(cluster_->Start(i).ok());
    ASSERT_TRUE(Healthy(i, kPatience));
    ASSERT_TRUE(writers.AwaitMore(20));
  }
  const absl::Duration gap = writers.longest_gap();
  writers.Stop();
  std::cout << "rolling restart: longest time without an accepted write " << gap << ", slowest stop " << slowest_stop
            << "\n";
  RecordProperty("longest_gap_ms", static_cast<int>(absl::ToInt64Milliseconds(gap)));
  // Without handing over it would be an election timeout and more.
  EXPECT_LT(gap, absl::Seconds(1));
  ExpectAllPresent(*client, writers.acknowledged());
}

TEST_F(MembershipTest, AKilledLeaderIsReplacedWithoutWaitingForATimeout) {
  StartCluster(3);
  auto client = Connect();
  Writers writers(*client, 2);
  std::vector<absl::Duration> gaps;
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(writers.AwaitMore(50));
    const int leader = Leader();
    writers.ForgetGaps();
    cluster_->Kill(leader);
    ASSERT_TRUE(writers.AwaitMore(5)) << "round " << round;
    gaps.push_back(writers.longest_gap());
    ASSERT_TRUE(cluster_->Start(leader).ok());
    ASSERT_TRUE(Healthy(leader, kPatience));
  }
  writers.Stop();
  std::sort(gaps.begin(), gaps.end());
  std::cout << "kill -9 of the leader to the next accepted write: p50 " << gaps[gaps.size() / 2] << ", p90 "
            << gaps[gaps.size() * 9 / 10] << ", max " << gaps.back() << "\n";
  EXPECT_LT(gaps[gaps.size() / 2], absl::Seconds(1));
  ExpectAllPresent(*client, writers.acknowledged());
}

TEST_F(MembershipTest, ASurvivorIsForcedToGoOnAlone) {
  StartCluster(3);
  auto client = Connect();
  ASSERT_TRUE(client->kv().Put("k", "v").ok());
  ExpectSameState(*client);
  for (int i = 0; i < 3; ++i) cluster_->Kill(i);
  std::vector<std::string> flags = cluster_->Flags(2);
  flags.push_back("--force-new-cluster");
  auto forced = tools::ChildProcess::Start({.argv = flags, .output_file = cluster_->log_file(2)});
  ASSERT_TRUE(forced.ok());
  ASSERT_TRUE(Healthy(2, kPatience));
  auto alone = Client::Create({.endpoints = {cluster_->endpoint(2)}, .timeout = absl::Seconds(10)});
  ASSERT_TRUE(alone.ok());
  auto list = (*alone)->cluster().List();
  ASSERT_TRUE(list.ok()) << list.status();
  ASSERT_EQ(list->members.size(), 1u);
  EXPECT_EQ(list->members[0].peer_urls, std::vector<std::string>{cluster_->peer_url(2)});
  EXPECT_EQ((*alone)->kv().Get("k")->kvs.at(0).value, "v");
  ASSERT_TRUE((*alone)->kv().Put("k", "w").ok());
  // The others are out, and are told so.
  ASSERT_TRUE(cluster_->Start(0).ok());
  EXPECT_EQ(ExitOf(0), 0);
  forced->Kill();
  ASSERT_TRUE(cluster_->Start(2).ok());
  ASSERT_TRUE(Healthy(2, kPatience));
  EXPECT_EQ((*alone)->kv().Get("k")->kvs.at(0).value, "w");
}

}  // namespace
}  // namespace keel::test
