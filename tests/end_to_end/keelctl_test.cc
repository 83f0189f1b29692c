// keelctl on a cluster of three: what its commands do. etcdctl_comparison_test.cc compares what they print.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "tests/end_to_end/fixture.h"

namespace keel::test {
namespace {

using ::testing::HasSubstr;

class KeelctlTest : public ClusterTest {
 protected:
  void SetUp() override { StartCluster(); }

  // One endpoint, so that both tools speak of the same member.
  tools::CommandResult Run(const std::string& program, std::vector<std::string> args, const std::string& input = "") {
    std::vector<std::string> argv = {program, "--endpoints=" + cluster_->endpoint(0)};
    argv.insert(argv.end(), args.begin(), args.end());
    auto result = tools::RunCommand({.argv = argv, .environment = {"ETCDCTL_API=3"}, .stdin_text = input});
    if (!result.ok()) {
      ADD_FAILURE() << result.status();
      return {};
    }
    return *result;
  }
  tools::CommandResult Keelctl(std::vector<std::string> args, const std::string& input = "") {
    return Run(KEELCTL_PATH, std::move(args), input);
  }
  std::string KeelctlOk(std::vector<std::string> args, const std::string& input = "") {
    const tools::CommandResult result = Keelctl(args, input);
    EXPECT_EQ(result.exit_code, 0) << "keelctl " << absl::StrJoin(args, " ") << ": " << result.err;
    return result.out;
  }

  tools::ChildProcess Background(std::vector<std::string> args, const std::string& output) {
    return ClusterTest::Background(KEELCTL_PATH, std::move(args), output);
  }
};

TEST_F(KeelctlTest, ReadsAValueFromStandardInput) {
  KeelctlOk({"put", "k"}, "from\nstdin\n");
  EXPECT_EQ(KeelctlOk({"get", "k", "--print-value-only"}), "from\nstdin\n\n");
  KeelctlOk({"put", "k", "--", "-dash"});
  EXPECT_EQ(KeelctlOk({"get", "k", "--print-value-only"}), "-dash\n");
  EXPECT_EQ(KeelctlOk({"get", "k", "--count-only"}), "1\n");
}

TEST_F(KeelctlTest, WatchRunsAHandlerPerEvent) {
  KeelctlOk({"put", "w/a", "1"});
  auto watch =
      Background({"watch", "--prefix", "w/", "--rev=2", "--", "sh", "-c", "echo saw $ETCD_WATCH_KEY"}, "watch");
  WaitFor("watch", "saw \"w/a\"");
  KeelctlOk({"del", "w/a"});
  WaitFor("watch", "DELETE\nw/a\n");
}

TEST_F(KeelctlTest, Leases) {
  const std::string id = std::vector<std::string>(absl::StrSplit(KeelctlOk({"lease", "grant", "60"}), ' ')).at(1);
  KeelctlOk({"put", "--lease=" + id, "leased", "v"});
  EXPECT_THAT(KeelctlOk({"lease", "timetolive", id, "--keys"}), HasSubstr("attached keys([leased])"));
  EXPECT_EQ(KeelctlOk({"lease", "list"}), "found 1 leases\n" + id + "\n");
  EXPECT_EQ(KeelctlOk({"lease", "keep-alive", "--once", id}), "lease " + id + " keepalived with TTL(60)\n");
  const auto json = nlohmann::json::parse(KeelctlOk({"lease", "timetolive", id, "-w", "json"}));
  EXPECT_EQ(json["granted-ttl"], 60);
  EXPECT_EQ(KeelctlOk({"lease", "revoke", id}), "lease " + id + " revoked\n");
  EXPECT_EQ(KeelctlOk({"lease", "timetolive", id}), "lease " + id + " already expired\n");
  EXPECT_EQ(KeelctlOk({"get", "leased"}), "");
}

TEST_F(KeelctlTest, LockRunsACommandAndPassesItsExitCode) {
  const auto result = Keelctl({"lock", "l", "--", "sh", "-c", "echo token $KEEL_FENCING_TOKEN; exit 7"});
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_THAT(result.out, HasSubstr("token "));
  EXPECT_EQ(KeelctlOk({"get", "--prefix", "l/"}), "");

  auto holder = Background({"lock", "l"}, "holder");
  WaitFor("holder", "l/");
  auto waiter = Background({"lock", "l", "--", "echo", "ran"}, "waiter");
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (KeelctlOk({"get", "--prefix", "l/", "--count-only"}) != "2\n" && absl::Now() < deadline) {
  }
  EXPECT_EQ(Read("waiter"), "");
  holder.Signal(SIGTERM);
  WaitFor("waiter", "ran");
  EXPECT_EQ(waiter.Wait(absl::Seconds(30)), 0);
  EXPECT_EQ(holder.Wait(absl::Seconds(30)), 0);
}

TEST_F(KeelctlTest, LockExcludesEtcdctlAndIsExcludedByIt) {
  if (EtcdctlPath().empty()) GTEST_SKIP() << "etcdctl is not installed (Debian package etcd-client)";
  auto holder = Background({"lock", "l"}, "holder");
  WaitFor("holder", "l/");
  auto other = ClusterTest::Background(EtcdctlPath(), {"lock", "l"}, "other");
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (KeelctlOk({"get", "--prefix", "l/", "--count-only"}) != "2\n" && absl::Now() < deadline) {
  }
  EXPECT_EQ(Read("other"), "");
  holder.Signal(SIGINT);
  WaitFor("other", "l/");
  auto third = Background({"lock", "l", "--", "echo", "ran"}, "third");
  while (KeelctlOk({"get", "--prefix", "l/", "--count-only"}) != "2\n" && absl::Now() < deadline) {
  }
  EXPECT_EQ(Read("third"), "");
  other.Signal(SIGINT);
  WaitFor("third", "ran");
}

TEST_F(KeelctlTest, ElectAndListen) {
  auto one = Background({"elect", "e", "one", "--ttl=5"}, "one");
  WaitFor("one", "one");
  auto two = Background({"elect", "e", "two", "--ttl=5"}, "two");
  auto listener = Background({"elect", "-l", "e"}, "listener");
  WaitFor("listener", "one");
  one.Kill();  // Without a word: the lease decides.
  WaitFor("two", "two");
  WaitFor("listener", "two");
}

TEST_F(KeelctlTest, EndpointsAndMembers) {
  const auto all = "--endpoints=" + cluster_->endpoints();
  EXPECT_THAT(KeelctlOk({all, "endpoint", "health"}), HasSubstr("is healthy: successfully committed proposal"));
  EXPECT_THAT(KeelctlOk({all, "endpoint", "status", "-w", "table"}), HasSubstr("| RAFT TERM |"));
  EXPECT_THAT(KeelctlOk({all, "member", "list", "-w", "table"}), HasSubstr("| started |"));
  const auto status = nlohmann::json::parse(KeelctlOk({"endpoint", "status", "--cluster", "-w", "json"}));
  EXPECT_EQ(status.size(), 3u);
  const auto hashes = nlohmann::json::parse(KeelctlOk({"endpoint", "hashkv", "--cluster", "-w", "json"}));
  EXPECT_EQ(hashes.size(), 3u);
  const int gone = (Leader() + 1) % 3;
  cluster_->Kill(gone);
  const auto health = Keelctl({all, "--command-timeout=2s", "endpoint", "health"});
  EXPECT_EQ(health.exit_code, 1);
  EXPECT_THAT(health.err, HasSubstr(cluster_->endpoint(gone) + " is unhealthy"));
}

TEST_F(KeelctlTest, MemberCommandsSayWhatTheyDidAndWhatTheyNeed) {
  EXPECT_EQ(Keelctl({"member", "add", "n4"}).exit_code, 128);
  EXPECT_EQ(Keelctl({"member", "remove", "xyz"}).exit_code, 128);
  EXPECT_EQ(Keelctl({"member", "add", "n4", "--peer-urls", "bogus"}).exit_code, 1);
  EXPECT_THAT(Keelctl({"member", "remove", "1234"}).err, HasSubstr("etcdserver: member not found"));
  EXPECT_THAT(Keelctl({"-w", "table", "member", "remove", "1234"}).err, HasSubstr("table not supported"));

  auto number = cluster_->Reserve();
  ASSERT_TRUE(number.ok());
  const auto members = nlohmann::json::parse(KeelctlOk({"-w", "json", "--hex", "member", "list"}));
  // A follower, so that the change is taken to the leader.
  const int dead = Leader() == 1 ? 2 : 1;
  std::string id;
  for (const auto& member : members["members"]) {
    if (member["name"] == cluster_->name(dead)) id = member["ID"].get<std::string>();
  }
  ASSERT_NE(id, "");
  cluster_->Kill(dead);
  tools::CommandResult replaced;
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  do {
    replaced = Keelctl({"member", "replace", id, "--peer-urls", cluster_->peer_url(*number), "--name", "n4"});
  } while (absl::StrContains(replaced.err, "unhealthy cluster") && absl::Now() < deadline);
  ASSERT_EQ(replaced.exit_code, 0) << replaced.err;
  std::smatch found;
  const std::regex shape(
      "Member +[0-9a-f]+ replaced in cluster +[0-9a-f]+\nby member [0-9a-f]+\n\nETCD_NAME=\"n4\"\n"
      "ETCD_INITIAL_CLUSTER=\"([^\"]*)\"\nETCD_INITIAL_ADVERTISE_PEER_URLS=\"[^\"]*\"\n"
      "ETCD_INITIAL_CLUSTER_STATE=\"existing\"\n");
  ASSERT_TRUE(std::regex_match(replaced.out, found, shape)) << replaced.out;
  ASSERT_TRUE(cluster_->Join(*number, found[1]).ok());
  ASSERT_TRUE(Healthy(*number, absl::Seconds(60)));
  EXPECT_EQ(nlohmann::json::parse(KeelctlOk({"-w", "json", "member", "list"}))["members"].size(), 3u);

  const auto moved =
      tools::RunCommand({.argv = {KEELCTL_PATH, "--endpoints=" + cluster_->endpoint(*number), "move-leader", id}});
  ASSERT_TRUE(moved.ok());
  EXPECT_EQ(moved->exit_code, 128);
  EXPECT_THAT(moved->err, HasSubstr("no leader endpoint given at [" + cluster_->endpoint(*number) + "]"));
}

}  // namespace
}  // namespace keel::test
