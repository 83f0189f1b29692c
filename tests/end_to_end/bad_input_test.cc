// What a person gets wrong when starting a member: one clear line, the right exit code, nothing changed on disk.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/end_to_end/fixture.h"
#include "tools/local_cluster/free_port.h"

namespace keel::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class BadInputTest : public ClusterTest {
 protected:
  // Runs keeld, which must end by itself.
  tools::CommandResult Keeld(std::vector<std::string> flags, std::vector<std::string> environment = {}) {
    flags.insert(flags.begin(), KEELD_PATH);
    auto result = tools::RunCommand({.argv = flags, .environment = environment}, absl::Seconds(20));
    if (!result.ok()) {
      ADD_FAILURE() << result.status();
      return {};
    }
    return *result;
  }

  // Every file below the directory, with its content.
  static std::map<std::string, std::string> Contents(const std::string& dir) {
    std::map<std::string, std::string> out;
    if (!fs::exists(dir)) return out;
    for (const auto& entry : fs::recursive_directory_iterator(dir)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      std::stringstream text;
      text << file.rdbuf();
      out[entry.path().string()] = text.str();
    }
    return out;
  }

  std::vector<std::string> OneMember(const std::string& data_dir, const std::string& name = "n1",
                                     const std::string& token = "t") {
    const auto client = tools::FreePort();
    const auto peer = tools::FreePort();
    const std::string client_url = absl::StrCat("http://127.0.0.1:", *client);
    const std::string peer_url = absl::StrCat("http://127.0.0.1:", *peer);
    return {"--name=" + name,
            "--data-dir=" + data_dir,
            "--listen-client-urls=" + client_url,
            "--advertise-client-urls=" + client_url,
            "--listen-peer-urls=" + peer_url,
            "--initial-advertise-peer-urls=" + peer_url,
            "--initial-cluster=" + name + "=" + peer_url,
            "--initial-cluster-token=" + token};
  }
};

TEST_F(BadInputTest, UnknownFlag) {
  const auto result = Keeld({"--no-such-flag"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("flag provided but not defined: -no-such-flag"));
}

TEST_F(BadInputTest, BadValues) {
  const std::string data = dir_.path() + "/data";
  struct Case {
    const char* name;
    std::vector<std::string> flags;
    const char* want;
  };
  const Case kCases[] = {
      {"malformed url",
       {"--listen-client-urls=127.0.0.1:1", "--advertise-client-urls=http://127.0.0.1:1"},
       "127.0.0.1:1"},
      {"url with a path", {"--listen-peer-urls=http://127.0.0.1:1/x"}, "http://127.0.0.1:1/x"},
      {"name not in the cluster", {"--name=x", "--initial-cluster=y=http://127.0.0.1:1"}, "couldn't find local name"},
      {"election shorter than five heartbeats", {"--election-timeout=300", "--heartbeat-interval=100"}, "election"},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    std::vector<std::string> flags = c.flags;
    flags.push_back("--data-dir=" + data);
    const auto result = Keeld(flags);
    EXPECT_EQ(result.exit_code, 1) << result.err;
    EXPECT_THAT(result.err, HasSubstr(c.want));
    EXPECT_FALSE(fs::exists(data));
  }
}

TEST_F(BadInputTest, PortInUse) {
  StartCluster(1);
  auto flags = cluster_->Flags(0);
  flags.erase(flags.begin());
  for (std::string& flag : flags) {
    if (flag.rfind("--data-dir=", 0) == 0) flag = "--data-dir=" + dir_.path() + "/other";
  }
  const auto result = Keeld(flags);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("address already in use"));
  EXPECT_TRUE(Contents(dir_.path() + "/other").empty());
}

TEST_F(BadInputTest, DataDirectoryInUse) {
  StartCluster(1);
  const auto result = Keeld(OneMember(cluster_->data_dir(0)));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr(cluster_->data_dir(0)));
  EXPECT_EQ(HttpGet(0, "/health").first, 200);
}

TEST_F(BadInputTest, DataDirectoryOfAnotherCluster) {
  StartCluster(1);
  cluster_->Signal(0, SIGTERM);
  ASSERT_TRUE(cluster_->process(0).Wait(absl::Seconds(10)).has_value());
  const auto before = Contents(cluster_->data_dir(0));
  const auto result = Keeld(OneMember(cluster_->data_dir(0), "n1", "another-token"));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("cluster"));
  EXPECT_EQ(Contents(cluster_->data_dir(0)), before);
}

TEST_F(BadInputTest, DamagedLogIsNamedAndLeftAlone) {
  StartCluster(1);
  if (!EtcdctlPath().empty()) {
    for (int i = 0; i < 20; ++i) EtcdctlOk({"put", absl::StrCat("k", i), std::string(1000, 'v')});
  }
  cluster_->Kill(0);
  // The first segment holds records; a byte early in it is in the middle of the log.
  std::vector<fs::path> segments;
  for (const auto& entry : fs::directory_iterator(cluster_->data_dir(0) + "/log")) segments.push_back(entry.path());
  std::sort(segments.begin(), segments.end());
  ASSERT_FALSE(segments.empty());
  const int fd = open(segments.front().c_str(), O_RDWR);
  ASSERT_GE(fd, 0);
  char byte = 0;
  ASSERT_EQ(pread(fd, &byte, 1, 6000), 1);
  byte = static_cast<char>(byte ^ 0x40);
  ASSERT_EQ(pwrite(fd, &byte, 1, 6000), 1);
  close(fd);
  const auto before = Contents(cluster_->data_dir(0) + "/log");
  auto flags = cluster_->Flags(0);
  flags.erase(flags.begin());
  const auto result = Keeld(flags);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr(segments.front().filename().string()));
  EXPECT_EQ(Contents(cluster_->data_dir(0) + "/log"), before);
}

TEST_F(BadInputTest, UnreadableDataDirectory) {
  // A file where the directory should be stands for "cannot be used" whoever runs the test, root included.
  const std::string path = dir_.path() + "/file";
  std::ofstream(path) << "not a directory";
  const auto result = Keeld(OneMember(path));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr(path));
}

TEST_F(BadInputTest, DiskFullAtStart) {
  const std::string mounted = dir_.path() + "/small";
  fs::create_directory(mounted);
  if (mount("keel-test", mounted.c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "mounting a small file system needs root";
  }
  const auto result = Keeld(OneMember(mounted + "/data"));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("No space left on device"));
  umount(mounted.c_str());
}

TEST_F(BadInputTest, SigtermEndsWithinASecond) {
  StartCluster(3);
  for (int i = 0; i < 3; ++i) {
    const absl::Time start = absl::Now();
    cluster_->Signal(i, SIGTERM);
    EXPECT_EQ(cluster_->process(i).Wait(absl::Seconds(10)), 128 + SIGTERM);
    EXPECT_LT(absl::Now() - start, absl::Milliseconds(1500));
  }
}

}  // namespace
}  // namespace keel::test
