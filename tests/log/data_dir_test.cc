#include "storage/data_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/log/temp_dir.h"

namespace keel::storage {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

const MemberIdentity kIdentity{
    .cluster_id = 0xcdf818194e3a8c32, .member_id = 0x1f, .name = "node 1", .directory_id = 0xd1, .starts = 0};

std::string Slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}
void Spill(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

TEST(DataDirTest, IsCreatedWithNothingButALockAndForItsOwnerOnly) {
  TempDir parent;
  const std::string path = parent / "a/b/data";
  auto dir = DataDir::Open(path + "/");
  ASSERT_TRUE(dir.ok()) << dir.status();
  EXPECT_EQ((*dir)->path(), path);
  EXPECT_EQ((*dir)->identity(), std::nullopt);
  EXPECT_EQ((*dir)->log_dir(), path + "/log");
  EXPECT_EQ((*dir)->state_dir(), path + "/state");
  EXPECT_EQ((*dir)->incoming_dir(), path + "/incoming");
  struct stat st;
  ASSERT_EQ(::stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0700u);
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(path)) names.push_back(file.path().filename());
  EXPECT_THAT(names, UnorderedElementsAre("LOCK"));
}

TEST(DataDirTest, KeepsASecondUserOutUntilTheFirstIsGone) {
  TempDir parent;
  auto first = DataDir::Open(parent / "data");
  ASSERT_TRUE(first.ok());
  const auto second = DataDir::Open(parent / "data");
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(second.status().ToString(), HasSubstr(parent / "data"));
  first->reset();
  EXPECT_TRUE(DataDir::Open(parent / "data").ok());
}

TEST(DataDirTest, IdentityIsWrittenOnceAndReadBack) {
  TempDir parent;
  {
    auto dir = DataDir::Open(parent / "data");
    ASSERT_TRUE((*dir)->WriteIdentity(kIdentity).ok());
    EXPECT_EQ((*dir)->identity(), kIdentity);
    EXPECT_TRUE((*dir)->WriteIdentity(kIdentity).ok());
    MemberIdentity other = kIdentity;
    other.member_id = 2;
    EXPECT_EQ((*dir)->WriteIdentity(other).code(), absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_EQ((*DataDir::Open(parent / "data"))->identity(), kIdentity);
  // Data on disk depends on this text.
  EXPECT_EQ(
      Slurp(parent / "data/MEMBER"),
      "keel-member 2\ncluster cdf818194e3a8c32\nmember 000000000000001f\nname node 1\ndirectory 00000000000000d1\n"
      "starts 0000000000000000\ncrc 37fa940f\n");
}

TEST(DataDirTest, EveryDirectoryHasAnIdOfItsOwn) {
  TempDir parent;
  MemberIdentity identity = kIdentity;
  identity.directory_id = 0;
  ASSERT_TRUE((*DataDir::Open(parent / "a"))->WriteIdentity(identity).ok());
  ASSERT_TRUE((*DataDir::Open(parent / "b"))->WriteIdentity(identity).ok());
  const uint64_t a = (*DataDir::Open(parent / "a"))->identity()->directory_id;
  const uint64_t b = (*DataDir::Open(parent / "b"))->identity()->directory_id;
  EXPECT_NE(a, 0u);
  EXPECT_NE(a, b);
}

TEST(DataDirTest, StartsAreCountedDurably) {
  TempDir parent;
  ASSERT_TRUE((*DataDir::Open(parent / "data"))->WriteIdentity(kIdentity).ok());
  for (uint64_t start = 1; start <= 3; ++start) {
    auto dir = DataDir::Open(parent / "data");
    ASSERT_TRUE((*dir)->CountStart().ok());
    EXPECT_EQ((*dir)->identity()->starts, start);
  }
  EXPECT_EQ((*DataDir::Open(parent / "data"))->identity()->starts, 3u);
}

TEST(DataDirTest, ANameMustStayOnItsLine) {
  TempDir parent;
  auto dir = DataDir::Open(parent / "data");
  MemberIdentity identity = kIdentity;
  identity.name = "two\nlines";
  EXPECT_EQ((*dir)->WriteIdentity(identity).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ((*dir)->identity(), std::nullopt);
}

TEST(DataDirTest, ADamagedIdentityIsDataLossWhateverTheByte) {
  TempDir parent;
  ASSERT_TRUE((*DataDir::Open(parent / "data"))->WriteIdentity(kIdentity).ok());
  const std::string path = parent / "data/MEMBER";
  const std::string good = Slurp(path);
  for (size_t i = 0; i <= good.size(); ++i) {
    SCOPED_TRACE(i);
    std::string bad = good;
    if (i < good.size()) {
      bad[i] = static_cast<char>(bad[i] ^ 2);
    } else {
      bad.clear();
    }
    Spill(path, bad);
    const auto dir = DataDir::Open(parent / "data");
    EXPECT_EQ(dir.status().code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(dir.status().ToString(), HasSubstr(path));
  }
  Spill(path, "keel-member 3\nwhatever\n");
  EXPECT_EQ(DataDir::Open(parent / "data").status().code(), absl::StatusCode::kFailedPrecondition);
  // A refused directory is not left locked.
  Spill(path, good);
  EXPECT_TRUE(DataDir::Open(parent / "data").ok());
}

TEST(DataDirTest, AnInterruptedWriteOfTheIdentityLeavesNone) {
  TempDir parent;
  std::filesystem::create_directory(parent / "data");
  Spill(parent / "data/MEMBER.tmp", "half of a");
  auto dir = DataDir::Open(parent / "data");
  EXPECT_EQ((*dir)->identity(), std::nullopt);
  EXPECT_TRUE((*dir)->WriteIdentity(kIdentity).ok());
}

TEST(DataDirTest, AFileInItsPlaceIsAnErrorThatNamesIt) {
  TempDir parent;
  Spill(parent / "data", "");
  EXPECT_THAT(DataDir::Open(parent / "data").status().ToString(), HasSubstr(parent / "data"));
  EXPECT_FALSE(DataDir::Open("").ok());
  if (::geteuid() != 0) {
    EXPECT_EQ(DataDir::Open("/proc/nowhere").status().code(), absl::StatusCode::kPermissionDenied);
  }
}

}  // namespace
}  // namespace keel::storage
