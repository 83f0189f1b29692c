// What keelctl has beyond etcdctl, on real members: history, diff, trees, readable JSON, watches for people, locks that
// end commands, mirrors, top and doctor.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "tests/end_to_end/fixture.h"
#include "tools/local_cluster/free_port.h"

namespace keel::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

using Words = std::vector<std::string>;

class KeelctlOwnTest : public ClusterTest {
 protected:
  tools::CommandResult Keelctl(const Words& args, const std::string& input = "") {
    Words argv = {KEELCTL_PATH, "--endpoints=" + cluster_->endpoints()};
    argv.insert(argv.end(), args.begin(), args.end());
    auto result = tools::RunCommand({.argv = argv, .stdin_text = input}, absl::Seconds(60));
    if (!result.ok()) {
      ADD_FAILURE() << absl::StrJoin(args, " ") << ": " << result.status();
      return {};
    }
    return *result;
  }
  std::string Ok(const Words& args, const std::string& input = "") {
    const tools::CommandResult result = Keelctl(args, input);
    EXPECT_EQ(result.exit_code, 0) << absl::StrJoin(args, " ") << ": " << result.err;
    return result.out;
  }
  tools::ChildProcess Background(Words args, const std::string& output) {
    return ClusterTest::Background(KEELCTL_PATH, std::move(args), output);
  }
};

TEST_F(KeelctlOwnTest, HistoryDiffTreeAndReadableJson) {
  StartCluster(1);
  Ok({"put", "/config/app"}, "port 1\nhost a\n");  // Revision 2.
  Ok({"put", "/config/app"}, "port 2\nhost a\n");
  Ok({"del", "/config/app"});
  Ok({"put", "/config/app"}, "port 3\nhost a\n");
  Ok({"put", "/config/db/name", "grün"});
  Ok({"put", "/bytes", "\xff\xfe"});

  EXPECT_EQ(Ok({"history", "/config/app"}),
            "rev 2        create  /config/app = \"port 1\\nhost a\\n\"\n"
            "rev 3        put     /config/app = \"port 2\\nhost a\\n\"  (version 2)\n"
            "rev 4        delete  /config/app\n"
            "rev 5        create  /config/app = \"port 3\\nhost a\\n\"\n");
  EXPECT_EQ(Ok({"history", "--limit=1", "/config/app"}), "rev 5        create  /config/app = \"port 3\\nhost a\\n\"\n");
  EXPECT_EQ(Ok({"history", "absent"}), "");
  const auto diff = Keelctl({"diff", "/config/app@2", "/config/app"});
  EXPECT_EQ(diff.exit_code, 1) << diff.err;
  EXPECT_THAT(diff.out, HasSubstr("@@ -1,2 +1,2 @@\n-port 1\n+port 3\n host a\n"));
  EXPECT_EQ(Keelctl({"diff", "/config/app@5", "/config/app"}).exit_code, 0);
  const auto trouble = Keelctl({"diff", "/config/app@4", "/config/app"});
  EXPECT_EQ(trouble.exit_code, 2);
  EXPECT_THAT(trouble.err, HasSubstr("/config/app did not exist at revision 4"));

  EXPECT_EQ(Ok({"get", "--tree", "--prefix", "/config/", "--keys-only"}),
            ".\n└── /config/\n    ├── app\n    └── db/name\n");
  const auto json = nlohmann::json::parse(Ok({"get", "-w", "json", "--prefix", ""}));
  EXPECT_EQ(json["kvs"][0]["key"], "/bytes");
  EXPECT_EQ(json["kvs"][0]["value_base64"], "//4=");
  EXPECT_FALSE(json["kvs"][0].contains("value"));
  EXPECT_EQ(json["kvs"][2]["value"], "grün");
  const auto old = nlohmann::json::parse(Ok({"get", "-w", "json", "--base64", "/config/db/name"}));
  EXPECT_EQ(old["kvs"][0]["value"], "Z3LDvG4=");

  // What is compacted is said to be, and what was there then begins the history.
  Ok({"compaction", "3"});
  const auto rest = Keelctl({"history", "/config/app"});
  EXPECT_EQ(rest.exit_code, 0);
  EXPECT_THAT(rest.out, testing::StartsWith("rev 3        put     /config/app"));
  EXPECT_THAT(rest.out, HasSubstr("rev 4        delete"));
  EXPECT_THAT(rest.err, HasSubstr("before revision 3"));

  auto watch = Background({"watch", "--human", "--prefix", "/config/", "--rev=5", "--exec",
                           "echo \"handler: $KEEL_WATCH_TYPE $KEEL_WATCH_KEY at $KEEL_WATCH_REVISION\""},
                          "watch");
  WaitFor("watch", "handler: PUT /config/db/name at 6\n");
  Ok({"del", "/config/app"});
  WaitFor("watch", "delete  /config/app  (was \"port 3\\nhost a\\n\")");
  WaitFor("watch", "handler: DELETE /config/app at 8\n");

  // A key names a tree as a path does: itself and what is below, not its neighbours.
  Ok({"put", "/config", ""});
  Ok({"put", "/config-old/app", ""});
  Ok({"put", "/configs", ""});
  EXPECT_EQ(Ok({"get", "--tree", "--keys-only", "/config"}), ".\n└── /\n    ├── config\n    └── config/db/name\n");
  EXPECT_EQ(Ok({"get", "--tree", "--keys-only", "/config/"}), ".\n└── /config/db/name\n");
  EXPECT_THAT(Ok({"get", "--tree", "--keys-only", "--prefix", "/config"}), HasSubstr("configs"));
}

// A script that does not listen to SIGTERM, and has a child of its own, under a lock that cannot be kept.
TEST_F(KeelctlOwnTest, LockEndsTheCommandWithAllItStartedBeforeTheLockCanBeAnothers) {
  StartCluster(1);
  auto holder = Background({"lock", "l", "--ttl=3", "--grace=500ms", "--", "sh", "-c",
                            "trap 'echo asked to end' TERM; sleep 1000 & echo child $! token $KEEL_FENCING_TOKEN.; "
                            "while :; do wait; done"},
                           "holder");
  WaitFor("holder", ".\n");
  pid_t child = 0;
  const std::string text = Read("holder");
  const Words words = absl::StrSplit(text.substr(text.find("child ")), ' ');
  ASSERT_TRUE(absl::SimpleAtoi(words.at(1), &child)) << text;
  EXPECT_EQ(kill(child, 0), 0);
  cluster_->Signal(0, SIGSTOP);
  WaitFor("holder", "asked to end");
  WaitFor("holder", "the lock could not be kept");
  EXPECT_EQ(holder.Wait(absl::Seconds(60)), 1);
  // Reparented, then reaped by whoever adopted it; a zombie is dead too.
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  const auto dead = [&] {
    std::string status;
    if (FILE* file = std::fopen(absl::StrCat("/proc/", child, "/stat").c_str(), "r"); file != nullptr) {
      char buffer[512];
      const size_t n = std::fread(buffer, 1, sizeof buffer, file);
      status.assign(buffer, n);
      std::fclose(file);
    }
    return status.empty() || absl::StrContains(status, ") Z ");
  };
  while (!dead() && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_TRUE(dead());
  cluster_->Signal(0, SIGCONT);
}

TEST_F(KeelctlOwnTest, AMirrorCopiesFollowsAndResumes) {
  StartCluster(1);
  for (int i = 0; i < 5; ++i) Ok({"put", absl::StrCat("src/", i), "v"});
  Ok({"put", "other", "v"});
  const std::string destination = cluster_->endpoint(0);
  const Words command = {"make-mirror",       "--prefix=src/",   "--dest-prefix=dst/",
                         "--resume=position", "--max-txn-ops=3", destination};
  const auto copied = [&](const std::string& key, const std::string& value) {
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    while (absl::Now() < deadline) {
      if (Ok({"get", "--print-value-only", key}) == value) return true;
    }
    return false;
  };
  {
    auto mirror = Background(command, "mirror");
    EXPECT_TRUE(copied("dst/4", "v\n"));
    Ok({"put", "src/new", "1"});
    EXPECT_TRUE(copied("dst/new", "1\n"));
    // One transaction at the source is one at the destination.
    Ok({"txn"}, "\ndel src/0\nput src/1 w\n\n\n");
    EXPECT_TRUE(copied("dst/1", "w\n"));
    EXPECT_EQ(Ok({"get", "dst/0"}), "");
    mirror.Signal(SIGINT);
    EXPECT_EQ(mirror.Wait(absl::Seconds(30)), 0) << Read("mirror");
  }
  Ok({"del", "src/2"});
  Ok({"put", "src/while-away", "1"});
  auto mirror = Background(command, "again");
  EXPECT_TRUE(copied("dst/while-away", "1\n"));
  EXPECT_EQ(Ok({"get", "dst/2"}), "");
  // Not copied a second time.
  const auto json = nlohmann::json::parse(Ok({"get", "-w", "json", "dst/3"}));
  EXPECT_EQ(json["kvs"][0]["version"], 1);
  mirror.Signal(SIGTERM);
  EXPECT_EQ(mirror.Wait(absl::Seconds(30)), 0) << Read("again");
}

TEST_F(KeelctlOwnTest, TopAndDoctorSeeEveryMember) {
  StartCluster(3);
  auto top = Background({"top", "--once", "--interval=1s", "-w", "json"}, "top");
  while (top.Running()) Ok({"put", "busy/key", "v"});
  const auto json = nlohmann::json::parse(Read("top"));
  ASSERT_EQ(json["members"].size(), 3u) << json;
  int leaders = 0;
  double writes = 0;
  for (const auto& member : json["members"]) {
    ASSERT_FALSE(member.contains("error")) << json;
    leaders += member["leader"].get<bool>();
    writes += member["writes_per_second"].get<double>();
    EXPECT_GT(member["db_bytes"].get<double>(), 0);
  }
  EXPECT_EQ(leaders, 1);
  EXPECT_GT(writes, 0) << json;
  ASSERT_FALSE(json["prefixes"].empty()) << json;
  EXPECT_EQ(json["prefixes"][0]["prefix"], "busy/");

  const auto finding = [](const nlohmann::json& findings, const std::string& subject) {
    for (const auto& each : findings) {
      if (each["subject"] == subject)
        return each["severity"].get<std::string>() + ": " + each["finding"].get<std::string>();
    }
    return std::string("none");
  };
  const auto well = nlohmann::json::parse(Keelctl({"doctor", "-w", "json"}).out);
  EXPECT_EQ(finding(well, "members"), "ok: all 3 answer");
  EXPECT_EQ(finding(well, "quorum"), "ok: 3 of 3 voters answer, 2 are needed; 1 more may fail");
  EXPECT_EQ(finding(well, "versions"), "ok: all serve 3.6.0");
  EXPECT_THAT(finding(well, "clocks"), HasSubstr("ok: no two are surely more than"));
  const int gone = (Leader() + 1) % 3;
  cluster_->Kill(gone);
  const auto ill = Keelctl({"doctor"});
  EXPECT_EQ(ill.exit_code, 2) << ill.out;
  EXPECT_THAT(ill.out, HasSubstr(cluster_->name(gone) + " (http://" + cluster_->endpoint(gone) + ") does not answer"));
  EXPECT_THAT(ill.out, HasSubstr("warning  quorum        2 of 3 voters answer"));
  EXPECT_THAT(ill.out, HasSubstr("what to do: "));
}

TEST_F(KeelctlOwnTest, CheckPerfWritesAtItsRateAndLeavesNothingBehind) {
  StartCluster(1);
  const auto result = Keelctl({"check", "perf", "--load=s", "--duration=1s", "--prefix=check/"});
  // Whether the machine keeps up is not what is tested.
  EXPECT_THAT(result.out, HasSubstr("writes/s\n"));
  EXPECT_THAT(result.out, HasSubstr(result.exit_code == 0 ? "\nPASS\n" : "\nFAIL\n"));
  EXPECT_THAT(result.err, Not(HasSubstr("\r"))) << "a bar where nobody looks";
  EXPECT_EQ(Ok({"get", "--prefix", "check/", "--count-only"}), "0\n");
  Ok({"put", "check/mine", "v"});
  EXPECT_EQ(Keelctl({"check", "perf", "--prefix=check/"}).exit_code, 3);
  EXPECT_EQ(Ok({"get", "check/mine"}), "check/mine\nv\n");
}

// keelctl's side of TLS, against a server that has it: etcd.
TEST_F(KeelctlOwnTest, SpeaksTlsAndSaysWhatDoesNotFit) {
  if (access("/usr/bin/etcd", X_OK) != 0) GTEST_SKIP() << "etcd is not installed (Debian package etcd-server)";
  if (access("/usr/bin/openssl", X_OK) != 0) GTEST_SKIP() << "openssl is not installed";
  const std::string dir = dir_.path();
  const auto made = tools::RunCommand(
      {.argv = {
           "sh", "-ec",
           "cd \"$0\"; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key "
           "-out ca.pem -days 400 -subj /CN=ca; "
           "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout n1.key -out n1.csr -subj "
           "/CN=n1; echo subjectAltName=IP:127.0.0.1 > names; "
           "openssl x509 -req -in n1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 20 -out n1.pem -extfile names",
           dir}});
  ASSERT_TRUE(made.ok()) << made.status();
  ASSERT_EQ(made->exit_code, 0) << made->err;
  auto client_port = tools::FreePort();
  auto peer_port = tools::FreePort();
  ASSERT_TRUE(client_port.ok() && peer_port.ok());
  const std::string endpoint = absl::StrCat("127.0.0.1:", *client_port);
  const std::string peer = absl::StrCat("http://127.0.0.1:", *peer_port);
  auto etcd = tools::ChildProcess::Start(
      {.argv = {"/usr/bin/etcd", "--data-dir", dir + "/etcd", "--listen-client-urls", "https://" + endpoint,
                "--advertise-client-urls", "https://" + endpoint, "--listen-peer-urls", peer,
                "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer, "--cert-file",
                dir + "/n1.pem", "--key-file", dir + "/n1.key", "--trusted-ca-file", dir + "/ca.pem"},
       .output_file = dir + "/etcd.log"});
  ASSERT_TRUE(etcd.ok()) << etcd.status();
  const Words flags = {"--cacert=" + dir + "/ca.pem", "--cert=" + dir + "/n1.pem", "--key=" + dir + "/n1.key"};
  const auto run = [&](const Words& tls, const Words& args) {
    Words argv = {KEELCTL_PATH, "--endpoints=" + endpoint};
    argv.insert(argv.end(), tls.begin(), tls.end());
    argv.insert(argv.end(), args.begin(), args.end());
    auto result = tools::RunCommand({.argv = argv}, absl::Seconds(60));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : tools::CommandResult();
  };
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  tools::CommandResult put;
  do {
    put = run(flags, {"put", "k", "v"});
  } while (put.exit_code != 0 && absl::Now() < deadline);
  ASSERT_EQ(put.out, "OK\n") << put.err << Read("etcd.log");

  const auto doctor = run(flags, {"doctor"});
  EXPECT_THAT(doctor.out, testing::ContainsRegex("warning  certificates  default .*CN = n1 expires on"));
  // Without a certificate of one's own, without the authority, and without TLS at all.
  for (const Words& wrong : {Words{flags[0]}, Words{flags[1], flags[2]}, Words{}}) {
    const auto refused = run(wrong, {"get", "k"});
    EXPECT_EQ(refused.exit_code, 1) << absl::StrJoin(wrong, " ");
    EXPECT_THAT(refused.err, HasSubstr(endpoint));
  }
  EXPECT_EQ(run({flags[1]}, {"get", "k"}).exit_code, 128) << "a certificate without its key";
}

}  // namespace
}  // namespace keel::test
