#pragma once

// A cluster of real processes for one test: started, waited for, and torn down with its directory.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tools/local_cluster/local_cluster.h"

namespace keel::test {

// A new directory below the system's place for such, removed with everything in it.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Writes what the members logged into the output of a test that failed.
class ClusterTest : public ::testing::Test {
 protected:
  void TearDown() override;

  // Starts the members and waits until each answers a linearizable read.
  void StartCluster(int members = 3, std::vector<std::string> extra_flags = {});
  void WaitHealthy();
  // True once `member` alone answers a linearizable read within `timeout`.
  bool Healthy(int member, absl::Duration timeout);
  // Which member leads, as the members say; waits for one.
  int Leader();

  // Debian's etcdctl against all members; "--endpoints" first.
  tools::CommandResult Etcdctl(std::vector<std::string> args, std::string stdin_text = "",
                               absl::Duration timeout = absl::Seconds(30));
  // The same, which must succeed; its stdout.
  std::string EtcdctlOk(std::vector<std::string> args, std::string stdin_text = "");
  // Starts a program in the background; its output goes to the file `output` of the test's directory.
  tools::ChildProcess Background(const std::string& program, std::vector<std::string> args, const std::string& output);
  // What such a file holds by now.
  std::string Read(const std::string& output) const;
  // Waits until it holds `text`.
  void WaitFor(const std::string& output, const std::string& text);
  // HTTP GET of a path on a member's client port: status and body.
  std::pair<int, std::string> HttpGet(int member, const std::string& path);

  // Every member's (revision, hash) agree; waits for laggards.
  void ExpectEqualHashes();

  TempDir dir_;
  std::unique_ptr<tools::LocalCluster> cluster_;
};

// "etcdctl" as installed, or empty: the test then says so and skips.
std::string EtcdctlPath();

}  // namespace keel::test
