// Seeded mutations of what is on disk and on the wire: whatever the bytes, an answer and no crash; and what is accepted
// is what was written, or a whole part of it.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "storage/log/raft_log.h"
#include "storage/snapshot/backup_file.h"
#include "storage/snapshot/snapshot_stream.h"
#include "tests/log/temp_dir.h"
#include "tests/sim/disk.h"

namespace keel::storage {
namespace {

namespace fs = std::filesystem;

using sim::SimDisk;

// Flips, overwrites, moves and cuts, a few at once.
void Mutate(Random* random, std::string* bytes) {
  for (uint64_t n = 1 + random->Below(4); n > 0 && !bytes->empty(); --n) {
    const size_t at = static_cast<size_t>(random->Below(bytes->size()));
    const size_t length = std::min<size_t>(static_cast<size_t>(random->Below(64)), bytes->size() - at);
    switch (random->Below(5)) {
      case 0:
        (*bytes)[at] = static_cast<char>((*bytes)[at] ^ (1 << random->Below(8)));
        break;
      case 1:
        for (size_t i = 0; i < length; ++i) (*bytes)[at + i] = static_cast<char>(random->Next());
        break;
      case 2:
        bytes->replace(at, length, length, random->Chance(0.5) ? '\0' : '\xff');
        break;
      case 3: {
        const size_t from = static_cast<size_t>(random->Below(bytes->size() - length + 1));
        bytes->replace(at, length, std::string(*bytes, from, length));
        break;
      }
      default:
        bytes->resize(at);
    }
  }
}

TEST(LogMutationTest, ADamagedLogIsRefusedOrCutButNeverInvents) {
  const uint64_t seed = Random::EntropySeed();
  SCOPED_TRACE(seed);
  Random random(seed);
  sim::Ledger ledger;
  SimDisk disk(1, &ledger);
  const RaftLogOptions options = {.dir = "/log",
                                  .segment_bytes = 8 << 10,
                                  .hasty_segment_bytes = 8 << 10,
                                  .spare_segments = 0,
                                  .spare_work = SpareWork::kByCaller,
                                  .disk = &disk};
  const auto payload_of = [](uint64_t index) {
    return absl::StrCat("entry ", index, std::string(index * 37 % 900, 'x'));
  };
  {
    auto log = RaftLog::Open(options);
    ASSERT_TRUE(log.ok());
    for (uint64_t i = 1; i <= 60; ++i) {
      raft::StableBatch batch;
      batch.hard_state = raft::HardState{.term = raft::Term(1), .commit = raft::Index(i - 1)};
      batch.entries.push_back({.id = {.term = raft::Term(1), .index = raft::Index(i)},
                               .type = raft::EntryType::kCommand,
                               .payload = raft::Payload(payload_of(i))});
      ASSERT_TRUE((*log)->Append(batch).ok());
    }
  }
  const auto good = disk.Save();
  const auto names = disk.List("/log");
  ASSERT_TRUE(names.ok());
  int refused = 0;
  int opened = 0;
  for (int round = 0; round < 2000; ++round) {
    disk.Load(*good);
    const std::string name = absl::StrCat("/log/", (*names)[static_cast<size_t>(random.Below(names->size()))]);
    std::string bytes;
    {
      auto file = disk.Open(name);
      ASSERT_TRUE(file.ok());
      auto whole = ReadWhole(**file);
      ASSERT_TRUE(whole.ok());
      bytes = *whole;
    }
    const size_t size = bytes.size();
    Mutate(&random, &bytes);
    ASSERT_TRUE(disk.Remove(name).ok());
    {
      auto file = disk.Create(name);
      ASSERT_TRUE(file.ok());
      ASSERT_TRUE((*file)->Write(0, bytes).ok());
    }
    ASSERT_LE(bytes.size(), size);
    auto log = RaftLog::Open(options);
    if (!log.ok()) {
      ++refused;
      EXPECT_NE(log.status().message().find("/log/"), absl::string_view::npos) << log.status();
      continue;
    }
    ++opened;
    if ((*log)->last_index() < (*log)->first_index()) continue;
    const auto entries = (*log)->Read((*log)->first_index(), (*log)->last_index(), SIZE_MAX);
    if (!entries.ok()) continue;
    for (const raft::Entry& entry : *entries) {
      ASSERT_EQ(entry.payload.view(), payload_of(entry.id.index.value())) << "round " << round;
    }
  }
  std::cout << "log mutations: " << refused << " refused, " << opened << " opened\n";
  EXPECT_GT(refused, 0);
  EXPECT_GT(opened, 0);
}

TEST(SnapshotMutationTest, ADamagedStreamNeverBecomesADirectory) {
  const uint64_t seed = Random::EntropySeed();
  SCOPED_TRACE(seed);
  Random random(seed);
  TempDir dir;
  fs::create_directory(dir / "from");
  for (const char* name : {"000012.sst", "CURRENT", "MANIFEST-000004", "OPTIONS-000007"}) {
    std::ofstream file(dir / "from/" + name, std::ios::binary);
    for (uint64_t n = random.Below(3000); n > 0; --n) file.put(static_cast<char>(random.Next()));
  }
  std::string good;
  {
    auto reader = SnapshotReader::Open(dir / "from");
    ASSERT_TRUE(reader.ok());
    while (true) {
      auto next = (*reader)->Next(4096);
      ASSERT_TRUE(next.ok());
      if (next->empty()) break;
      good += *next;
    }
  }
  for (int round = 0; round < 500; ++round) {
    std::string bytes = good;
    Mutate(&random, &bytes);
    const absl::Status status = UnpackSnapshot(bytes, dir / "to");
    EXPECT_EQ(status.ok(), bytes == good) << status;
    EXPECT_EQ(fs::exists(dir / "to"), status.ok());
    if (status.ok()) fs::remove_all(dir / "to");
  }
}

}  // namespace
}  // namespace keel::storage
