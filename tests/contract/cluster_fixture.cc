#include "tests/contract/cluster_fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/string_view.h"
#include "tests/gateway/http_client.h"

namespace keel::contract {
namespace {

using etcdserverpb::MemberListResponse;
using etcdserverpb::StatusResponse;

constexpr absl::Duration kStartPatience = absl::Seconds(60);
// Half a second without a leader is an election: quick, and far above what a busy machine delays a heartbeat by.
const std::vector<std::string> kTiming = {"--heartbeat-interval=50", "--election-timeout=500"};

// The next question to another process; not a wait for our own work.
void PollPause() { absl::SleepFor(absl::Milliseconds(10)); }

}  // namespace

Members::Members(std::string dir, tools::LocalCluster processes)
    : dir_(std::move(dir)),
      processes_(std::move(processes)),
      endpoints_(static_cast<size_t>(processes_.size())),
      paused_(static_cast<size_t>(processes_.size())) {
  for (int i = 0; i < processes_.size(); ++i) at(i).Connect(processes_.endpoint(i));
}

Members::~Members() {
  std::error_code ignored;
  for (int i = 0; i < size(); ++i) {
    if (processes_.Running(i)) processes_.Kill(i);
  }
  std::filesystem::remove_all(dir_, ignored);
}

std::unique_ptr<Members> Members::Start(int members, std::vector<std::string> flags) {
  std::string dir = absl::StrCat(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", "/keel-contract-XXXXXX");
  KEEL_CHECK(mkdtemp(dir.data()) != nullptr);
  flags.insert(flags.begin(), kTiming.begin(), kTiming.end());
  auto processes = tools::LocalCluster::Create(
      {.keeld = is_etcd() ? "etcd" : KEELD_PATH, .dir = dir, .members = members, .extra_flags = std::move(flags)});
  KEEL_CHECK_OK(processes);
  std::unique_ptr<Members> cluster(new Members(dir, *std::move(processes)));
  cluster->Heal();
  const absl::Time deadline = absl::Now() + kStartPatience;
  while (!testing::Test::HasFailure() && !cluster->AllNamed()) {
    if (absl::Now() > deadline) {
      ADD_FAILURE() << "not every member publishes its name";
      return nullptr;
    }
    PollPause();
  }
  return cluster;
}

bool Members::AllNamed() {
  const differential::Answer answer = at(0).Call("members", absl::Seconds(2));
  if (!answer.status.ok()) return false;
  for (const auto& member : static_cast<const MemberListResponse&>(*answer.messages[0]).members()) {
    if (member.name().empty()) return false;
  }
  return true;
}

void Members::Pause(int member) {
  processes_.Signal(member, SIGSTOP);
  paused_[static_cast<size_t>(member)] = true;
}

void Members::Resume(int member) {
  processes_.Signal(member, SIGCONT);
  paused_[static_cast<size_t>(member)] = false;
}

void Members::Join(int member, const std::string& initial_cluster) {
  endpoints_.resize(static_cast<size_t>(size()));
  paused_.resize(static_cast<size_t>(size()));
  at(member).Connect(processes_.endpoint(member));
  EXPECT_TRUE(processes_.Join(member, initial_cluster).ok());
}

void Members::Heal() {
  for (int i = 0; i < static_cast<int>(endpoints_.size()); ++i) {
    if (left_.contains(i)) continue;
    if (!processes_.Running(i)) {
      ASSERT_TRUE(processes_.Start(i).ok());
    } else if (paused_[static_cast<size_t>(i)]) {
      processes_.Signal(i, SIGCONT);
    }
    paused_[static_cast<size_t>(i)] = false;
  }
  for (int i = 0; i < static_cast<int>(endpoints_.size()); ++i) {
    if (!left_.contains(i)) AwaitHealthy(i);
  }
}

void Members::Leave(int member) {
  processes_.Kill(member);
  left_.insert(member);
}

void Members::AwaitHealthy(int member) {
  const absl::Time deadline = absl::Now() + kStartPatience;
  while (true) {
    const std::string answer = at(member).Error("range key: 'health'", absl::Seconds(1));
    if (absl::StartsWith(answer, "ok")) return;
    // A learner says so, and reads for itself.
    if (absl::StrContains(answer, "learner") &&
        at(member).Call("range key: 'health' serializable: true", absl::Seconds(1)).status.ok()) {
      return;
    }
    ASSERT_LT(absl::Now(), deadline) << processes_.name(member) << " does not become healthy";
    PollPause();
  }
}

std::unique_ptr<Members> ClusterContract::shared_;

void ClusterContract::SetUpTestSuite() {
  // So that what takes minutes by default is seen; the last: as little log is kept for followers as there can be.
  StartShared({"--experimental-watch-progress-notify-interval=100ms", "--grpc-keepalive-min-time=1s",
               is_etcd() ? "--snapshot-count=100" : "--snapshot-catchup-entries=10"});
}

void ClusterContract::SetUp() {
  ASSERT_NE(shared_, nullptr) << "the suite's cluster did not start";
  members().Heal();
}

void ClusterContract::TearDown() {
  if (HasFailure() && shared_ != nullptr) std::cerr << members().processes().LogTails();
}

uint64_t ClusterContract::IdOf(int member) { return at(member).Ok<StatusResponse>("status").header().member_id(); }

int ClusterContract::Leader(int except) {
  const absl::Time deadline = absl::Now() + kStartPatience;
  while (absl::Now() < deadline) {
    int leader = -1;
    uint64_t id = 0;
    std::vector<uint64_t> believed;
    for (int i = 0; i < kMembers; ++i) {
      if (i == except || !members().processes().Running(i)) continue;
      const differential::Answer answer = at(i).Call("status", absl::Milliseconds(500));
      if (!answer.status.ok()) continue;
      const auto& status = static_cast<const StatusResponse&>(*answer.messages[0]);
      believed.push_back(status.leader());
      if (status.leader() != 0 && status.leader() == status.header().member_id()) {
        leader = i;
        id = status.leader();
      }
    }
    if (leader >= 0 && std::count(believed.begin(), believed.end(), id) > kMembers / 2) return leader;
    PollPause();
  }
  ADD_FAILURE() << "no leader";
  return 0;
}

void ClusterContract::MoveLeader(int to) {
  const std::string line = absl::StrCat("move_leader targetID: ", IdOf(to));
  const absl::Time deadline = absl::Now() + kStartPatience;
  while (Leader() != to) {
    ASSERT_LT(absl::Now(), deadline) << "the leadership does not move";
    // It may have moved meanwhile by itself: then this is refused, and asked for again.
    at(Leader()).Call(line, absl::Seconds(5));
  }
}

void ClusterContract::PauseOthers(int member) {
  for (int i = 0; i < kMembers; ++i) {
    if (i != member) members().Pause(i);
  }
}

std::string ClusterContract::Key(std::string_view suffix) const {
  return absl::StrCat(testing::UnitTest::GetInstance()->current_test_info()->name(), "/", ToAbsl(suffix));
}

std::unique_ptr<Client> ClusterContract::NewClient(std::vector<int> of, ClientOptions options) {
  options.endpoints.clear();
  for (const int member : of) options.endpoints.push_back(members().processes().endpoint(member));
  auto client = Client::Create(options);
  KEEL_CHECK_OK(client);
  return *std::move(client);
}

void ClusterContract::Await(const std::function<bool()>& reached, std::string_view what) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (!reached()) {
    ASSERT_LT(absl::Now(), deadline) << what;
    PollPause();
  }
}

double ClusterContract::Metric(int member, std::string_view name) {
  const std::string text =
      server::HttpClient(*ParseEndpoint(members().processes().endpoint(member))).Call("GET", "/metrics").body;
  double sum = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const size_t end = line.find_first_of("{ ");
    double value = 0;
    if (line.substr(0, end) == ToAbsl(name) && absl::SimpleAtod(line.substr(line.rfind(' ') + 1), &value)) sum += value;
  }
  return sum;
}

double ClusterContract::SumOverMembers(std::string_view name) {
  double sum = 0;
  for (int member = 0; member < kMembers; ++member) sum += Metric(member, name);
  return sum;
}

int64_t ClusterContract::NewLeaseId() {
  static int64_t last = 1000;
  return ++last;
}

int64_t ClusterContract::KeepAlive(int member, int64_t id) {
  const auto stream = at(member).Open(absl::StrCat("keepalive ID: ", id));
  EXPECT_TRUE(stream->Await([](const auto& messages) { return !messages.empty(); }, kPatience))
      << Shown(stream->status());
  if (stream->size() == 0) return -1;
  return static_cast<const etcdserverpb::LeaseKeepAliveResponse&>(*stream->messages()[0]).ttl();
}

}  // namespace keel::contract
