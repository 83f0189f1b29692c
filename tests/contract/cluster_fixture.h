#pragma once

// Three members that a whole suite shares, because a cluster costs a second to start: keeld's, or etcd's with
// KEEL_TEST_SERVER=etcd. A test may kill and pause members; the next one finds them all in place again. Keys are the
// test's own (Key()), revisions are not.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "keel/client.h"
#include "proto/etcdserver_cluster.pb.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_lease.pb.h"
#include "proto/etcdserver_maintenance.pb.h"
#include "proto/etcdserver_watch.pb.h"
#include "tests/contract/endpoint.h"
#include "tests/contract/fixture.h"
#include "tools/local_cluster/local_cluster.h"

namespace keel::contract {

// A cluster with the ways to speak to it. Owned by one thread.
class Members {
 public:
  // Null, and a failure of the test, when it does not start.
  static std::unique_ptr<Members> Start(int members, std::vector<std::string> flags);
  ~Members();

  tools::LocalCluster& processes() { return processes_; }
  Endpoint& at(int member) { return endpoints_[static_cast<size_t>(member)]; }
  int size() const { return processes_.size(); }

  void Pause(int member);
  void Resume(int member);
  // One more, which has been added; speaks to it from now on. `initial_cluster` as the flag.
  void Join(int member, const std::string& initial_cluster);
  // Kills one that has been removed from the cluster.
  void Leave(int member);
  // Starts and resumes who does not run, and waits until each answers a linearizable read.
  void Heal();
  // Until `member` answers a linearizable read.
  void AwaitHealthy(int member);

 private:
  Members(std::string dir, tools::LocalCluster processes);
  bool AllNamed();

  const std::string dir_;
  tools::LocalCluster processes_;
  std::vector<Endpoint> endpoints_;
  std::vector<bool> paused_;
  std::set<int> left_;
};

class ClusterContract : public ::testing::Test {
 public:
  static void SetUpTestSuite();
  static void TearDownTestSuite() { shared_ = nullptr; }

 protected:
  static constexpr int kMembers = 3;

  static void StartShared(std::vector<std::string> flags) { shared_ = Members::Start(kMembers, std::move(flags)); }
  static std::unique_ptr<Members> shared_;

  void SetUp() override;
  void TearDown() override;

  Members& members() { return *shared_; }
  Endpoint& at(int member) { return shared_->at(member); }
  uint64_t IdOf(int member);
  // Whom most members take for the leader, and who says so himself; waits for one. `except` does not count.
  int Leader(int except = -1);
  int AnyFollower() { return (Leader() + 1) % kMembers; }
  // Hands the leadership over, and waits until it has come.
  void MoveLeader(int to);
  // All but this one stop where they are, so that there is no quorum.
  void PauseOthers(int member);
  // The key, or prefix of keys, of this test alone.
  std::string Key(std::string_view suffix = "") const;
  std::unique_ptr<Client> NewClient(std::vector<int> of = {0, 1, 2}, ClientOptions options = {});
  // Polls until `reached`; a failure of the test when it is not in time.
  static void Await(const std::function<bool()>& reached, std::string_view what);
  // What a member's metrics say, summed over the labels; 0: nothing.
  double Metric(int member, std::string_view name);
  double SumOverMembers(std::string_view name);
  // A lease id that no other test uses.
  static int64_t NewLeaseId();
  // The TTL that one renewal through `member` answers.
  int64_t KeepAlive(int member, int64_t id);
};

}  // namespace keel::contract
