// Backups of real members, and of a real etcd, as new clusters.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/random.h"
#include "keel/client.h"
#include "storage/import/etcd_snapshot.h"
#include "storage/state/memory_medium.h"
#include "tests/end_to_end/fixture.h"
#include "tools/local_cluster/free_port.h"

namespace keel::test {
namespace {

namespace fs = std::filesystem;

using ::testing::HasSubstr;

tools::CommandResult Keelctl(std::vector<std::string> args) {
  args.insert(args.begin(), KEELCTL_PATH);
  auto result = tools::RunCommand({.argv = args}, absl::Seconds(60));
  if (!result.ok()) {
    ADD_FAILURE() << result.status();
    return {};
  }
  return *result;
}
std::string KeelctlOk(const std::vector<std::string>& args) {
  const tools::CommandResult result = Keelctl(args);
  EXPECT_EQ(result.exit_code, 0) << "keelctl " << absl::StrJoin(args, " ") << ": " << result.err;
  return result.out;
}

std::unique_ptr<Client> Connect(const std::string& endpoint) {
  auto client = Client::Create({.endpoints = {endpoint}, .timeout = absl::Seconds(30)});
  EXPECT_TRUE(client.ok()) << client.status();
  return *std::move(client);
}

// Everything at a revision, as text that compares.
std::vector<std::string> Everything(Client& client, int64_t revision) {
  auto response = client.kv().Get("", {.from_key = true, .revision = revision});
  EXPECT_TRUE(response.ok()) << "at " << revision << ": " << response.status();
  std::vector<std::string> all;
  if (!response.ok()) return all;
  for (const KeyValue& kv : response->kvs) {
    all.push_back(absl::StrCat(kv.key, "=", kv.value, " create ", kv.create_revision, " mod ", kv.mod_revision,
                               " version ", kv.version, " lease ", kv.lease));
  }
  return all;
}

class BackupTest : public ClusterTest {
 protected:
  // What LocalCluster will start member `i` with, as flags of `snapshot restore`.
  std::vector<std::string> RestoreFlags(const tools::LocalCluster& cluster, int i) {
    std::vector<std::string> flags;
    for (const std::string& flag : cluster.Flags(i)) {
      for (const char* wanted : {"--name=", "--data-dir=", "--initial-cluster=", "--initial-cluster-token=",
                                 "--initial-advertise-peer-urls="}) {
        if (flag.starts_with(wanted)) flags.push_back(flag);
      }
    }
    return flags;
  }
  // Replaces the fixture's cluster by one whose directories `command` makes out of `file`.
  void StartRestored(const std::string& command, const std::string& file, int members,
                     const std::vector<std::string>& more_flags = {}) {
    const std::string dir = absl::StrCat(dir_.path(), "/restored");
    fs::create_directory(dir);
    auto cluster = tools::LocalCluster::Create({.keeld = KEELD_PATH, .dir = dir, .members = members});
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    for (int i = 0; i < members; ++i) {
      std::vector<std::string> args = {"snapshot", command, file};
      for (const std::string& flag : RestoreFlags(*cluster, i)) args.push_back(flag);
      args.insert(args.end(), more_flags.begin(), more_flags.end());
      KeelctlOk(args);
    }
    cluster_ = std::make_unique<tools::LocalCluster>(*std::move(cluster));
    ASSERT_TRUE(cluster_->StartAll().ok());
    WaitHealthy();
  }
  std::string File(const std::string& name) const { return absl::StrCat(dir_.path(), "/", name); }
};

TEST_F(BackupTest, BecomesANewClusterWithSafeRevisions) {
  StartCluster(3);
  auto old_client = Connect(cluster_->endpoint(1));
  const auto lease = old_client->leases().Grant(absl::Seconds(600));
  ASSERT_TRUE(lease.ok()) << lease.status();
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(old_client->kv().Put(absl::StrCat("k", i % 20), absl::StrCat("v", i)).ok());
  }
  ASSERT_TRUE(old_client->kv().Put("leased", "v", {.lease = lease->id}).ok());
  ASSERT_TRUE(old_client->kv().Delete("k7").ok());
  ASSERT_TRUE(old_client->kv().Compact(20).ok());
  const std::vector<std::string> before = Everything(*old_client, 0);
  const auto old_members = old_client->cluster().List();
  ASSERT_TRUE(old_members.ok());

  const std::string saved = KeelctlOk({"--endpoints=" + cluster_->endpoint(1), "snapshot", "save", File("backup")});
  EXPECT_THAT(saved, HasSubstr(absl::StrCat("Snapshot saved at ", File("backup"), "\nServer version 3.")));
  EXPECT_FALSE(fs::exists(File("backup.part")));
  EXPECT_EQ(fs::file_size(File("backup")) % 512, 32u);
  const auto status = nlohmann::json::parse(KeelctlOk({"snapshot", "status", File("backup"), "-w", "json"}));
  EXPECT_EQ(status["revision"], 53);
  EXPECT_EQ(status["totalKey"], 20);
  EXPECT_EQ(status["totalSize"], fs::file_size(File("backup")));
  const auto hash = old_client->maintenance().HashKv(cluster_->endpoint(1));
  ASSERT_TRUE(hash.ok());
  EXPECT_EQ(status["hash"], hash->hash);
  EXPECT_THAT(KeelctlOk({"snapshot", "status", File("backup"), "-w", "table"}), HasSubstr("TOTAL KEYS"));

  old_client.reset();
  cluster_.reset();
  StartRestored("restore", File("backup"), 3, {"--bump-revision=1000", "--mark-compacted"});
  auto client = Connect(cluster_->endpoint(0));
  EXPECT_EQ(Everything(*client, 0), before);
  const auto members = client->cluster().List();
  ASSERT_TRUE(members.ok());
  EXPECT_NE(members->header.cluster_id, old_members->header.cluster_id);
  ASSERT_EQ(members->members.size(), 3u);
  for (const Member& member : members->members) {
    for (const Member& old : old_members->members) EXPECT_NE(member.id, old.id);
  }
  EXPECT_EQ(client->kv().Get("k1", {.revision = 1052}).status().message(),
            "etcdserver: mvcc: required revision has been compacted");
  EXPECT_EQ(Everything(*client, 1053), before);
  auto watcher = client->Watch("k1", {.start_revision = 54});
  auto next = watcher->Next();
  while (next.ok()) next = watcher->Next();
  EXPECT_EQ(next.status().code(), absl::StatusCode::kOutOfRange) << next.status();
  EXPECT_EQ(watcher->compact_revision(), 1053);
  const auto ttl = client->leases().TimeToLive(lease->id, {.keys = true});
  ASSERT_TRUE(ttl.ok());
  EXPECT_GT(ttl->ttl_seconds, 590);
  EXPECT_THAT(ttl->keys, testing::ElementsAre("leased"));
  const auto put = client->kv().Put("k1", "new");
  ASSERT_TRUE(put.ok());
  EXPECT_EQ(put->header.revision, 1054);
  ExpectEqualHashes();
  // And all of it again after a restart.
  for (int i = 0; i < 3; ++i) cluster_->Kill(i);
  ASSERT_TRUE(cluster_->StartAll().ok());
  WaitHealthy();
  EXPECT_EQ(client->kv().Get("k1")->kvs[0].value, "new");
  ExpectEqualHashes();
}

TEST_F(BackupTest, BadRequestsLeaveNothingBehind) {
  StartCluster(1);
  KeelctlOk({"--endpoints=" + cluster_->endpoint(0), "put", "a", "b"});
  KeelctlOk({"--endpoints=" + cluster_->endpoint(0), "snapshot", "save", File("backup")});
  const auto refused = [&](std::vector<std::string> args, int code, const std::string& text) {
    args.insert(args.begin(), {"snapshot", "restore", "--data-dir=" + File("new")});
    const tools::CommandResult result = Keelctl(args);
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(text));
    EXPECT_FALSE(fs::exists(File("new")));
    EXPECT_FALSE(fs::exists(File("new.restoring")));
  };
  refused({File("backup"), "--bump-revision=5"}, 128, "--mark-compacted required if --revision-bump > 0");
  refused({File("backup"), "--mark-compacted"}, 128, "--bump-revision");
  refused({File("backup"), "--name=x", "--initial-cluster=y=http://localhost:2380"}, 1, "couldn't find local name");
  refused({File("nothing")}, 1, "No such file");
  fs::copy_file(File("backup"), File("short"));
  fs::resize_file(File("short"), 1024);
  refused({File("short")}, 1, "snapshot missing hash but --skip-hash-check=false");
  refused({File("short"), "--skip-hash-check"}, 1, "the snapshot stream ended too early");
  {
    std::fstream file(File("backup"), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(1000);
    file.put('x');
  }
  refused({File("backup")}, 1, "expected sha256");
  refused({File("backup"), "--skip-hash-check"}, 1, "wrong checksum");
  fs::create_directories(File("full/something"));
  const tools::CommandResult full = Keelctl({"snapshot", "restore", File("backup"), "--data-dir=" + File("full")});
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.err, HasSubstr("not empty or could not be read"));
}

TEST_F(BackupTest, EtcdctlSavesTheSame) {
  if (EtcdctlPath().empty()) GTEST_SKIP() << "etcdctl is not installed (Debian package etcd-client)";
  StartCluster(1);
  EtcdctlOk({"put", "a", "b"});
  EXPECT_THAT(EtcdctlOk({"snapshot", "save", File("backup")}), HasSubstr("Snapshot saved at"));
  EXPECT_THAT(KeelctlOk({"snapshot", "status", File("backup")}), HasSubstr(", 2, 1, "));
}

// A real etcd with everything that ends up in its database: history, deletions, transactions, leases, a compaction.
class EtcdImportTest : public BackupTest {
 protected:
  void SetUp() override {
    if (access("/usr/bin/etcd", X_OK) != 0) GTEST_SKIP() << "etcd is not installed (Debian package etcd-server)";
    const auto client_port = tools::FreePort();
    const auto peer_port = tools::FreePort();
    ASSERT_TRUE(client_port.ok() && peer_port.ok());
    endpoint_ = absl::StrCat("127.0.0.1:", *client_port);
    const std::string peer = absl::StrCat("http://127.0.0.1:", *peer_port);
    auto etcd = tools::ChildProcess::Start(
        {.argv = {"/usr/bin/etcd", "--name=e", "--data-dir=" + File("etcd"), "--listen-client-urls=http://" + endpoint_,
                  "--advertise-client-urls=http://" + endpoint_, "--listen-peer-urls=" + peer,
                  "--initial-advertise-peer-urls=" + peer, "--initial-cluster=e=" + peer},
         .environment = {"ETCD_UNSUPPORTED_ARCH=arm64"},
         .output_file = File("etcd.log")});
    ASSERT_TRUE(etcd.ok()) << etcd.status();
    etcd_.push_back(*std::move(etcd));
    client_ = Connect(endpoint_);
    const auto first = client_->kv().Put("first", "v", {}, {.timeout = absl::Minutes(1), .wait_for_ready = true});
    ASSERT_TRUE(first.ok()) << first.status();
  }

  void Fill() {
    Random random(42);
    lease_ = client_->leases().Grant(absl::Seconds(500))->id;
    ASSERT_TRUE(client_->leases().Grant(absl::Seconds(700), {.id = 0x1234}).ok());
    for (int i = 0; i < 600; ++i) {
      const std::string key = absl::StrCat("key/", random.Below(120));
      const uint64_t what = random.Below(10);
      if (what == 0) {
        ASSERT_TRUE(client_->kv().Delete(key).ok());
      } else if (what == 1) {
        ASSERT_TRUE(client_->kv().Delete("key/1", {.prefix = true}).ok());
      } else if (what == 2) {
        ASSERT_TRUE(
            client_->kv()
                .Commit(Txn().If(VersionOf(key) > 0).Then(Put(key, "then"), Put("txn", key)).Else(Put(key, "else")))
                .ok());
      } else {
        const LeaseId lease = what == 3 ? lease_ : what == 4 ? 0x1234 : 0;
        const std::string value(random.Below(20) == 0 ? 9000 : random.Below(200), static_cast<char>('a' + i % 26));
        ASSERT_TRUE(client_->kv().Put(key, value, {.lease = lease}).ok());
      }
      if (i == 250) {
        ASSERT_TRUE(client_->kv().Compact(170, {.physical = true}).ok());
      }
    }
  }
  void Save(const std::string& file) {
    const auto saved = tools::RunCommand({.argv = {EtcdctlPath(), "--endpoints=" + endpoint_, "snapshot", "save", file},
                                          .environment = {"ETCDCTL_API=3"}});
    ASSERT_TRUE(saved.ok() && saved->exit_code == 0) << saved->err;
  }

  std::string endpoint_;
  std::vector<tools::ChildProcess> etcd_;
  std::unique_ptr<Client> client_;
  LeaseId lease_ = 0;
};

TEST_F(EtcdImportTest, EverythingAtEveryRevisionIsTheSame) {
  Fill();
  Save(File("etcd.db"));
  StartRestored("import-etcd", File("etcd.db"), 1);
  auto ours = Connect(cluster_->endpoint(0));

  const int64_t current = client_->kv().Get("first")->header.revision;
  EXPECT_EQ(ours->kv().Get("first")->header.revision, current);
  for (int64_t revision = 170; revision <= current; ++revision) {
    ASSERT_EQ(Everything(*ours, revision), Everything(*client_, revision)) << "at revision " << revision;
  }
  EXPECT_EQ(ours->kv().Get("first", {.revision = 169}).status().message(),
            "etcdserver: mvcc: required revision has been compacted");
  // At the compact revision itself older releases of etcd refuse to hash.
  for (const int64_t revision : {int64_t{171}, int64_t{172}, (170 + current) / 2, current}) {
    const auto theirs = client_->maintenance().HashKv(endpoint_, revision);
    const auto mine = ours->maintenance().HashKv(cluster_->endpoint(0), revision);
    ASSERT_TRUE(theirs.ok() && mine.ok()) << theirs.status() << mine.status();
    EXPECT_EQ(mine->hash, theirs->hash) << "at revision " << revision;
    EXPECT_EQ(mine->compact_revision, theirs->compact_revision);
  }
  for (const LeaseId lease : {lease_, LeaseId{0x1234}}) {
    const auto theirs = client_->leases().TimeToLive(lease, {.keys = true});
    const auto mine = ours->leases().TimeToLive(lease, {.keys = true});
    ASSERT_TRUE(theirs.ok() && mine.ok());
    EXPECT_EQ(mine->granted_ttl_seconds, theirs->granted_ttl_seconds);
    EXPECT_THAT(mine->keys, testing::UnorderedElementsAreArray(theirs->keys));
  }
  // History as watchers see it.
  auto watcher = ours->Watch("key/", {.prefix = true, .start_revision = 171});
  auto their_watcher = client_->Watch("key/", {.prefix = true, .start_revision = 171});
  std::vector<std::string> events[2];
  for (int side = 0; side < 2; ++side) {
    while (events[side].size() < 200) {
      auto response = (side == 0 ? watcher : their_watcher)->Next();
      ASSERT_TRUE(response.ok()) << response.status();
      for (const Event& event : response->events) {
        events[side].push_back(absl::StrCat(event.type == Event::Type::kPut ? "put " : "delete ", event.kv.key, " ",
                                            event.kv.mod_revision, " ", event.kv.version, " ", event.kv.value));
      }
    }
    events[side].resize(200);
  }
  EXPECT_EQ(events[0], events[1]);
  EXPECT_EQ(ours->kv().Put("next", "v")->header.revision, current + 1);
  EXPECT_THAT(KeelctlOk({"snapshot", "status", File("etcd.db")}), HasSubstr(absl::StrCat(", ", current, ", ")));
}

TEST_F(EtcdImportTest, NoMutationOfARealFileDoesHarm) {
  Fill();
  Save(File("etcd.db"));
  std::ifstream in(File("etcd.db"), std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(in)), {});
  const uint64_t seed = Random::EntropySeed();
  SCOPED_TRACE(seed);
  Random random(seed);
  int refused = 0;
  for (int round = 0; round < 200; ++round) {
    std::string file = good;
    for (uint64_t n = 1 + random.Below(8); n > 0; --n) {
      file[static_cast<size_t>(random.Below(file.size()))] = static_cast<char>(random.Next());
    }
    if (random.Below(8) == 0) file.resize(static_cast<size_t>(random.Below(file.size())));
    const auto import = storage::ImportEtcdSnapshot(file, "/imported", {.skip_hash_check = true, .drop_auth = true},
                                                    std::make_shared<storage::MemoryMedium>());
    if (import.ok()) continue;
    ++refused;
    EXPECT_THAT(import.status().message(), HasSubstr("offset"));
  }
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace keel::test
