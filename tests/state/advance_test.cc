// Revisions that move without a change, and compactions that are cut off.

#include "storage/state/memory_medium.h"
#include "tests/state/store_fixture.h"

namespace keel::storage {
namespace {

class AdvanceTest : public StoreTest {};

TEST_F(AdvanceTest, EverythingBeforeIsCompactedAndStaysReadableAsOfNow) {
  Put("a", "1");
  Put("b", "1");
  Delete("b");
  const int64_t before = store_->current_revision().value();
  ASSERT_TRUE(store_->AdvanceRevision(Revision(before + 1000)).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(store_->AdvanceRevision(Revision(before + 1000))));
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    EXPECT_EQ(store_->current_revision().value(), before + 1000);
    EXPECT_EQ(store_->compact_revision().value(), before + 1000);
    EXPECT_EQ(Pairs(Range(RangeOf(kFromKey, kFromKey))), std::vector<std::string>{"a=1"});
    EXPECT_TRUE(absl::IsOutOfRange(RangeStatus(RangeOf("a", "", before))));
    EXPECT_TRUE(absl::IsOutOfRange(store_->History(Revision(before + 1), Revision(before + 1000), 1000).status()));
    EXPECT_TRUE(store_->History(Revision(before + 1000), Revision(before + 1000), 1000)->empty());
    // The tombstone was the newest change; it goes, and the revision does not.
    if (round == 0) CompactPhysically();
    if (round == 1) Reopen();
  }
  Put("c", "1");
  EXPECT_EQ(store_->current_revision().value(), before + 1001);
  Reopen();
  EXPECT_EQ(store_->current_revision().value(), before + 1001);
}

// Until nothing is left to do; how many steps it took.
int CompactAll(StateStore* store, int64_t at_once) {
  int steps = 0;
  while (true) {
    const auto more = store->CompactStep(at_once);
    EXPECT_TRUE(more.ok()) << more.status();
    ++steps;
    if (!more.ok() || !*more) return steps;
  }
}

TEST(CompactionResumeTest, ACrashInTheMiddleCostsNothingButTheStepsThatWereNotFlushed) {
  const auto fill = [](StateStore* store) {
    for (uint64_t index = 1; index <= 600; ++index) {
      ApplyBatch batch = store->BeginBatch();
      batch.BeginEntry({.index = index, .term = 1});
      if (index % 10 == 0) {
        ASSERT_TRUE(batch.DeleteRange(DeleteOf(absl::StrCat("k", index % 37)), nullptr).ok());
      } else {
        ASSERT_TRUE(batch.Put(PutOf(absl::StrCat("k", index % 40), absl::StrCat("v", index)), nullptr).ok());
      }
      batch.EndEntry();
      ASSERT_TRUE(batch.Commit().ok());
    }
    ApplyBatch batch = store->BeginBatch();
    batch.BeginEntry({.index = 601, .term = 1});
    ASSERT_TRUE(batch.Compact(Revision(500)).ok());
    batch.EndEntry();
    ASSERT_TRUE(batch.Commit().ok());
    ASSERT_TRUE(store->Flush().ok());
  };
  const auto open = [](const std::shared_ptr<MemoryMedium>& medium) {
    auto store = StateStore::Open({.dir = "/state", .medium = medium});
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  };
  const auto whole_medium = std::make_shared<MemoryMedium>();
  auto whole = open(whole_medium);
  fill(whole.get());
  const int steps = CompactAll(whole.get(), 50);
  ASSERT_GT(steps, 8);
  const uint32_t hash = whole->HashKv(Revision(0))->hash;
  const int64_t bytes = whole->sizes().in_use_bytes;

  for (int crash_after = 0; crash_after <= steps; ++crash_after) {
    for (const bool keep_all : {false, true}) {
      SCOPED_TRACE(absl::StrCat("crash after step ", crash_after, keep_all ? ", all kept" : ", flushed kept"));
      const auto medium = std::make_shared<MemoryMedium>();
      auto store = open(medium);
      fill(store.get());
      for (int step = 0; step < crash_after; ++step) {
        ASSERT_TRUE(store->CompactStep(50).ok());
        if (step == crash_after / 2) {
          ASSERT_TRUE(store->Flush().ok());
        }
      }
      store.reset();
      medium->Crash([keep_all](size_t unflushed) { return keep_all ? unflushed : 0; });
      store = open(medium);
      EXPECT_EQ(store->HashKv(Revision(0))->hash, hash) << "whatever has been removed";
      const int left = CompactAll(store.get(), 50);
      EXPECT_LE(left, steps - (crash_after > 0 ? crash_after / 2 : 0)) << "it went on where it was";
      EXPECT_EQ(store->compacted_physically().value(), 500);
      EXPECT_EQ(store->HashKv(Revision(0))->hash, hash);
      EXPECT_EQ(store->sizes().in_use_bytes, bytes);
    }
  }
}

}  // namespace
}  // namespace keel::storage
