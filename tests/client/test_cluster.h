#pragma once

// Real servers for tests: processes on loopback with data folders of their own.

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "keel/client.h"

namespace keel::testing {

// The server binary that the environment asks for: KEEL_TEST_SERVER=keeld or etcd; by default keeld where it has been
// built, else etcd from PATH. kNotFound says what is missing.
absl::StatusOr<std::string> ServerBinary();

// Owned by one thread. The destructor kills what runs and removes the data.
class TestCluster {
 public:
  // Starts `members` servers and waits until each answers and one leads.
  static absl::StatusOr<std::unique_ptr<TestCluster>> Start(int members = 1);
  ~TestCluster();

  std::vector<std::string> endpoints() const;
  const std::string& endpoint(int member) const { return members_[member].endpoint; }

  // kill -9; returns when the process is gone.
  void Kill(int member);
  // Starts it again on its data and waits until it answers.
  absl::Status Restart(int member);
  // SIGSTOP, until it has stopped; and SIGCONT.
  void Pause(int member);
  void Resume(int member);

 private:
  struct Member {
    std::string name;
    std::string endpoint;
    std::string peer_url;
    std::string data_dir;
    std::string log;
    pid_t pid = 0;
  };

  TestCluster() = default;
  void Spawn(Member* member);
  absl::Status AwaitReady(Member* member);

  std::string binary_;
  std::string dir_;
  std::vector<Member> members_;
};

// A running command, such as `etcdctl lock`.
class Process {
 public:
  // Its standard output is read by ReadLine(). REQUIRES: argv not empty.
  explicit Process(const std::vector<std::string>& argv, const std::vector<std::string>& environment = {});
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Blocks for the next line; empty at the end.
  std::string ReadLine();
  void Signal(int signal);
  void Wait();

 private:
  pid_t pid_ = 0;
  int out_ = -1;
};

bool HasCommand(const std::string& name);

// Asks until it is so, for a minute.
template <typename Condition>
bool Eventually(Condition condition) {
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return true;
}

}  // namespace keel::testing

// For the start of a test: a cluster in `cluster`, or the test is skipped (no server at all) or fails.
#define KEEL_START_CLUSTER(cluster, members)                         \
  if (auto binary = ::keel::testing::ServerBinary(); !binary.ok()) { \
    GTEST_SKIP() << binary.status();                                 \
  }                                                                  \
  auto cluster##_or = ::keel::testing::TestCluster::Start(members);  \
  ASSERT_TRUE(cluster##_or.ok()) << cluster##_or.status();           \
  const std::unique_ptr<::keel::testing::TestCluster> cluster = *std::move(cluster##_or)
