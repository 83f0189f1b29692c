// A whole member of a cluster of three, traced: first start, writes, a compaction, snapshots, restarts, and one start
// so far behind that another member's state has to be installed. Then what its disk holds after every single file
// operation of that life, as a killed process and as a power cut leave it: the member starts from there, log and state
// fit together, and nothing that was acknowledged is missing.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "keel/client.h"
#include "server/apply/applier.h"
#include "server/bootstrap.h"
#include "server/server.h"
#include "tests/member_crash/disk_image.h"
#include "tests/member_crash/file_trace.h"
#include "tests/server/member_fixture.h"

namespace keel::server {
namespace {

using crash::DiskImage;
using crash::FileOp;
using crash::FileTrace;

constexpr char kPrefix[] = "crash/";
constexpr uint64_t kLogSegmentBytes = 8u << 10;
constexpr uint64_t kCatchupEntries = 20;

// Where images are made: in memory, where the machine has such a place.
std::string ScratchRoot() {
  std::error_code error;
  const std::filesystem::path memory = "/dev/shm";
  const auto space = std::filesystem::space(memory, error);
  if (!error && space.available > (256u << 20)) return memory.string();
  return std::filesystem::temp_directory_path().string();
}

// A number from the environment.
uint64_t Setting(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  uint64_t value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
}

// What each revision made of the keyspace.
class Chronicle {
 public:
  void Put(int64_t revision, const std::string& key, const std::string& value) { changes_[revision][key] = value; }
  void Delete(int64_t revision, const std::string& key) { changes_[revision][key] = std::nullopt; }

  std::map<std::string, std::string> At(int64_t revision) const {
    std::map<std::string, std::string> keys;
    for (const auto& [at, changes] : changes_) {
      if (at > revision) break;
      for (const auto& [key, value] : changes) {
        if (value) {
          keys[key] = *value;
        } else {
          keys.erase(key);
        }
      }
    }
    return keys;
  }

 private:
  std::map<int64_t, std::map<std::string, std::optional<std::string>>> changes_;
};

// Three members of one cluster in this process, of which some run.
class Trio {
 public:
  explicit Trio(const std::string& dir) {
    std::vector<InitialMember> initial;
    for (const char* name : {"n1", "n2", "n3"}) {
      Config config = OneMember(dir);
      config.name = name;
      config.data_dir = absl::StrCat(dir, "/", name, "/data");
      config.snapshot_catchup_entries = kCatchupEntries;
      config.log_segment_bytes = kLogSegmentBytes;
      config.election_ms = 1000;
      config.heartbeat_ms = 100;
      initial.push_back({.name = name, .peer_urls = config.listen_peer_urls});
      configs_.push_back(config);
      std::filesystem::create_directory(absl::StrCat(dir, "/", name));
    }
    for (Config& config : configs_) config.initial_cluster = initial;
    servers_.resize(configs_.size());
    std::vector<std::string> endpoints;
    for (const Config& config : configs_) endpoints.push_back(config.listen_client_urls[0].ToString());
    client_ = *Client::Create({.endpoints = endpoints, .timeout = absl::Seconds(30)});
  }

  const Config& config(size_t i) const { return configs_[i]; }
  std::string endpoint(size_t i) const { return configs_[i].listen_client_urls[0].ToString(); }
  Client& client() { return *client_; }

  void Start(size_t i) {
    auto server = Server::Start(configs_[i], [](const absl::Status& status) { FAIL() << status; });
    ASSERT_TRUE(server.ok()) << server.status();
    servers_[i] = *std::move(server);
  }
  void Stop(size_t i) { servers_[i].reset(); }

  // Until member `i` has applied what the cluster has.
  void CatchUp(size_t i) {
    ASSERT_TRUE(Eventually([&] {
      auto newest = client_->kv().Get("x");
      auto here = client_->kv().Get("x", {.serializable = true}, {.endpoint = endpoint(i)});
      return newest.ok() && here.ok() && here->header.revision >= newest->header.revision;
    }));
  }

  // --- Writes, told to `chronicle` under the revision they got. Each comes about exactly once, whatever happens on the
  // way: its value says whether it has.

  void Put(const std::string& key, const std::string& value, LeaseId lease, Chronicle* chronicle) {
    while (true) {
      auto put = client_->kv().Put(key, value, {.lease = lease});
      if (put.ok()) return chronicle->Put(put->header.revision, key, value);
      auto got = client_->kv().Get(key);
      if (got.ok() && !got->kvs.empty() && got->kvs[0].value == value) {
        return chronicle->Put(got->kvs[0].mod_revision, key, value);
      }
    }
  }

 private:
  std::vector<Config> configs_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::unique_ptr<Client> client_;
};

struct Life {
  std::vector<FileOp> ops;
  Chronicle chronicle;
  std::map<uint64_t, int64_t> acknowledged;  // By mark: the revision that was told to a client by then.
};

// The life of member 3 (index 2). While marks are made, member 2 is down, so nothing is acknowledged that member 3 does
// not hold on its disk.
void LiveAndTrace(Trio* trio, const std::string& traced_dir, Life* life) {
  FileTrace trace(traced_dir);
  uint64_t mark = 0;
  int64_t number = 0;
  const auto value = [&] {
    ++number;
    return absl::StrCat("value ", number, " ", std::string(200 + number % 7 * 150, 'v'));
  };
  const auto acknowledge = [&] {
    auto got = trio->client().kv().Get("x");
    ASSERT_TRUE(got.ok()) << got.status();
    life->acknowledged[++mark] = got->header.revision;
    trace.Mark(mark);
  };
  const auto write = [&](int writes, bool acknowledged) {
    for (int i = 0; i < writes; ++i) {
      const std::string key = absl::StrCat(kPrefix, number % 9);
      trio->Put(key, value(), 0, &life->chronicle);
      if (!acknowledged) continue;
      ASSERT_NO_FATAL_FAILURE(acknowledge());
    }
  };

  ASSERT_NO_FATAL_FAILURE(trio->Start(0));
  ASSERT_NO_FATAL_FAILURE(trio->Start(2));
  ASSERT_NO_FATAL_FAILURE(write(10, true));
  auto lease = trio->client().leases().Grant(absl::Hours(1));
  ASSERT_TRUE(lease.ok()) << lease.status();
  trio->Put(absl::StrCat(kPrefix, "leased"), value(), lease->id, &life->chronicle);
  ASSERT_NO_FATAL_FAILURE(acknowledge());
  auto gone = trio->client().kv().Delete(absl::StrCat(kPrefix, "3"));
  ASSERT_TRUE(gone.ok()) << gone.status();
  life->chronicle.Delete(gone->header.revision, absl::StrCat(kPrefix, "3"));
  ASSERT_NO_FATAL_FAILURE(acknowledge());
  auto compacted = trio->client().kv().Compact(gone->header.revision - 4, {.physical = true});
  ASSERT_TRUE(compacted.ok()) << compacted.status();
  ASSERT_NO_FATAL_FAILURE(write(5, true));
  // A snapshot for a client: a flush, after which the log's front can go, and a directory of links that comes and goes.
  uint64_t bytes = 0;
  ASSERT_TRUE(trio->client()
                  .maintenance()
                  .Snapshot(trio->endpoint(2),
                            [&](const SnapshotChunk& chunk) {
                              bytes += chunk.blob.size();
                              return absl::OkStatus();
                            })
                  .ok());
  ASSERT_GT(bytes, 0u);
  ASSERT_NO_FATAL_FAILURE(write(40, true));

  // A restart without work in between, and one after which there is some to replay.
  trio->Stop(2);
  ASSERT_NO_FATAL_FAILURE(trio->Start(2));
  ASSERT_NO_FATAL_FAILURE(write(10, true));

  // Far behind: what it lacks is in nobody's log any more.
  ASSERT_NO_FATAL_FAILURE(trio->Start(1));
  ASSERT_NO_FATAL_FAILURE(trio->CatchUp(1));
  trio->Stop(2);
  ASSERT_NO_FATAL_FAILURE(write(250, false));
  for (size_t i : {0, 1}) {  // So that their logs' fronts can go.
    ASSERT_TRUE(trio->client()
                    .maintenance()
                    .Snapshot(trio->endpoint(i), [](const SnapshotChunk&) { return absl::OkStatus(); })
                    .ok());
  }
  ASSERT_NO_FATAL_FAILURE(write(20, false));
  ASSERT_NO_FATAL_FAILURE(trio->Start(2));
  ASSERT_NO_FATAL_FAILURE(trio->CatchUp(2));
  trio->Stop(1);
  ASSERT_NO_FATAL_FAILURE(write(10, true));
  trio->Stop(2);
  trace.Mark(++mark);
  life->acknowledged[mark] = life->acknowledged[mark - 1];
  life->ops = trace.Take();
}

// The state machine above an opened directory, fed with the rest of the log.
absl::Status Replay(Bootstrapped* member) {
  const Clock& clock = Clock::Real();
  const std::unique_ptr<Proposer> proposer = Proposer::Create({.drive = Drive::kOwner}, 1, &clock);
  const std::unique_ptr<WatchHub> watch = WatchHub::Create({.drive = Drive::kOwner}, member->store.get(), &clock);
  const std::unique_ptr<LeaseKeeper> leases =
      LeaseKeeper::Create({.drive = Drive::kOwner}, raft::MemberId{1}, &clock, member->store.get());
  const std::unique_ptr<Applier> applier =
      Applier::Create({}, member->store.get(), proposer.get(), watch.get(), leases.get());
  for (raft::Index next = member->initial.applied + 1; next <= member->initial.last;) {
    auto entries = member->log->Read(next, member->initial.last, 1u << 20);
    if (!entries.ok()) return entries.status();
    if (const absl::Status status = applier->Apply(*entries); !status.ok()) return status;
    next = entries->back().id.index + 1;
  }
  return absl::OkStatus();
}

std::map<std::string, std::string> Keys(const storage::StateStore& store) {
  etcdserverpb::RangeRequest request;
  request.set_key(kPrefix);
  request.set_range_end("crash0");
  etcdserverpb::RangeResponse response;
  EXPECT_TRUE(store.View().Range(request, &response).ok());
  std::map<std::string, std::string> keys;
  for (const auto& kv : response.kvs()) keys[kv.key()] = kv.value();
  return keys;
}

// Whether a member with this directory comes up whole; empty, or what is wrong.
std::string Examine(const Config& config, const Life& life, int64_t acknowledged) {
  absl::StatusOr<Bootstrapped> member = Bootstrap(config, nullptr);
  if (!member.ok()) return absl::StrCat("does not start: ", member.status().ToString());
  if (const absl::Status status = Replay(&*member); !status.ok()) {
    return absl::StrCat("cannot replay its log: ", status.ToString());
  }
  const int64_t revision = member->store->current_revision().value();
  if (revision < acknowledged) {
    return absl::StrCat("comes back at revision ", revision, ", but ", acknowledged, " was acknowledged");
  }
  if (Keys(*member->store) != life.chronicle.At(revision)) {
    return absl::StrCat("holds other keys than there were at revision ", revision);
  }
  if (const absl::Status status = member->store->Close(); !status.ok()) return status.ToString();
  return "";
}

TEST(MemberCrashTest, AfterEveryFileOperationOfItsLifeAMemberComesBackWhole) {
  const uint64_t seed = Setting("KEEL_TEST_SEED", Random::EntropySeed());
  // Every so many operations: 1 is all of them.
  const uint64_t stride = Setting("KEEL_CRASH_STRIDE", 1);
  std::cout << "seed " << seed << " (KEEL_TEST_SEED), stride " << stride << " (KEEL_CRASH_STRIDE)\n";

  ASSERT_TRUE(ConfigureLog({.level = LogLevel::kError}).ok());
  TempDir dir;
  Trio trio(dir.path());
  Life life;
  ASSERT_NO_FATAL_FAILURE(LiveAndTrace(&trio, absl::StrCat(dir.path(), "/n3"), &life));
  trio.Stop(0);

  std::string scratch = absl::StrCat(ScratchRoot(), "/keel-crash-XXXXXX");
  ASSERT_NE(mkdtemp(scratch.data()), nullptr);
  Config config = trio.config(2);
  const crash::HastySyncs hasty;
  Random random(seed);
  std::map<FileOp::Kind, int> kinds;
  uint64_t images = 0;
  uint64_t operations = 0;
  int64_t acknowledged = 0;
  DiskImage disk;
  for (size_t i = 0; i < life.ops.size(); ++i) {
    const FileOp& op = life.ops[i];
    if (op.kind == FileOp::Kind::kMark) {
      acknowledged = life.acknowledged.at(op.number);
      continue;
    }
    disk.Add(op);
    ++kinds[op.kind];
    if (++operations % stride != 0) continue;
    const auto examine = [&](const DiskImage& image, const char* what) {
      const std::string root = absl::StrCat(scratch, "/", ++images);
      image.WriteTo(root);
      config.data_dir = absl::StrCat(root, "/data");
      const std::string wrong = Examine(config, life, acknowledged);
      std::filesystem::remove_all(root);
      EXPECT_EQ(wrong, "") << what << " after operation " << operations << ", which is of kind "
                           << static_cast<int>(op.kind) << " on '" << op.path << "' " << op.to << " inode " << op.inode;
    };
    examine(disk, "a kill");
    DiskImage none = disk;
    none.PowerCut(DiskImage::Loss::kEverything, &random);
    examine(none, "a power cut that took all that was not synced");
    DiskImage some = disk;
    some.PowerCut(DiskImage::Loss::kAnyPart, &random);
    examine(some, "a power cut that took some of it");
    if (HasFailure()) break;
  }
  std::filesystem::remove_all(scratch);
  std::cout << operations << " file operations, " << images << " images opened and found whole, " << acknowledged
            << " revisions acknowledged\n";
  // The life has been a full one.
  for (const FileOp::Kind kind :
       {FileOp::Kind::kCreate, FileOp::Kind::kWrite, FileOp::Kind::kSync, FileOp::Kind::kSyncDir, FileOp::Kind::kRename,
        FileOp::Kind::kLink, FileOp::Kind::kRemove, FileOp::Kind::kMakeDir, FileOp::Kind::kRemoveDir}) {
    EXPECT_GT(kinds[kind], 0) << static_cast<int>(kind);
  }
  const auto renames = [&](std::string_view from, std::string_view to) {
    return std::count_if(life.ops.begin(), life.ops.end(), [&](const FileOp& op) {
      return op.kind == FileOp::Kind::kRename && op.path.starts_with(from) && op.to.starts_with(to);
    });
  };
  EXPECT_EQ(renames("data/incoming/snapshot-", "data/state/gen-2"), 1) << "a snapshot was installed";
  EXPECT_GT(renames("data/log/0", "data/log/spare-"), 0) << "the front of the log went";
  EXPECT_GT(renames("data/log/filling-", "data/log/"), 0);
}

}  // namespace
}  // namespace keel::server
