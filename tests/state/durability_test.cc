// What survives: a clean stop, a crash, damage, a snapshot.

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "absl/synchronization/notification.h"
#include "base/random.h"
#include "plain_model.h"
#include "rocksdb/db.h"
#include "store_fixture.h"

namespace keel::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class DurabilityTest : public StoreTest {
 protected:
  std::string StateDir() const { return Options().dir; }
  std::vector<std::string> Names(const std::string& dir) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir)) names.push_back(entry.path().filename());
    return names;
  }
  // Changes the closed database of the current generation behind the store's back.
  void Tamper(const std::function<void(rocksdb::DB*, rocksdb::ColumnFamilyHandle* meta,
                                       rocksdb::ColumnFamilyHandle* hist)>& change) {
    ASSERT_TRUE(store_->Close().ok());
    store_.reset();
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* db = nullptr;
    rocksdb::Status status =
        rocksdb::DB::Open(rocksdb::DBOptions(), StateDir() + "/gen-1", {{"default", {}}, {"hist", {}}}, &handles, &db);
    ASSERT_TRUE(status.ok()) << status.ToString();
    change(db, handles[0], handles[1]);
    for (auto* handle : handles) db->DestroyColumnFamilyHandle(handle);
    delete db;
  }
};

TEST_F(DurabilityTest, DurablePositionFollowsFlushesOnly) {
  std::atomic<int> told = 0;
  store_->SetFlushListener([&] { ++told; });
  Put("a", "1");
  EXPECT_EQ(store_->applied().index, 1u);
  EXPECT_EQ(store_->durable_applied().index, 0u);
  ASSERT_TRUE(store_->Flush().ok());
  EXPECT_EQ(store_->durable_applied(), (AppliedPosition{.index = 1, .term = 1}));
  EXPECT_GT(told.load(), 0);
  Apply([](ApplyBatch&) {});  // A no-op entry counts as well.
  EXPECT_EQ(store_->durable_applied().index, 1u);
  Reopen();
  EXPECT_EQ(store_->durable_applied().index, 2u);
  EXPECT_EQ(store_->applied().index, 2u);
}

TEST_F(DurabilityTest, SecondOpenerIsRefused) {
  auto second = StateStore::Open(Options());
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status())) << second.status();
}

TEST_F(DurabilityTest, HistoryThatEndsElsewhereThanTheAppliedStateIsDataLoss) {
  Put("a", "1");
  Put("a", "2");
  Tamper([](rocksdb::DB* db, rocksdb::ColumnFamilyHandle*, rocksdb::ColumnFamilyHandle* hist) {
    std::string last("\0\0\0\0\0\0\0\3\0\0\0\0", 12);
    ASSERT_TRUE(db->Delete(rocksdb::WriteOptions(), hist, last).ok());
  });
  auto store = StateStore::Open(Options());
  EXPECT_TRUE(absl::IsDataLoss(store.status()));
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("ends at revision 2 but the applied state is at 3"));
}

TEST_F(DurabilityTest, ADamagedRecordIsDataLoss) {
  Put("a", "1");
  Tamper([](rocksdb::DB* db, rocksdb::ColumnFamilyHandle*, rocksdb::ColumnFamilyHandle* hist) {
    std::string first("\0\0\0\0\0\0\0\2\0\0\0\0", 12);
    ASSERT_TRUE(db->Put(rocksdb::WriteOptions(), hist, first, "\x08nonsense").ok());
  });
  EXPECT_TRUE(absl::IsDataLoss(StateStore::Open(Options()).status()));
}

TEST_F(DurabilityTest, ANewerFormatIsRefusedAndNamed) {
  Tamper([](rocksdb::DB* db, rocksdb::ColumnFamilyHandle* meta, rocksdb::ColumnFamilyHandle*) {
    ASSERT_TRUE(db->Put(rocksdb::WriteOptions(), meta, "format", std::string("\2\0\0\0", 4)).ok());
  });
  auto store = StateStore::Open(Options());
  EXPECT_TRUE(absl::IsFailedPrecondition(store.status()));
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("format 2"));
}

TEST_F(DurabilityTest, RevisionDoesNotFallBackAfterCompactionOfTheNewestTombstone) {
  Put("a", "1");
  Delete("a");
  Compact(3);
  CompactPhysically();
  Reopen();
  EXPECT_EQ(store_->current_revision(), Revision(3));
  Put("a", "2");
  EXPECT_EQ(Range(RangeOf("a")).kvs(0).mod_revision(), 4);
}

TEST_F(DurabilityTest, CompactionRemovesWhatIsDeadAndKeepsTheTombstoneAtTheFloor) {
  Put("a", "1");  // 2
  Put("a", "2");  // 3
  Put("b", "1");  // 4
  Delete("b");    // 5
  Put("c", "1");  // 6
  Delete("c");    // 7
  int64_t before = store_->sizes().in_use_bytes;
  Compact(7);
  CompactPhysically(2);
  EXPECT_TRUE(absl::IsNotFound(store_->RecordAt({Revision(2), 0}).status()));
  EXPECT_TRUE(store_->RecordAt({Revision(3), 0}).ok());
  EXPECT_TRUE(absl::IsNotFound(store_->RecordAt({Revision(4), 0}).status()));
  EXPECT_TRUE(absl::IsNotFound(store_->RecordAt({Revision(5), 0}).status()));
  EXPECT_TRUE(absl::IsNotFound(store_->RecordAt({Revision(6), 0}).status()));
  EXPECT_TRUE(store_->RecordAt({Revision(7), 0}).ok());
  EXPECT_LT(store_->sizes().in_use_bytes, before);
  auto history = store_->History(Revision(7), Revision(7), 1);
  ASSERT_TRUE(history.ok());
  ASSERT_EQ(history->size(), 1u);
  EXPECT_EQ((*history)[0]->events[0].key, "c");
  EXPECT_TRUE(absl::IsOutOfRange(store_->History(Revision(6), Revision(7), 1).status()));
  EXPECT_TRUE(absl::IsOutOfRange(store_->HashKv(Revision(6)).status()));
  EXPECT_TRUE(absl::IsOutOfRange(store_->HashKv(Revision(8)).status()));
  EXPECT_TRUE(store_->HashKv(Revision(7)).ok());
}

TEST_F(DurabilityTest, CompactedSpaceGoesBackToTheDisk) {
  const std::string value = [] {
    Random random(7);
    std::string bytes(1000, ' ');
    for (char& c : bytes) c = static_cast<char>(random.Below(256));
    return bytes;
  }();
  for (int round = 0; round < 40; ++round) {
    ApplyBatch batch = store_->BeginBatch();
    batch.BeginEntry({.index = store_->applied().index + 1, .term = 1});
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(batch.Put(PutOf(absl::StrCat("k", i), absl::StrCat(round, value)), nullptr).ok());
    }
    batch.EndEntry();
    ASSERT_TRUE(batch.Commit().ok());
  }
  ASSERT_TRUE(store_->Flush().ok());
  StateSizes before = store_->sizes();
  EXPECT_GT(before.in_use_bytes, 4000000);
  Compact(store_->current_revision().value());
  CompactPhysically();
  EXPECT_LT(store_->sizes().in_use_bytes, before.in_use_bytes / 20);
  ASSERT_TRUE(store_->Flush().ok());
  // RocksDB gives the bytes back in its own time.
  absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (store_->sizes().allocated_bytes > before.allocated_bytes / 4 && absl::Now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_LT(store_->sizes().allocated_bytes, before.allocated_bytes / 4);
}

TEST_F(DurabilityTest, HistoryIsCutBetweenRevisionsOnly) {
  Put("a", "1");
  Apply([](ApplyBatch& batch) {
    for (const char* key : {"x", "y", "z"}) ASSERT_TRUE(batch.Put(PutOf(key, "2"), nullptr).ok());
  });
  Put("b", "3");
  auto one = store_->History(Revision(2), Revision(100), 1);
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->size(), 1u);
  auto next = store_->History(Revision(3), Revision(100), 1);
  ASSERT_EQ(next->size(), 1u);
  EXPECT_EQ((*next)[0]->events.size(), 3u);
  EXPECT_GT((*next)[0]->bytes, 0u);
  EXPECT_EQ(store_->History(Revision(2), Revision(100), 1u << 20)->size(), 3u);
  EXPECT_EQ(store_->History(Revision(2), Revision(3), 1u << 20)->size(), 2u);
  EXPECT_TRUE(store_->History(Revision(5), Revision(100), 1)->empty());
}

TEST_F(DurabilityTest, CheckpointStandsForWhatWasAppliedWithoutAnyFlushBefore) {
  Put("a", "1");
  Put("b", "2");
  std::string copy = dir_.path() + "/copy";
  auto position = store_->Checkpoint(copy);
  ASSERT_TRUE(position.ok()) << position.status();
  EXPECT_EQ(position->index, 2u);
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->Checkpoint(copy).status()));
}

TEST_F(DurabilityTest, InstallReplacesTheStateAndViewsKeepTheOldOne) {
  // The sender, further ahead.
  TempDir sender_dir;
  std::string snapshot = dir_.path() + "/incoming";
  uint32_t sender_hash = 0;
  {
    StateOptions options = Options();
    options.dir = sender_dir.path() + "/state";
    auto sender = StateStore::Open(options);
    ASSERT_TRUE(sender.ok());
    for (uint64_t index = 1; index <= 9; ++index) {
      ApplyBatch batch = (*sender)->BeginBatch();
      batch.BeginEntry({.index = index, .term = 3});
      if (index == 1) {
        ASSERT_TRUE(batch.LeaseGrant(LeaseId(8), 30).ok());
      }
      ASSERT_TRUE(batch.Put(PutOf("shared", absl::StrCat("sent", index), 8), nullptr).ok());
      batch.EndEntry();
      ASSERT_TRUE(batch.Commit().ok());
    }
    ASSERT_TRUE((*sender)->Checkpoint(snapshot).ok());
    sender_hash = (*sender)->HashKv(Revision(0))->hash;
  }
  Put("shared", "old");
  Put("local", "old");
  {
    ReadView old = store_->View();
    absl::Status status = store_->Install(snapshot);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_FALSE(std::filesystem::exists(snapshot));

    EXPECT_EQ(store_->applied(), (AppliedPosition{.index = 9, .term = 3}));
    EXPECT_EQ(store_->durable_applied(), (AppliedPosition{.index = 9, .term = 3}));
    EXPECT_EQ(store_->HashKv(Revision(0))->hash, sender_hash);
    EXPECT_THAT(Pairs(Range(RangeOf(kFromKey, kFromKey))), ElementsAre("shared=sent9"));
    EXPECT_THAT(store_->LeaseKeys(LeaseId(8)), ElementsAre("shared"));
    EXPECT_THAT(Pairs(Read(old, RangeOf(kFromKey, kFromKey))), ElementsAre("local=old", "shared=old"));
    EXPECT_THAT(Names(StateDir()), UnorderedElementsAre("LOCK", "CURRENT", "gen-1", "gen-2"));
  }
  EXPECT_THAT(Names(StateDir()), UnorderedElementsAre("LOCK", "CURRENT", "gen-2"));
  Apply([](ApplyBatch& batch) { ASSERT_TRUE(batch.Put(PutOf("new", "x"), nullptr).ok()); });
  Reopen();
  EXPECT_EQ(store_->applied().index, 10u);
  EXPECT_THAT(Pairs(Range(RangeOf(kFromKey, kFromKey))), ElementsAre("new=x", "shared=sent9"));
}

// As soon as the new state is open, RocksDB compacts what it finds there and removes files, while their durability is
// being seen to.
TEST_F(DurabilityTest, AnInstallOutlivesTheCompactionOfWhatItInstalls) {
  for (uint64_t round = 1; round <= 5; ++round) {
    TempDir sender_dir;
    StateOptions options = Options();
    options.dir = sender_dir.path() + "/state";
    auto sender = StateStore::Open(options);
    ASSERT_TRUE(sender.ok());
    for (uint64_t index = 1; index <= 4; ++index) {
      ApplyBatch batch = (*sender)->BeginBatch();
      batch.BeginEntry({.index = 4 * round + index, .term = 3});
      ASSERT_TRUE(batch.Put(PutOf("k", absl::StrCat(index)), nullptr).ok());
      batch.EndEntry();
      ASSERT_TRUE(batch.Commit().ok());
      // One file each; the last is written by the checkpoint, and is the one too many.
      if (index == 4) break;
      ASSERT_TRUE((*sender)->Flush().ok());
    }
    const std::string snapshot = dir_.path() + "/incoming";
    ASSERT_TRUE((*sender)->Checkpoint(snapshot).ok());
    const absl::Status installed = store_->Install(snapshot);
    ASSERT_TRUE(installed.ok()) << "round " << round << ": " << installed;
    EXPECT_THAT(Pairs(Range(RangeOf(kFromKey, kFromKey))), ElementsAre("k=4"));
  }
}

TEST_F(DurabilityTest, AFailedInstallLeavesEverythingAsItWas) {
  Put("k", "1");
  std::string nothing = dir_.path() + "/nothing";
  EXPECT_FALSE(store_->Install(nothing).ok());
  std::filesystem::create_directory(nothing);
  EXPECT_FALSE(store_->Install(nothing).ok());
  EXPECT_TRUE(std::filesystem::exists(nothing));

  // A snapshot whose history was cut short fails its verification.
  std::string bad = dir_.path() + "/bad";
  Put("k", "2");
  ASSERT_TRUE(store_->Checkpoint(bad).ok());
  {
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(rocksdb::DBOptions(), bad, {{"default", {}}, {"hist", {}}}, &handles, &db).ok());
    std::string last("\0\0\0\0\0\0\0\3\0\0\0\0", 12);
    ASSERT_TRUE(db->Delete(rocksdb::WriteOptions(), handles[1], last).ok());
    for (auto* handle : handles) db->DestroyColumnFamilyHandle(handle);
    delete db;
  }
  EXPECT_TRUE(absl::IsDataLoss(store_->Install(bad)));
  EXPECT_TRUE(std::filesystem::exists(bad));
  EXPECT_THAT(Pairs(Range(RangeOf("k"))), ElementsAre("k=2"));
  Put("k", "3");
  Reopen();
  EXPECT_THAT(Pairs(Range(RangeOf("k"))), ElementsAre("k=3"));
}

TEST_F(DurabilityTest, LeftoversOfACrashedInstallAreRemoved) {
  Put("k", "1");
  ASSERT_TRUE(store_->Close().ok());
  store_.reset();
  std::filesystem::create_directory(StateDir() + "/gen-2");
  std::ofstream(StateDir() + "/CURRENT.tmp") << "gen-2\n";
  Open();
  EXPECT_THAT(Names(StateDir()), UnorderedElementsAre("LOCK", "CURRENT", "gen-1"));
  EXPECT_THAT(Pairs(Range(RangeOf("k"))), ElementsAre("k=1"));
}

TEST_F(DurabilityTest, ACurrentFileThatNamesNothingIsDataLoss) {
  ASSERT_TRUE(store_->Close().ok());
  store_.reset();
  std::ofstream(StateDir() + "/CURRENT") << "nonsense\n";
  EXPECT_TRUE(absl::IsDataLoss(StateStore::Open(Options()).status()));
  std::ofstream(StateDir() + "/CURRENT") << "gen-7\n";
  EXPECT_TRUE(absl::IsDataLoss(StateStore::Open(Options()).status()));
}

// Entries of `seed`, applied in groups of random size, with flushes in between; ends the process without any goodbye.
// Leaves the last durable position it was told in `report`.
[[noreturn]] void ApplyAndDie(uint64_t seed, const std::string& dir, const std::string& report) {
  Random random(seed);
  PlainModel model;
  StateOptions options;
  options.dir = dir;
  options.write_buffer_bytes = 64u << 10;
  options.index_checkpoint_changes = 60;
  options.index_checkpoint_step_bytes = 60;  // A key or two, so that many a file is in the making, or just made.
  auto store = StateStore::Open(options);
  if (!store.ok()) _exit(2);
  Random pace(seed + 1);
  const uint64_t last = 200 + pace.Below(600);
  uint64_t index = 0;
  while (index < last) {
    ApplyBatch batch = (*store)->BeginBatch();
    for (uint64_t n = 1 + pace.Below(8); n > 0; --n) {
      ModelEntry entry = RandomEntry(model, &random);
      model.Apply(entry);
      Execute(entry, ++index, &batch);
    }
    if (!batch.Commit().ok()) _exit(3);
    if (pace.Chance(0.05) && !(*store)->Flush().ok()) _exit(4);
    if (pace.Chance(0.1) && !(*store)->CompactStep(50).ok()) _exit(5);
    if (pace.Chance(0.7) && !(*store)->CheckpointIndexStep().ok()) _exit(6);
  }
  std::ofstream(report) << (*store)->durable_applied().index << std::flush;
  _exit(0);
}

TEST(CrashTest, ACrashComesBackToExactlyAPrefix) {
  // The child is this binary again, so that RocksDB's threads are its own; both ends know the directory by name.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const char* inherited = std::getenv("KEEL_STATE_CRASH_DIR");
  std::optional<TempDir> own;
  if (inherited == nullptr) {
    own.emplace();
    setenv("KEEL_STATE_CRASH_DIR", own->path().c_str(), 1);
  }
  const std::string base = inherited != nullptr ? inherited : own->path();
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    std::string dir = absl::StrCat(base, "/state", seed);
    std::string report = absl::StrCat(base, "/report", seed);
    EXPECT_EXIT(ApplyAndDie(seed, dir, report), ::testing::ExitedWithCode(0), "");

    uint64_t reported = 0;
    std::ifstream(report) >> reported;
    StateOptions options;
    options.dir = dir;
    auto store = StateStore::Open(options);
    ASSERT_TRUE(store.ok()) << store.status();
    EXPECT_EQ((*store)->applied().index, reported) << "what was called durable";
    EXPECT_GT(reported, 0u);

    Random random(seed);
    PlainModel model;
    for (uint64_t index = 1; index <= reported; ++index) model.Apply(RandomEntry(model, &random));
    EXPECT_EQ((*store)->current_revision().value(), model.revision());
    EXPECT_EQ((*store)->compact_revision().value(), model.compact_revision());
    ReadView view = (*store)->View();
    for (int64_t at = std::max<int64_t>(1, model.compact_revision()); at <= model.revision(); ++at) {
      etcdserverpb::RangeRequest request = RangeOf(kFromKey, kFromKey, at);
      ASSERT_EQ(Read(view, request).ShortDebugString(), model.Range(request, at).ShortDebugString());
    }
    std::set<int64_t> leases;
    for (const LeaseRecord& lease : (*store)->Leases()) leases.insert(lease.id.value());
    EXPECT_EQ(leases, model.leases());
  }
  if (inherited == nullptr) unsetenv("KEEL_STATE_CRASH_DIR");
}

// Readers, compaction, checkpoints and the apply thread at once; every read must be of one revision, whole.
TEST_F(DurabilityTest, ReadersSeeWholeRevisionsWhileEverythingElseRuns) {
  constexpr int kKeys = 700;  // More than one chunk of the index.
  auto write_all = [&](int round) {
    ApplyBatch batch = store_->BeginBatch();
    batch.BeginEntry({.index = store_->applied().index + 1, .term = 1});
    for (int i = 0; i < kKeys; ++i) {
      if ((round + i) % 3 == 0) {
        ASSERT_TRUE(batch.DeleteRange(DeleteOf(absl::StrCat("k", i)), nullptr).ok());
      } else {
        ASSERT_TRUE(batch.Put(PutOf(absl::StrCat("k", i), absl::StrCat(round)), nullptr).ok());
      }
    }
    if (round > 10) {
      ASSERT_TRUE(batch.Compact(store_->current_revision() - 3).ok());
    }
    batch.EndEntry();
    ASSERT_TRUE(batch.Commit().ok());
  };
  write_all(0);
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      while (!stop) {
        ReadView view = store_->View();
        int64_t round = view.revision().value() - 2;
        for (int64_t back : {0, 2}) {
          if (round - back < 0) continue;
          etcdserverpb::RangeResponse response;
          absl::Status status = view.Range(RangeOf(kFromKey, kFromKey, view.revision().value() - back), &response);
          ASSERT_TRUE(status.ok()) << status;
          std::string expected = absl::StrCat(round - back);
          int64_t live = 0;
          for (int i = 0; i < kKeys; ++i) live += (round - back + i) % 3 != 0 ? 1 : 0;
          ASSERT_EQ(response.count(), live);
          for (const auto& kv : response.kvs()) ASSERT_EQ(kv.value(), expected);
        }
      }
    });
  }
  threads.emplace_back([&] {
    while (!stop) {
      ASSERT_TRUE(store_->CompactStep(200).ok());
      ASSERT_TRUE(store_->HashKv(Revision(0)).ok());
    }
  });
  for (int round = 1; round < 60; ++round) write_all(round);
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace keel::storage
