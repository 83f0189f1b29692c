#include "tests/sim/disk.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/sim/ledger.h"

namespace keel::sim {
namespace {

class SimDiskTest : public testing::Test {
 protected:
  std::unique_ptr<storage::DiskFile> Create(const std::string& path) {
    auto file = disk_.Create(path);
    EXPECT_TRUE(file.ok()) << file.status();
    return *std::move(file);
  }
  std::string Content(const std::string& path) {
    auto file = disk_.Open(path);
    if (!file.ok()) return "(none)";
    return *storage::ReadWhole(**file);
  }

  Ledger ledger_;
  SimDisk disk_{1, &ledger_};
};

TEST_F(SimDiskTest, AKilledProcessLosesNothing) {
  auto file = Create("d/a");
  ASSERT_TRUE(file->Write(0, "hello").ok());
  disk_.StopAfter(0);
  EXPECT_FALSE(file->Sync().ok());
  disk_.Restart();
  EXPECT_EQ(Content("d/a"), "hello");
}

TEST_F(SimDiskTest, APowerCutTakesWhatWasNotSynced) {
  auto file = Create("d/a");
  ASSERT_TRUE(disk_.SyncDir("d").ok());
  ASSERT_TRUE(file->Write(0, "hello").ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(file->Write(0, "HELLO, more").ok());
  disk_.PowerCut(SimDisk::Loss::kEverything);
  EXPECT_EQ(Content("d/a"), "hello");
}

TEST_F(SimDiskTest, ANameIsThereOnlyAfterSyncDir) {
  auto file = Create("d/a");
  ASSERT_TRUE(file->Write(0, "hello").ok());
  ASSERT_TRUE(file->Sync().ok());
  disk_.PowerCut(SimDisk::Loss::kEverything);
  EXPECT_EQ(Content("d/a"), "(none)");
}

TEST_F(SimDiskTest, ARenameThatWasNotSyncedIsUndone) {
  auto a = Create("d/a");
  ASSERT_TRUE(a->Write(0, "new").ok());
  ASSERT_TRUE(a->Sync().ok());
  auto b = Create("d/b");
  ASSERT_TRUE(b->Write(0, "old").ok());
  ASSERT_TRUE(b->Sync().ok());
  ASSERT_TRUE(disk_.SyncDir("d").ok());
  ASSERT_TRUE(disk_.Rename("d/a", "d/b").ok());
  EXPECT_EQ(Content("d/b"), "new");
  disk_.PowerCut(SimDisk::Loss::kEverything);
  EXPECT_EQ(Content("d/a"), "new");
  EXPECT_EQ(Content("d/b"), "old");
}

TEST_F(SimDiskTest, RandomLossWorksInSectors) {
  std::set<std::string> outcomes;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SimDisk disk(seed, &ledger_);
    auto file = *disk.Create("d/a");
    ASSERT_TRUE(disk.SyncDir("d").ok());
    ASSERT_TRUE(file->Write(0, std::string(3 * kSectorBytes, 'a')).ok());
    ASSERT_TRUE(file->Sync().ok());
    ASSERT_TRUE(file->Write(0, std::string(3 * kSectorBytes, 'b')).ok());
    disk.PowerCut(SimDisk::Loss::kRandomSectors);
    auto again = *disk.Open("d/a");
    const std::string content = *storage::ReadWhole(*again);
    std::string sectors;
    for (size_t i = 0; i < 3; ++i) {
      const std::string sector = content.substr(i * kSectorBytes, kSectorBytes);
      ASSERT_EQ(sector, std::string(kSectorBytes, sector[0]));
      sectors.push_back(sector[0]);
    }
    outcomes.insert(sectors);
  }
  EXPECT_EQ(outcomes.size(), 8u);
}

// The system reports a lost page once, then calls it clean.
TEST_F(SimDiskTest, AfterAFailedSyncTheNextOneProvesNothing) {
  auto file = Create("d/a");
  ASSERT_TRUE(disk_.SyncDir("d").ok());
  ASSERT_TRUE(file->Write(0, "hello").ok());
  disk_.FailNext(SimDisk::Fault::kSyncError);
  EXPECT_FALSE(file->Sync().ok());
  EXPECT_TRUE(file->Sync().ok());
  EXPECT_EQ(Content("d/a"), "hello");
  disk_.PowerCut(SimDisk::Loss::kNothing);
  EXPECT_NE(Content("d/a"), "hello");
}

TEST_F(SimDiskTest, WritingAgainAfterAFailedSyncCounts) {
  auto file = Create("d/a");
  ASSERT_TRUE(disk_.SyncDir("d").ok());
  ASSERT_TRUE(file->Write(0, "hello").ok());
  disk_.FailNext(SimDisk::Fault::kSyncError);
  EXPECT_FALSE(file->Sync().ok());
  ASSERT_TRUE(file->Write(0, "hello").ok());
  EXPECT_TRUE(file->Sync().ok());
  disk_.PowerCut(SimDisk::Loss::kEverything);
  EXPECT_EQ(Content("d/a"), "hello");
}

TEST_F(SimDiskTest, AFullDiskLetsNothingGrow) {
  auto file = Create("d/a");
  ASSERT_TRUE(file->Write(0, "hello").ok());
  disk_.SetFull(true);
  EXPECT_TRUE(file->Write(0, "HELLO").ok());
  EXPECT_TRUE(absl::IsResourceExhausted(file->Write(3, "hello")));
  EXPECT_TRUE(absl::IsResourceExhausted(disk_.Create("d/b").status()));
}

TEST_F(SimDiskTest, AnOlderImageComesBack) {
  auto file = Create("d/a");
  ASSERT_TRUE(file->Write(0, "old").ok());
  const auto image = disk_.Save();
  ASSERT_TRUE(file->Write(0, "new").ok());
  disk_.Load(*image);
  EXPECT_EQ(Content("d/a"), "old");
  disk_.PowerCut(SimDisk::Loss::kEverything);
  EXPECT_EQ(Content("d/a"), "old");
}

}  // namespace
}  // namespace keel::sim
