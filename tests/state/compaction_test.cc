// Physical compaction in the smallest steps, against a store that has not begun with it.

#include <memory>

#include "base/random.h"
#include "gtest/gtest.h"
#include "storage/state/memory_medium.h"
#include "tests/state/store_fixture.h"

namespace keel::storage {
namespace {

using Change = std::function<void(ApplyBatch&)>;

class CompactionTest : public ::testing::Test {
 protected:
  // One entry, on both.
  void Apply(const Change& change) {
    for (StateStore* store : {compacting_.get(), waiting_.get()}) {
      ApplyBatch batch = store->BeginBatch();
      batch.BeginEntry({.index = store->applied().index + 1, .term = 1});
      change(batch);
      batch.EndEntry();
      ASSERT_TRUE(batch.Commit().ok());
    }
  }
  void Compact(Revision revision) {
    Apply([&](ApplyBatch& batch) { ASSERT_TRUE(batch.Compact(revision).ok()); });
  }
  static void Put(ApplyBatch& batch, const std::string& key) {
    ASSERT_TRUE(batch.Put(PutOf(key, "v"), nullptr).ok());
  }
  static void Delete(ApplyBatch& batch, const std::string& key, const std::string& end = "") {
    ASSERT_TRUE(batch.DeleteRange(DeleteOf(key, end), nullptr).ok());
  }

  bool Step() {
    const auto more = compacting_->CompactStep(1);
    EXPECT_TRUE(more.ok()) << more.status();
    return more.ok() && *more;
  }
  void ExpectEqualHashes() {
    const auto hash = compacting_->HashKv(Revision(0));
    const auto other = waiting_->HashKv(Revision(0));
    ASSERT_TRUE(hash.ok()) << hash.status();
    ASSERT_TRUE(other.ok()) << other.status();
    EXPECT_EQ(hash->hash, other->hash);
  }
  bool HasRecord(int64_t revision, int32_t sub) {
    return compacting_->RecordAt({.revision = Revision(revision), .sub = sub}).ok();
  }

  static std::unique_ptr<StateStore> Open() {
    StateOptions options;
    options.dir = "/state";
    options.value_cache_bytes = 0;
    options.medium = std::make_shared<MemoryMedium>();
    auto store = StateStore::Open(options);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  std::unique_ptr<StateStore> compacting_ = Open();
  std::unique_ptr<StateStore> waiting_ = Open();
};

TEST_F(CompactionTest, TheHashIsTheSameInTheMiddleOfTheCompactedRevision) {
  Apply([](ApplyBatch& batch) { Put(batch, "a"); });
  Apply([](ApplyBatch& batch) {
    Put(batch, "b");
    Delete(batch, "b");
    Delete(batch, "a");
  });
  Compact(Revision(3));
  for (bool more = true; more;) {
    more = Step();
    ExpectEqualHashes();
  }
}

TEST_F(CompactionTest, ACompactionThatOvertakesAnotherInTheMiddleOfARevisionLeavesNothingOfIt) {
  Apply([](ApplyBatch& batch) { Put(batch, "a"); });
  Apply([](ApplyBatch& batch) {
    Put(batch, "b");
    Delete(batch, "b");
    Delete(batch, "a");
  });
  Apply([](ApplyBatch& batch) { Put(batch, "c"); });
  Compact(Revision(3));
  Step();  // Revision 2.
  Step();  // Two of the changes of revision 3.
  Step();
  ASSERT_TRUE(HasRecord(3, 0));
  Compact(Revision(4));
  for (bool more = true; more;) {
    more = Step();
    ExpectEqualHashes();
  }
  for (const int32_t sub : {0, 1, 2}) EXPECT_FALSE(HasRecord(3, sub)) << sub;
  EXPECT_FALSE(HasRecord(2, 0));
  EXPECT_TRUE(HasRecord(4, 0));
}

// Revisions that change a key more than once, and compactions that overtake each other anywhere.
TEST_F(CompactionTest, TheHashIsTheSameWhereverCompactionStands) {
  const uint64_t seed = Random::EntropySeed();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  Random random(seed);
  for (int i = 0; i < 400; ++i) {
    Apply([&random, changes = random.Between(1, 4), at = random.Next()](ApplyBatch& batch) {
      Random choice(at);  // The same for both.
      for (int64_t n = 0; n < changes; ++n) {
        const std::string key = absl::StrCat("k", choice.Below(4));
        if (choice.Chance(0.5)) {
          Put(batch, key);
        } else {
          Delete(batch, key, choice.Chance(0.3) ? kFromKey : "");
        }
      }
    });
    if (random.Chance(0.3)) {
      const int64_t compacted = std::max<int64_t>(0, compacting_->compact_revision().value());
      const int64_t current = compacting_->current_revision().value();
      if (current > compacted) Compact(Revision(random.Between(compacted + 1, current)));
    }
    for (uint64_t n = random.Below(16); n > 0; --n) Step();
    ExpectEqualHashes();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace keel::storage
