#include "storage/state/hash_trail.h"

#include "tests/state/store_fixture.h"

namespace keel::storage {
namespace {

// The format: members of different versions compare these.
TEST(RunningHashTest, GoldenValues) {
  RunningHash hash;
  EXPECT_EQ(hash.value(), 0u);
  hash.Add('p', "key", "value");
  const uint64_t one = hash.value();
  hash.Add('d', "key");
  EXPECT_NE(hash.value(), one);
  RunningHash again;
  again.Add('p', "key", "value");
  EXPECT_EQ(again.value(), one);
  EXPECT_EQ(one, 0x2cd4da42aa5cecc9u);
}

TEST(RunningHashTest, KindOrderAndWhereThePartsMeetCount) {
  const auto of = [](std::vector<std::tuple<char, std::string, std::string>> changes) {
    RunningHash hash;
    for (const auto& [kind, first, second] : changes) hash.Add(kind, first, second);
    return hash.value();
  };
  EXPECT_NE(of({{'p', "a", "b"}}), of({{'d', "a", "b"}}));
  EXPECT_NE(of({{'p', "ab", "c"}}), of({{'p', "a", "bc"}}));
  EXPECT_NE(of({{'p', "a", ""}, {'p', "b", ""}}), of({{'p', "b", ""}, {'p', "a", ""}}));
  EXPECT_NE(of({{'p', "", ""}}), of({}));
}

TEST(HashTrailTest, KeepsTheNewestPlacesAndTheCurrentEntry) {
  HashTrail trail;
  std::vector<HashSample> samples;
  for (uint64_t i = 1; i <= HashTrail::kKept + 5; ++i) samples.push_back({.index = i * HashTrail::kEvery, .hash = i});
  trail.Extend(samples, {.index = samples.back().index + 3, .hash = 99});
  const std::vector<HashSample> kept = trail.Samples();
  ASSERT_EQ(kept.size(), HashTrail::kKept + 1);
  EXPECT_EQ(kept.front().index, 6 * HashTrail::kEvery);
  EXPECT_EQ(kept.back(), (HashSample{.index = samples.back().index + 3, .hash = 99}));
  trail.Extend({{.index = samples.back().index + HashTrail::kEvery, .hash = 7}},
               {.index = samples.back().index + HashTrail::kEvery, .hash = 7});
  EXPECT_EQ(trail.Samples().size(), HashTrail::kKept) << "the current entry is a place itself";
}

class StateHashTest : public StoreTest {
 protected:
  uint64_t Hash() { return store_->hash_samples().back().hash; }
};

TEST_F(StateHashTest, EveryChangeMovesItAndNothingElseDoes) {
  std::set<uint64_t> seen = {Hash()};
  const auto moves = [&](const std::function<void(ApplyBatch&)>& change) {
    Apply(change);
    EXPECT_TRUE(seen.insert(Hash()).second);
  };
  moves([](ApplyBatch& batch) { ASSERT_TRUE(batch.LeaseGrant(LeaseId(8), 30).ok()); });
  moves([](ApplyBatch& batch) { ASSERT_TRUE(batch.Put(PutOf("a", "1", 8), nullptr).ok()); });
  moves([](ApplyBatch& batch) { ASSERT_TRUE(batch.Put(PutOf("b", "1"), nullptr).ok()); });
  moves([](ApplyBatch& batch) { ASSERT_TRUE(batch.DeleteRange(DeleteOf("b"), nullptr).ok()); });
  moves([](ApplyBatch& batch) { batch.LeaseCheckpoint(LeaseId(8), 20); });
  moves([](ApplyBatch& batch) { ASSERT_TRUE(batch.RaiseAlarm(5, etcdserverpb::NOSPACE)); });
  moves([](ApplyBatch& batch) { ASSERT_TRUE(batch.DisarmAlarm(5, etcdserverpb::NOSPACE)); });
  moves([](ApplyBatch& batch) { ASSERT_TRUE(batch.Compact(Revision(3)).ok()); });
  moves([](ApplyBatch& batch) { ASSERT_TRUE(batch.LeaseRevoke(LeaseId(8)).ok()); });
  const uint64_t last = Hash();
  Apply([](ApplyBatch& batch) { EXPECT_FALSE(batch.Put(PutOf("x", "1", 77), nullptr).ok()); });
  Apply([](ApplyBatch&) {});
  CompactPhysically();
  EXPECT_EQ(Hash(), last);
  Reopen();
  EXPECT_EQ(Hash(), last);
}

TEST_F(StateHashTest, GroupingRestartsAndSnapshotsDoNotMatter) {
  TempDir other_dir;
  StateOptions options = Options();
  options.dir = other_dir.path() + "/state";
  auto other = StateStore::Open(options);
  ASSERT_TRUE(other.ok());
  const auto change = [](uint64_t index, ApplyBatch& batch) {
    batch.BeginEntry({.index = index, .term = 1});
    if (index % 7 == 0) {
      ASSERT_TRUE(batch.DeleteRange(DeleteOf("k1", "k5"), nullptr).ok());
    } else {
      ASSERT_TRUE(batch.Put(PutOf(absl::StrCat("k", index % 9), absl::StrCat("v", index)), nullptr).ok());
    }
    batch.EndEntry();
  };
  constexpr uint64_t kEntries = 3 * HashTrail::kEvery + 17;
  for (uint64_t index = 1; index <= kEntries; ++index) {
    {
      ApplyBatch batch = store_->BeginBatch();
      change(index, batch);
      ASSERT_TRUE(batch.Commit().ok());
    }
    if (index == 300) Reopen();
  }
  for (uint64_t index = 1; index <= kEntries;) {
    ApplyBatch batch = (*other)->BeginBatch();
    for (int i = 0; i < 50 && index <= kEntries; ++i) change(index++, batch);
    ASSERT_TRUE(batch.Commit().ok());
  }
  const std::vector<HashSample> theirs = (*other)->hash_samples();
  ASSERT_EQ(theirs.size(), 4u);
  EXPECT_EQ(theirs.back().index, kEntries);
  EXPECT_EQ(theirs[0].index, HashTrail::kEvery);
  // The trail of before the restart is gone; what came after is the same.
  EXPECT_EQ(store_->hash_samples(), std::vector<HashSample>(theirs.begin() + 1, theirs.end()));

  const std::string snapshot = dir_.path() + "/snapshot";
  ASSERT_TRUE((*other)->Checkpoint(snapshot).ok());
  ASSERT_TRUE(store_->Install(snapshot).ok());
  EXPECT_EQ(store_->hash_samples(), std::vector<HashSample>{theirs.back()});
}

}  // namespace
}  // namespace keel::storage
