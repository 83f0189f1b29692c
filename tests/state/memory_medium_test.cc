// The medium in memory keeps what a disk would keep.

#include "storage/state/memory_medium.h"

#include "store_fixture.h"

namespace keel::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class MemoryMediumTest : public ::testing::Test {
 protected:
  MemoryMediumTest() { Open(); }

  void Open() {
    StateOptions options;
    options.dir = "/state";
    options.medium = disk_;
    auto store = StateStore::Open(options);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  void CrashKeeping(size_t batches) {
    store_.reset();
    disk_->Crash([&](size_t unflushed) { return std::min(batches, unflushed); });
    Open();
  }

  void Put(const std::string& key, const std::string& value) {
    ApplyBatch batch = store_->BeginBatch();
    batch.BeginEntry({.index = store_->applied().index + 1, .term = 1});
    ASSERT_TRUE(batch.Put(PutOf(key, value), nullptr).ok());
    batch.EndEntry();
    ASSERT_TRUE(batch.Commit().ok());
  }
  std::vector<std::string> All() { return Pairs(Read(store_->View(), RangeOf(kFromKey, kFromKey))); }

  std::shared_ptr<MemoryMedium> disk_ = std::make_shared<MemoryMedium>();
  std::unique_ptr<StateStore> store_;
};

TEST_F(MemoryMediumTest, ACrashComesBackToAPrefixNoShorterThanWhatWasFlushed) {
  Put("a", "1");
  ASSERT_TRUE(store_->Flush().ok());
  EXPECT_EQ(store_->durable_applied().index, 1u);
  Put("b", "1");
  Put("a", "2");
  Put("c", "1");
  EXPECT_EQ(store_->durable_applied().index, 1u);

  CrashKeeping(2);
  EXPECT_THAT(All(), ElementsAre("a=2", "b=1"));
  EXPECT_EQ(store_->applied().index, 3u);
  EXPECT_EQ(store_->durable_applied().index, 3u);

  Put("a", "3");
  CrashKeeping(0);
  EXPECT_THAT(All(), ElementsAre("a=2", "b=1"));
}

TEST_F(MemoryMediumTest, ABackgroundFlushIsToldAndSurvives) {
  int told = 0;
  store_->SetFlushListener([&] { ++told; });
  Put("a", "1");
  Put("b", "1");
  disk_->FlushInBackground([](size_t unflushed) { return unflushed - 1; });
  EXPECT_EQ(told, 1);
  EXPECT_EQ(store_->durable_applied().index, 1u);
  CrashKeeping(0);
  EXPECT_THAT(All(), ElementsAre("a=1"));
}

TEST_F(MemoryMediumTest, TheDurableImageIsWhatACrashNowWouldLeave) {
  Put("a", "1");
  ASSERT_TRUE(store_->Flush().ok());
  Put("a", "2");
  StateOptions options;
  options.dir = "/state";
  options.medium = disk_->DurableImage();
  auto twin = StateStore::Open(options);
  ASSERT_TRUE(twin.ok()) << twin.status();
  EXPECT_THAT(Pairs(Read((*twin)->View(), RangeOf("a"))), ElementsAre("a=1"));
  EXPECT_THAT(All(), ElementsAre("a=2"));
}

TEST_F(MemoryMediumTest, ASnapshotCrossesToAnotherMedium) {
  Put("a", "1");
  ASSERT_TRUE(store_->Checkpoint("/checkpoint").ok());
  Put("a", "2");
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->Checkpoint("/checkpoint").status()));

  auto other = std::make_shared<MemoryMedium>();
  StateOptions options;
  options.dir = "/state";
  options.medium = other;
  auto receiver = StateStore::Open(options);
  ASSERT_TRUE(receiver.ok()) << receiver.status();
  EXPECT_FALSE((*receiver)->Install("/incoming").ok());
  ASSERT_TRUE(disk_->CopyTo("/checkpoint", "/incoming", other.get()).ok());
  ReadView before = (*receiver)->View();
  ASSERT_TRUE((*receiver)->Install("/incoming").ok());
  EXPECT_THAT(Pairs(Read((*receiver)->View(), RangeOf(kFromKey, kFromKey))), ElementsAre("a=1"));
  EXPECT_THAT(Pairs(Read(before, RangeOf(kFromKey, kFromKey))), IsEmpty());
  EXPECT_FALSE(other->Exists("/incoming"));
  EXPECT_EQ((*receiver)->durable_applied().index, 1u);
}

// Whatever the moment of the crash, an install has happened or it has not.
TEST_F(MemoryMediumTest, AnInstallIsWholeAfterACrashAtAnyOfItsSteps) {
  Put("a", "old");
  ASSERT_TRUE(store_->Flush().ok());
  auto sender_disk = std::make_shared<MemoryMedium>();
  StateOptions options;
  options.dir = "/state";
  options.medium = sender_disk;
  auto sender = StateStore::Open(options);
  ASSERT_TRUE(sender.ok());
  {
    ApplyBatch batch = (*sender)->BeginBatch();
    batch.BeginEntry({.index = 9, .term = 2});
    ASSERT_TRUE(batch.Put(PutOf("a", "new"), nullptr).ok());
    batch.EndEntry();
    ASSERT_TRUE(batch.Commit().ok());
  }
  ASSERT_TRUE((*sender)->Checkpoint("/checkpoint").ok());
  ASSERT_TRUE(sender_disk->CopyTo("/checkpoint", "/incoming", disk_.get()).ok());

  std::vector<std::shared_ptr<MemoryMedium>> images;
  disk_->SetStepListener([&](std::string_view) { images.push_back(disk_->DurableImage()); });
  ASSERT_TRUE(store_->Install("/incoming").ok());
  disk_->SetStepListener(nullptr);
  ASSERT_GE(images.size(), 2u);
  std::vector<std::string> found;
  for (const std::shared_ptr<MemoryMedium>& image : images) {
    StateOptions again = options;
    again.medium = image;
    auto store = StateStore::Open(again);
    ASSERT_TRUE(store.ok()) << store.status();
    const std::vector<std::string> pairs = Pairs(Read((*store)->View(), RangeOf("a")));
    ASSERT_EQ(pairs.size(), 1u);
    found.push_back(pairs.front());
    EXPECT_EQ((*store)->applied().index, pairs.front() == "a=new" ? 9u : 1u);
  }
  EXPECT_EQ(found.front(), "a=old");
  EXPECT_EQ(found.back(), "a=new");
}

TEST_F(MemoryMediumTest, IteratorsAndSnapshotsShowTheMomentTheyWereMade) {
  auto engine = disk_->OpenEngine("/engine", StateOptions(), nullptr);
  ASSERT_TRUE(engine.ok());
  auto put = [&](const std::string& value) {
    const std::unique_ptr<EngineBatch> batch = (*engine)->NewBatch();
    batch->PutMeta("k", value);
    batch->AddRecord({.revision = Revision(2), .sub = 0}, {.kv = std::make_shared<const std::string>(value)});
    ASSERT_TRUE((*engine)->Write(batch.get()).ok());
  };
  put("1");
  const std::unique_ptr<EngineIterator> meta = (*engine)->MetaIterator();
  const std::unique_ptr<EngineSnapshot> snapshot = (*engine)->Snapshot();
  put("2");
  meta->SeekToFirst();
  ASSERT_TRUE(meta->Valid());
  EXPECT_EQ(meta->value(), "1");
  for (const auto& [it, expected] : {std::pair((*engine)->HistIteratorAt(*snapshot).release(), "1"),
                                     std::pair((*engine)->HistIterator(ScanLength::kLong).release(), "2")}) {
    const std::unique_ptr<EngineIterator> hist(it);
    hist->SeekToFirst();
    ASSERT_TRUE(hist->Valid());
    EXPECT_TRUE(hist->value().ends_with(expected));
    hist->Next();
    EXPECT_FALSE(hist->Valid());
  }
}

TEST_F(MemoryMediumTest, ADirectoryIsHeldByOneStore) {
  StateOptions options;
  options.dir = "/state";
  options.medium = disk_;
  EXPECT_TRUE(absl::IsFailedPrecondition(StateStore::Open(options).status()));
}

}  // namespace
}  // namespace keel::storage
