// What `cmake --install` puts in place is all that another project needs, and runs.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <optional>

#include "absl/strings/str_cat.h"
#include "keel/client.h"
#include "tools/local_cluster/local_cluster.h"

namespace keel {
namespace {

using ::testing::HasSubstr;

class InstallTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::string dir = (std::filesystem::temp_directory_path() / "keel_install.XXXXXX").string();
    ASSERT_NE(mkdtemp(dir.data()), nullptr);
    dir_ = new std::string(dir);
    Run({KEEL_CMAKE, "--install", KEEL_BUILD_DIR, "--prefix", Prefix()});
    std::filesystem::create_directories(absl::StrCat(dir, "/data"));
    auto cluster = tools::LocalCluster::Create(
        {.keeld = Prefix() + "/bin/keeld", .dir = dir + "/data", .members = 1, .extra_flags = {}});
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = new tools::LocalCluster(*std::move(cluster));
    ASSERT_TRUE(cluster_->StartAll().ok());
    auto client = Client::Create({.endpoints = {cluster_->endpoint(0)}});
    ASSERT_TRUE(client.ok()) << client.status();
    const auto ready = (*client)->kv().Get("ready", {}, {.timeout = absl::Minutes(1), .wait_for_ready = true});
    ASSERT_TRUE(ready.ok()) << ready.status() << cluster_->LogTails();
  }
  static void TearDownTestSuite() {
    delete cluster_;
    if (dir_ == nullptr) return;
    std::error_code ignored;
    std::filesystem::remove_all(*dir_, ignored);
    delete dir_;
  }

  static std::string Prefix() { return *dir_ + "/prefix"; }

  // What it printed; a failure ends the test with all of it.
  static std::string Run(const std::vector<std::string>& argv, const std::vector<std::string>& environment = {}) {
    const auto result = tools::RunCommand({.argv = argv, .environment = environment}, absl::Minutes(2));
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok()) return "";
    EXPECT_EQ(result->exit_code, 0) << argv[0] << " " << argv[1] << ": " << result->out << result->err;
    return result->out;
  }

  static void ExpectItWorks(const std::string& program) {
    EXPECT_EQ(Run({program, cluster_->endpoint(0)}), "example/greeting = hello\nwritten under the lock\n");
  }

  static std::string* dir_;
  static tools::LocalCluster* cluster_;
};

std::string* InstallTest::dir_ = nullptr;
tools::LocalCluster* InstallTest::cluster_ = nullptr;

TEST_F(InstallTest, TheInstalledCommandLineTalksToTheInstalledDaemon) {
  EXPECT_THAT(Run({Prefix() + "/bin/keelctl", "--endpoints", cluster_->endpoint(0), "endpoint", "health"}),
              HasSubstr("is healthy"));
}

TEST_F(InstallTest, PublicHeadersNeedNothingOfOurs) {
  for (const auto& entry : std::filesystem::directory_iterator(Prefix() + "/include/keel")) {
    EXPECT_EQ(entry.path().extension(), ".h") << entry.path();
  }
  EXPECT_FALSE(std::filesystem::exists(Prefix() + "/include/base"));
  EXPECT_FALSE(std::filesystem::exists(Prefix() + "/include/proto"));
}

TEST_F(InstallTest, TheExampleBuildsByFindPackageAndRuns) {
  const std::string build = *dir_ + "/by_cmake";
  Run({KEEL_CMAKE, "-S", KEEL_SOURCE_DIR "/client/example", "-B", build, "-DCMAKE_PREFIX_PATH=" + Prefix(),
       "-DCMAKE_CXX_COMPILER=" KEEL_CXX});
  Run({KEEL_CMAKE, "--build", build});
  ExpectItWorks(build + "/keel_example");
}

TEST_F(InstallTest, TheExampleBuildsByPkgConfigAndRuns) {
  const std::string program = *dir_ + "/by_pkg_config";
  std::string pkgconfig;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(Prefix())) {
    if (entry.path().filename() == "keel.pc") pkgconfig = entry.path().parent_path();
  }
  Run({"make", "-f", KEEL_SOURCE_DIR "/client/example/Makefile", "OUT=" + program, "CXX=" KEEL_CXX},
      {"PKG_CONFIG_PATH=" + pkgconfig});
  ExpectItWorks(program);
}

}  // namespace
}  // namespace keel
