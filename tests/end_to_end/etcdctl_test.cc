// Debian's own etcdctl against a cluster of three: every command of it that Keel serves.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "tests/end_to_end/fixture.h"

namespace keel::test {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

class EtcdctlTest : public ClusterTest {
 protected:
  void SetUp() override {
    if (EtcdctlPath().empty()) GTEST_SKIP() << "etcdctl is not installed (Debian package etcd-client)";
    StartCluster();
  }

  tools::ChildProcess Background(std::vector<std::string> args, const std::string& output) {
    return ClusterTest::Background(EtcdctlPath(), std::move(args), output);
  }
};

TEST_F(EtcdctlTest, PutGetDel) {
  EXPECT_EQ(EtcdctlOk({"put", "a", "1"}), "OK\n");
  EXPECT_EQ(EtcdctlOk({"put", "b", "2"}), "OK\n");
  EXPECT_EQ(EtcdctlOk({"put", "--prev-kv", "a", "3"}), "OK\na\n1\n");
  EXPECT_EQ(EtcdctlOk({"get", "a"}), "a\n3\n");
  EXPECT_EQ(EtcdctlOk({"get", "--prefix", "", "--keys-only"}), "a\n\nb\n\n");
  EXPECT_EQ(EtcdctlOk({"get", "--from-key", "a", "--print-value-only"}), "3\n2\n");
  EXPECT_EQ(EtcdctlOk({"get", "a", "c", "--limit=1", "--order=DESCEND", "--sort-by=KEY"}), "b\n2\n");
  EXPECT_EQ(EtcdctlOk({"get", "a", "--rev=2"}), "a\n1\n");
  EXPECT_EQ(EtcdctlOk({"get", "a", "--consistency=s", "--print-value-only"}), "3\n");
  EXPECT_EQ(EtcdctlOk({"put", "--ignore-value", "a"}), "OK\n");
  EXPECT_THAT(Etcdctl({"put", "--ignore-value", "nothing"}).err, HasSubstr("etcdserver: key not found"));
  EXPECT_EQ(EtcdctlOk({"del", "--prev-kv", "a"}), "1\na\n3\n");
  EXPECT_EQ(EtcdctlOk({"del", "--prefix", ""}), "1\n");
  EXPECT_EQ(EtcdctlOk({"del", "a"}), "0\n");

  const auto json = nlohmann::json::parse(EtcdctlOk({"get", "a", "-w", "json"}));
  EXPECT_NE(json["header"]["cluster_id"].get<uint64_t>(), 0u);
  EXPECT_EQ(json["header"]["revision"], 7);
}

TEST_F(EtcdctlTest, Txn) {
  EtcdctlOk({"put", "k", "v"});
  EXPECT_EQ(EtcdctlOk({"txn"}, "value(\"k\") = \"v\"\n\nput k w\nget k\n\nput k never\n\n"), "SUCCESS\n\nOK\n\nk\nw\n");
  EXPECT_EQ(EtcdctlOk({"txn"}, "create(\"absent\") > \"0\"\n\nput k never\n\nget k\n\n"), "FAILURE\n\nk\nw\n");
  EXPECT_THAT(Etcdctl({"txn"}, "\nput k 1\nput k 2\n\n\n").err,
              HasSubstr("etcdserver: duplicate key given in txn request"));
}

TEST_F(EtcdctlTest, WatchPastAndFuture) {
  EtcdctlOk({"put", "w/a", "1"});
  EtcdctlOk({"put", "w/a", "2"});
  auto past = Background({"watch", "--prefix", "w/", "--rev=2", "--prev-kv"}, "past");
  WaitFor("past", "PUT\nw/a\n1\nw/a\n2\n");
  auto future = Background({"watch", "w/b"}, "future");
  // Whether the second watch is there yet is not visible from outside: put until it has seen one.
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (Read("future").empty() && absl::Now() < deadline) EtcdctlOk({"put", "w/b", "x"});
  EXPECT_THAT(Read("future"), StartsWith("PUT\nw/b\nx\n"));
  EtcdctlOk({"del", "w/b"});
  WaitFor("future", "DELETE\nw/b\n\n");
  EtcdctlOk({"compaction", "3"});
  const auto compacted = Etcdctl({"watch", "w/a", "--rev=1"});
  EXPECT_NE(compacted.exit_code, 0);
  EXPECT_THAT(compacted.err, HasSubstr("required revision has been compacted"));
}

TEST_F(EtcdctlTest, Compaction) {
  for (int i = 0; i < 4; ++i) EtcdctlOk({"put", "k", absl::StrCat(i)});
  EXPECT_EQ(EtcdctlOk({"compaction", "4"}), "compacted revision 4\n");
  EXPECT_EQ(EtcdctlOk({"get", "k", "--rev=4", "--print-value-only"}), "2\n");
  EXPECT_THAT(Etcdctl({"get", "k", "--rev=3"}).err,
              HasSubstr("etcdserver: mvcc: required revision has been compacted"));
  EXPECT_THAT(Etcdctl({"compaction", "4"}).err, HasSubstr("etcdserver: mvcc: required revision has been compacted"));
  EXPECT_THAT(Etcdctl({"compaction", "99"}).err, HasSubstr("etcdserver: mvcc: required revision is a future revision"));
  EXPECT_EQ(EtcdctlOk({"compaction", "5", "--physical"}), "compacted revision 5\n");
}

TEST_F(EtcdctlTest, Leases) {
  const std::string granted = EtcdctlOk({"lease", "grant", "60"});
  ASSERT_THAT(granted, MatchesRegex("lease [0-9a-f]+ granted with TTL\\(60s\\)\n"));
  const std::string id = std::vector<std::string>(absl::StrSplit(granted, ' '))[1];
  EtcdctlOk({"put", "--lease=" + id, "leased", "v"});
  EXPECT_THAT(EtcdctlOk({"lease", "timetolive", id, "--keys"}),
              MatchesRegex("lease " + id +
                           " granted with TTL\\(60s\\), remaining\\((59|60)s\\), attached keys\\(\\[leased\\]\\)\n"));
  EXPECT_EQ(EtcdctlOk({"lease", "list"}), "found 1 leases\n" + id + "\n");
  EXPECT_EQ(EtcdctlOk({"lease", "keep-alive", "--once", id}), "lease " + id + " keepalived with TTL(60)\n");
  EXPECT_EQ(EtcdctlOk({"lease", "revoke", id}), "lease " + id + " revoked\n");
  EXPECT_EQ(EtcdctlOk({"get", "leased"}), "");
  EXPECT_EQ(EtcdctlOk({"lease", "timetolive", id}), "lease " + id + " already expired\n");
  EXPECT_THAT(Etcdctl({"lease", "revoke", id}).err, HasSubstr("etcdserver: requested lease not found"));
  EXPECT_THAT(Etcdctl({"put", "--lease=" + id, "x", "y"}).err, HasSubstr("etcdserver: requested lease not found"));
}

TEST_F(EtcdctlTest, LeaseExpiryDeletesItsKeys) {
  const std::string granted = EtcdctlOk({"lease", "grant", "2"});
  const std::string id = std::vector<std::string>(absl::StrSplit(granted, ' '))[1];
  EtcdctlOk({"put", "--lease=" + id, "brief", "v"});
  auto watch = Background({"watch", "brief", "--rev=2"}, "brief");
  WaitFor("brief", "PUT\nbrief\nv\n");
  WaitFor("brief", "DELETE\nbrief\n");
  EXPECT_EQ(EtcdctlOk({"get", "brief"}), "");
}

TEST_F(EtcdctlTest, LockIsHeldByOneAtATime) {
  auto first = Background({"lock", "l"}, "first");
  WaitFor("first", "l/");
  auto second = Background({"lock", "l", "--", "sh", "-c", "echo ran"}, "second");
  // The second has queued its key, and waits.
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  int queued = 0;
  while (queued < 2 && absl::Now() < deadline) {
    const auto json = nlohmann::json::parse(EtcdctlOk({"get", "--prefix", "l/", "-w", "json"}));
    queued = json.value("count", 0);
  }
  EXPECT_EQ(queued, 2);
  EXPECT_EQ(Read("second"), "");
  first.Signal(SIGINT);
  WaitFor("second", "ran");
  EXPECT_EQ(second.Wait(absl::Seconds(30)), 0);
}

TEST_F(EtcdctlTest, ElectionChangesHands) {
  auto first = Background({"elect", "e", "one"}, "one");
  WaitFor("one", "one");
  auto second = Background({"elect", "e", "two"}, "two");
  auto observer = Background({"elect", "-l", "e"}, "observer");
  WaitFor("observer", "one");
  first.Signal(SIGINT);
  WaitFor("two", "two");
  WaitFor("observer", "two");
}

TEST_F(EtcdctlTest, MembersAndEndpoints) {
  const std::string members = EtcdctlOk({"member", "list"});
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(members, HasSubstr(absl::StrCat(", started, ", cluster_->name(i), ", http://127.0.0.1:")));
    EXPECT_THAT(members, HasSubstr("http://" + cluster_->endpoint(i)));
  }
  const auto health = Etcdctl({"endpoint", "health"});
  EXPECT_EQ(health.exit_code, 0);
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(health.out + health.err, HasSubstr(cluster_->endpoint(i) + " is healthy"));
  }
  const auto status = nlohmann::json::parse(EtcdctlOk({"endpoint", "status", "-w", "json"}));
  ASSERT_EQ(status.size(), 3u);
  for (const auto& row : status) {
    EXPECT_NE(row["Status"]["leader"].get<uint64_t>(), 0u);
    EXPECT_GT(row["Status"]["dbSize"].get<int64_t>(), 0);
    EXPECT_GT(row["Status"]["raftIndex"].get<int64_t>(), 0);
    EXPECT_EQ(row["Status"]["leader"], status[0]["Status"]["leader"]);
  }
  EtcdctlOk({"put", "k", "v"});
  ExpectEqualHashes();
  EXPECT_EQ(EtcdctlOk({"alarm", "list"}), "");
  EXPECT_THAT(EtcdctlOk({"defrag"}), HasSubstr("Finished defragmenting"));
}

TEST_F(EtcdctlTest, MembersComeMoveAndGo) {
  // Safety says "not yet" in the first seconds of a connection.
  const auto insist = [this](const std::vector<std::string>& args) {
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    while (true) {
      tools::CommandResult result = Etcdctl(args);
      const bool not_yet = absl::StrContains(result.err, "etcdserver: unhealthy cluster") ||
                           absl::StrContains(result.err, "in sync with leader") ||
                           absl::StrContains(result.err, "not supported for learner");
      if (!not_yet || absl::Now() > deadline) return result;
    }
  };
  const auto line_with = [](const std::string& text, const std::string& what) -> std::string {
    for (const std::string& line : std::vector<std::string>(absl::StrSplit(text, '\n'))) {
      if (absl::StrContains(line, what)) return line;
    }
    return "";
  };
  auto fourth = cluster_->Reserve();
  ASSERT_TRUE(fourth.ok());
  const std::string url = cluster_->peer_url(*fourth);
  const auto added = insist({"member", "add", "n4", "--peer-urls=" + url, "--learner"});
  ASSERT_EQ(added.exit_code, 0) << added.err;
  ASSERT_THAT(line_with(added.out, "Member"), MatchesRegex("Member +[0-9a-f]+ added to cluster +[0-9a-f]+"));
  EXPECT_EQ(line_with(added.out, "ETCD_INITIAL_CLUSTER_STATE"), "ETCD_INITIAL_CLUSTER_STATE=\"existing\"");
  const std::string cluster = line_with(added.out, "ETCD_INITIAL_CLUSTER=");
  ASSERT_THAT(cluster, HasSubstr("n4=" + url));
  const std::string id = std::vector<std::string>(absl::StrSplit(added.out, ' ', absl::SkipEmpty()))[1];
  EXPECT_THAT(Etcdctl({"member", "add", "n5", "--peer-urls=http://127.0.0.1:1", "--learner"}).err,
              HasSubstr("etcdserver: too many learner members in cluster"));
  EXPECT_THAT(line_with(EtcdctlOk({"member", "list"}), id), HasSubstr(", unstarted, , " + url + ", , true"));

  const size_t quote = cluster.find('"');
  ASSERT_TRUE(cluster_->Join(*fourth, cluster.substr(quote + 1, cluster.size() - quote - 2)).ok());
  const auto promoted = insist({"member", "promote", id});
  EXPECT_THAT(promoted.out, MatchesRegex("Member +" + id + " promoted in cluster +[0-9a-f]+\n")) << promoted.err;
  EXPECT_THAT(Etcdctl({"member", "promote", id}).err, HasSubstr("etcdserver: can only promote a learner member"));
  ASSERT_TRUE(Healthy(*fourth, absl::Seconds(60)));
  // Let the client's word of the promotion get around.
  EXPECT_THAT(EtcdctlOk({"member", "update", id, "--peer-urls=" + url}),
              MatchesRegex("Member +" + id + " updated in cluster +[0-9a-f]+\n"));
  EXPECT_THAT(Etcdctl({"member", "update", id, "--peer-urls=" + cluster_->peer_url(0)}).err,
              HasSubstr("etcdserver: Peer URLs already exists"));

  EXPECT_THAT(EtcdctlOk({"move-leader", id}), MatchesRegex("Leadership transferred from [0-9a-f]+ to " + id + "\n"));
  EXPECT_EQ(Leader(), *fourth);
  EXPECT_THAT(Etcdctl({"move-leader", "1234"}).err, HasSubstr("etcdserver: bad leader transferee"));
  const auto removed = insist({"member", "remove", id});
  EXPECT_THAT(removed.out, MatchesRegex("Member +" + id + " removed from cluster +[0-9a-f]+\n")) << removed.err;
  EXPECT_EQ(cluster_->process(*fourth).Wait(absl::Seconds(60)), 0);
  EXPECT_THAT(Etcdctl({"member", "remove", id}).err, HasSubstr("etcdserver: member not found"));
  EXPECT_EQ(EtcdctlOk({"put", "after", "all"}), "OK\n");
}

}  // namespace
}  // namespace keel::test
