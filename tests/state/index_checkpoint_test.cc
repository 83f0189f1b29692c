// The index file: what it holds, when it is believed, and that nobody can tell whether a start used it.

#include <fstream>
#include <sstream>

#include "absl/strings/escaping.h"
#include "base/random.h"
#include "plain_model.h"
#include "rocksdb/db.h"
#include "storage/state/index_file.h"
#include "storage/state/record.h"
#include "store_fixture.h"

namespace keel::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}
void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::vector<std::string> KeysOf(const KeyIndex& index) {
  EntryChunk chunk;
  EXPECT_TRUE(index.Read({.first = {}, .end = {}, .unbounded = true}, std::nullopt, size_t{1} << 30, &chunk));
  std::vector<std::string> keys;
  for (size_t i = 0; i < chunk.size(); ++i) keys.emplace_back(chunk.key(i));
  return keys;
}

class IndexFileTest : public ::testing::Test {
 protected:
  void Write(const KeyIndex& index, size_t dump_bytes) {
    auto writer = IndexFileWriter::Create(&Disk::Real(), path_, Revision(7));
    ASSERT_TRUE(writer.ok()) << writer.status();
    std::optional<std::string> after;
    for (bool done = false; !done;) {
      IndexDump dump;
      done = index.Dump(after, dump_bytes, &dump);
      if (dump.entries > 0) after = dump.last_key;
      ASSERT_TRUE((*writer)->Add(dump).ok());
    }
    ASSERT_TRUE((*writer)->End(Revision(9)).ok());
    ASSERT_TRUE((*writer)->Publish().ok());
  }

  TempDir dir_;
  const std::string path_ = dir_.path() + "/index";
};

TEST_F(IndexFileTest, GoldenBytes) {
  KeyIndex index;
  index.Set("ab", {.mod = {Revision(5), 0}, .stored_bytes = 40, .create = Revision(5), .version = 1}, {});
  index.Set("ac", {.mod = {Revision(6), 0}, .stored_bytes = 41, .has_previous = true}, {.depth = 1, .shortcuts = {}});
  Write(index, 1000);
  EXPECT_EQ(absl::BytesToHexString(ReadFile(path_)),
            "4b45454c2d494458"
            "01000000"
            "0700000000000000"
            "9fac1efb"  // Header.
            "01"
            "0e000000"
            "02"
            "01"
            "61"
            "0162000528"
            "01630a062901"
            "66200fdd"  // One block.
            "02"
            "0200000000000000"
            "0900000000000000"
            "bcf47f2b");  // End.
}

TEST_F(IndexFileTest, WhatIsLoadedIsWhatWasWritten) {
  Random random(5);
  KeyIndex index;
  for (int64_t i = 1; i <= 20000; ++i) {
    std::string key = absl::StrCat("/some/prefix/", random.Below(1000), "/", random.Next() % 100000);
    if (i % 100 == 0) key += std::string(random.Below(3000), 'x');
    IndexEntry entry{.mod = {Revision(i + 1), 0}, .stored_bytes = 40, .create = Revision(i + 1), .version = 1};
    if (i % 7 == 0) entry = {.mod = {Revision(i + 1), 0}, .stored_bytes = 30};
    if (i % 5 == 0 && entry.is_live()) entry.lease = LeaseId(i);
    index.Set(key, entry, {});
  }
  for (size_t dump_bytes : {size_t{1}, size_t{10000}, size_t{1} << 30}) {
    Write(index, dump_bytes);
    KeyIndex loaded;
    KeyIndex::Loader loader(&loaded, {Revision(5000), 0});
    auto facts = LoadIndexFile(&Disk::Real(), path_, &loader);
    ASSERT_TRUE(facts.ok()) << facts.status();
    EXPECT_EQ(facts->revision, Revision(7));
    EXPECT_EQ(facts->newest, Revision(9));
    EXPECT_EQ(loaded.size(), index.size());
    EXPECT_EQ(loaded.live_keys(), index.live_keys());
    const std::vector<std::string> keys = KeysOf(index);
    ASSERT_EQ(KeysOf(loaded), keys);
    size_t old_tombstones = 0;
    for (const std::string& key : keys) {
      const auto a = index.Find(key), b = loaded.Find(key);
      ASSERT_EQ(a->mod, b->mod);
      ASSERT_EQ(a->lease, b->lease);
      if (!a->is_live() && a->mod < ChangeId{Revision(5000), 0}) ++old_tombstones;
    }
    EXPECT_EQ(loader.old_tombstones().size(), old_tombstones);
    for (int i = 0; i < 200; ++i) {
      const std::string& a = keys[random.Below(keys.size())];
      const std::string& b = keys[random.Below(keys.size())];
      IndexCount before, after;
      const Revision at(random.Between(1, 20001));
      ASSERT_TRUE(index.Count({.first = a, .end = b}, at, 1u << 30, &before));
      ASSERT_TRUE(loaded.Count({.first = a, .end = b}, at, 1u << 30, &after));
      ASSERT_EQ(before.live, after.live);
    }
    // It goes on living as any other.
    for (const std::string& key : keys) {
      loaded.Set(key + "+", {.mod = {Revision(30000), 0}, .stored_bytes = 1, .create = Revision(30000), .version = 1},
                 {});
    }
    EXPECT_EQ(loaded.size(), 2 * keys.size());
  }
}

TEST_F(IndexFileTest, NoDamageGoesUnnoticed) {
  KeyIndex index;
  for (int64_t i = 2; i < 400; ++i) {
    index.Set(absl::StrCat("key", i * 7919 % 400, std::string(i == 77 ? 2000 : 0, 'x')),
              {.mod = {Revision(i), 0}, .stored_bytes = 40, .create = Revision(i), .version = 1}, {});
  }
  Write(index, 1000);
  const std::string good = ReadFile(path_);
  Random random(3);
  const auto load = [&](const std::string& bytes) {
    WriteFile(path_, bytes);
    KeyIndex loaded;
    absl::Status status;
    {
      KeyIndex::Loader loader(&loaded, ChangeId());
      status = LoadIndexFile(&Disk::Real(), path_, &loader).status();
    }
    EXPECT_EQ(loaded.size() == 0, !status.ok()) << "part of a damaged file";
    return status;
  };
  EXPECT_TRUE(load(good).ok());
  EXPECT_THAT(std::string(load(good + "x").message()), HasSubstr("something follows the end"));
  for (size_t i = 0; i < good.size(); i += i < 100 ? 1 : 1 + random.Below(20)) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ (1 << random.Below(8)));
    const absl::Status flipped = load(bad);
    EXPECT_TRUE(absl::IsDataLoss(flipped)) << "byte " << i << ": " << flipped;
    EXPECT_THAT(std::string(flipped.message()), HasSubstr("offset"));
    EXPECT_TRUE(absl::IsDataLoss(load(good.substr(0, i)))) << "cut at " << i;
  }
}

class IndexCheckpointTest : public ::testing::Test {
 protected:
  IndexCheckpointTest() { Open(); }

  void Open() {
    StateOptions options;
    options.dir = dir_.path() + "/state";
    options.index_checkpoint_changes = changes_;
    auto store = StateStore::Open(options);
    opened_ = store.status();
    if (store.ok()) store_ = *std::move(store);
  }
  void Close() {
    ASSERT_TRUE(store_->Close().ok());
    store_.reset();
  }
  void Reopen() {
    Close();
    Open();
    ASSERT_TRUE(opened_.ok()) << opened_;
  }
  void Apply(const std::function<void(ApplyBatch&)>& change) {
    ApplyBatch batch = store_->BeginBatch();
    batch.BeginEntry({.index = store_->applied().index + 1, .term = 1});
    change(batch);
    batch.EndEntry();
    ASSERT_TRUE(batch.Commit().ok());
  }
  void Put(const std::string& key, const std::string& value) {
    Apply([&](ApplyBatch& batch) { ASSERT_TRUE(batch.Put(PutOf(key, value), nullptr).ok()); });
  }
  void Delete(const std::string& key) {
    Apply([&](ApplyBatch& batch) { ASSERT_TRUE(batch.DeleteRange(DeleteOf(key), nullptr).ok()); });
  }
  void CompactAll() {
    Apply([&](ApplyBatch& batch) { ASSERT_TRUE(batch.Compact(store_->current_revision()).ok()); });
    for (bool more = true; more;) {
      auto step = store_->CompactStep(1000);
      ASSERT_TRUE(step.ok());
      more = *step;
    }
  }
  void Checkpoint() {
    for (bool more = true; more;) {
      auto step = store_->CheckpointIndexStep();
      ASSERT_TRUE(step.ok()) << step.status();
      more = *step;
    }
  }
  std::vector<std::string> All() { return Pairs(Read(store_->View(), RangeOf(kFromKey, kFromKey))); }
  std::string File() const { return dir_.path() + "/state/gen-1/index"; }

  int64_t changes_ = 5;
  TempDir dir_;
  absl::Status opened_;
  std::unique_ptr<StateStore> store_;
};

TEST_F(IndexCheckpointTest, IsWrittenWhenEnoughHasChanged) {
  for (int i = 0; i < 4; ++i) Put(absl::StrCat("k", i), "v");
  Checkpoint();
  EXPECT_FALSE(std::filesystem::exists(File()));
  Put("k4", "v");
  Checkpoint();
  ASSERT_TRUE(std::filesystem::exists(File()));
  const std::string first = ReadFile(File());
  Put("k5", "v");
  Checkpoint();
  EXPECT_EQ(ReadFile(File()), first) << "one change is not worth a new file";
  for (int i = 0; i < 5; ++i) Put("k6", "v");
  Checkpoint();
  EXPECT_NE(ReadFile(File()), first);
  EXPECT_FALSE(std::filesystem::exists(File() + ".tmp"));
}

TEST_F(IndexCheckpointTest, AStartReadsTheFileAndNotTheHistoryBeforeIt) {
  for (int i = 0; i < 9; ++i) Put(absl::StrCat("k", i), "v");
  Checkpoint();
  Put("k1", "new");
  Close();
  {
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(rocksdb::DBOptions(), dir_.path() + "/state/gen-1", {{"default", {}}, {"hist", {}}},
                                  &handles, &db)
                    .ok());
    ASSERT_TRUE(db->Put(rocksdb::WriteOptions(), handles[1], EncodeRecordKey({Revision(4), 0}), "junk").ok());
    for (auto* handle : handles) db->DestroyColumnFamilyHandle(handle);
    delete db;
  }
  Open();
  ASSERT_TRUE(opened_.ok()) << opened_;
  EXPECT_EQ(store_->sizes().live_keys, 9);
  EXPECT_THAT(Pairs(Read(store_->View(), RangeOf("k1"))), ElementsAre("k1=new"));
  EXPECT_THAT(Pairs(Read(store_->View(), RangeOf("k1", "", 5))), ElementsAre("k1=v"));
  Close();
  std::filesystem::remove(File());
  Open();
  EXPECT_TRUE(absl::IsDataLoss(opened_)) << "without the file the damage is met";
}

TEST_F(IndexCheckpointTest, ADamagedFileIsRemovedAndTheIndexMadeFromTheHistory) {
  for (int i = 0; i < 9; ++i) Put(absl::StrCat("k", i), "v");
  Checkpoint();
  std::string bytes = ReadFile(File());
  Close();
  bytes[bytes.size() / 2] ^= 1;
  WriteFile(File(), bytes);
  ::testing::internal::CaptureStderr();
  Open();
  const std::string log = ::testing::internal::GetCapturedStderr();
  ASSERT_TRUE(opened_.ok()) << opened_;
  EXPECT_THAT(log, HasSubstr("the index is rebuilt from the history"));
  EXPECT_THAT(log, HasSubstr("is damaged at offset"));
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1);
  EXPECT_FALSE(std::filesystem::exists(File()));
  EXPECT_EQ(All().size(), 9u);
}

TEST_F(IndexCheckpointTest, AFileFromAnotherTimeIsNotBelieved) {
  for (int i = 0; i < 5; ++i) Put(absl::StrCat("k", i), "v");
  Checkpoint();
  const std::string old = ReadFile(File());
  for (int i = 0; i < 5; ++i) Delete(absl::StrCat("k", i));
  Checkpoint();
  const std::string later = ReadFile(File());
  CompactAll();  // Nothing of the keys is left, and no notes that the old file would need.
  Put("last", "v");
  Close();
  WriteFile(File(), old);
  Open();
  ASSERT_TRUE(opened_.ok()) << opened_;
  EXPECT_THAT(All(), ElementsAre("last=v"));
  Close();

  // And one of a later time than the database, as after a crash that took something back.
  std::filesystem::remove_all(dir_.path() + "/state");
  Open();
  Put("first", "v");
  Close();
  WriteFile(File(), later);
  Open();
  ASSERT_TRUE(opened_.ok()) << opened_;
  EXPECT_THAT(All(), ElementsAre("first=v"));
}

TEST_F(IndexCheckpointTest, AKeyDeletedAndCompactedAfterwardsStaysDead) {
  for (const char* key : {"a", "b", "c", "d", "e"}) Put(key, "v");
  Checkpoint();
  Delete("b");
  Delete("d");
  CompactAll();
  Put("d", "again");
  Reopen();
  EXPECT_THAT(All(), ElementsAre("a=v", "c=v", "d=again", "e=v"));
  EXPECT_EQ(store_->sizes().live_keys, 4);
  Put("b", "again");
  EXPECT_EQ(Read(store_->View(), RangeOf("b")).kvs(0).version(), 1);
  // A newer file needs no notes of before, and none are kept.
  for (int i = 0; i < 5; ++i) Put("e", "v");
  Checkpoint();
  Close();
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  ASSERT_TRUE(rocksdb::DB::OpenForReadOnly(rocksdb::DBOptions(), dir_.path() + "/state/gen-1",
                                           {{"default", {}}, {"hist", {}}}, &handles, &db)
                  .ok());
  {
    std::unique_ptr<rocksdb::Iterator> it(db->NewIterator(rocksdb::ReadOptions(), handles[0]));
    it->Seek("gone/");
    EXPECT_FALSE(it->Valid() && it->key().starts_with("gone/"));
  }
  for (auto* handle : handles) db->DestroyColumnFamilyHandle(handle);
  delete db;
}

TEST_F(IndexCheckpointTest, ATombstoneThatCompactionPassedIsNotLoaded) {
  for (const char* key : {"a", "b", "c", "d"}) Put(key, "v");
  Delete("b");
  Checkpoint();
  Put("x", "v");
  CompactAll();
  Reopen();
  Put("b", "again");
  // As a key that never was: no pointer to a record that is gone.
  auto events = store_->History(Revision(store_->current_revision()), Revision(store_->current_revision()), 1 << 20);
  ASSERT_TRUE(events.ok());
  CompactAll();
  EXPECT_THAT(All(), ElementsAre("a=v", "b=again", "c=v", "d=v", "x=v"));
  const int64_t in_use = store_->sizes().in_use_bytes;
  Close();
  std::filesystem::remove(File());
  Open();
  EXPECT_EQ(store_->sizes().in_use_bytes, in_use);
}

TEST_F(IndexCheckpointTest, ADiskThatTakesNoFileIsNoReasonToStop) {
  // Something that cannot be removed stands where the file is to be made.
  std::filesystem::create_directories(File() + ".tmp/something");
  for (int i = 0; i < 5; ++i) Put(absl::StrCat("k", i), "v");
  Checkpoint();
  EXPECT_FALSE(std::filesystem::exists(File()));
  std::filesystem::remove_all(File() + ".tmp");
  for (int i = 0; i < 5; ++i) Put(absl::StrCat("k", i), "v");
  Checkpoint();
  EXPECT_TRUE(std::filesystem::exists(File()));
}

TEST_F(IndexCheckpointTest, ACleanStopLeavesAFile) {
  for (int i = 0; i < 9; ++i) Put(absl::StrCat("k", i), "v");
  Reopen();
  EXPECT_TRUE(std::filesystem::exists(File()));
  EXPECT_EQ(All().size(), 9u);
}

}  // namespace
}  // namespace keel::storage
