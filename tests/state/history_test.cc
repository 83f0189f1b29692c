// History out of memory and from disk: watchers must see no difference.

#include <tuple>

#include "base/random.h"
#include "storage/state/recent_records.h"
#include "store_fixture.h"

namespace keel::storage {
namespace {

using Seen = std::tuple<ChangeId, bool, std::string, std::string, ChangeId>;

class HistoryTest : public StoreTest {
 protected:
  // The events of every revision, flattened.
  std::vector<Seen> History(int64_t first, int64_t last, size_t bytes_max) {
    auto revisions = store_->History(Revision(first), Revision(last), bytes_max);
    EXPECT_TRUE(revisions.ok()) << revisions.status();
    std::vector<Seen> seen;
    if (!revisions.ok()) return seen;
    Revision before(0);
    for (const RevisionEventsPtr& revision : *revisions) {
      EXPECT_LT(before, revision->revision);
      before = revision->revision;
      for (const Event& event : revision->events) {
        EXPECT_EQ(event.change.revision, revision->revision);
        seen.emplace_back(event.change, event.type == Event::Type::kDelete, event.key, *event.kv, event.previous);
      }
    }
    return seen;
  }

  void WriteSomething(int revisions) {
    for (int n = 0; n < revisions; ++n) {
      Apply([&](ApplyBatch& batch) {
        for (uint64_t changes = random_.Below(5) + 1; changes > 0; --changes) {
          const std::string key = absl::StrCat("key", random_.Below(40));
          if (random_.Chance(0.2)) {
            ASSERT_TRUE(batch.DeleteRange(DeleteOf(key), nullptr).ok());
          } else {
            ASSERT_TRUE(batch.Put(PutOf(key, std::string(random_.Below(200), 'v')), nullptr).ok());
          }
        }
      });
    }
  }

  Random random_{11};
};

TEST_F(HistoryTest, WhatIsInMemoryReadsAsItDoesFromDisk) {
  WriteSomething(1000);
  const int64_t now = store_->current_revision().value();
  struct Question {
    int64_t first;
    int64_t last;
    size_t bytes_max;
  };
  std::vector<Question> questions = {{1, now, SIZE_MAX}, {now, now, 1}, {now + 1, now + 5, SIZE_MAX}};
  for (int i = 0; i < 100; ++i) {
    const int64_t first = random_.Between(1, now);
    questions.push_back({first, random_.Between(first, now + 3), random_.Below(40000)});
  }
  std::vector<std::vector<Seen>> from_memory;
  for (const Question& q : questions) from_memory.push_back(History(q.first, q.last, q.bytes_max));
  Reopen();
  EXPECT_EQ(store_->sizes().cached_bytes, 0);
  for (size_t i = 0; i < questions.size(); ++i) {
    const Question& q = questions[i];
    SCOPED_TRACE(absl::StrCat("[", q.first, ", ", q.last, "] up to ", q.bytes_max, " bytes"));
    EXPECT_EQ(History(q.first, q.last, q.bytes_max), from_memory[i]);
  }
}

TEST_F(HistoryTest, TheOldPartComesFromDiskAndTheRestFromMemory) {
  WriteSomething(200);
  const std::vector<Seen> old = History(1, 1000, SIZE_MAX);
  Reopen();
  WriteSomething(200);
  const std::vector<Seen> all = History(1, 1000, SIZE_MAX);
  ASSERT_GT(all.size(), old.size());
  EXPECT_EQ(std::vector<Seen>(all.begin(), all.begin() + static_cast<ptrdiff_t>(old.size())), old);
  Reopen();
  EXPECT_EQ(History(1, 1000, SIZE_MAX), all);
}

TEST_F(HistoryTest, CompactionTakesTheSameOutOfMemoryAsFromDisk) {
  WriteSomething(300);
  const int64_t now = store_->current_revision().value();
  Compact(now - 50);
  CompactPhysically();
  for (const int64_t first : {now - 50, now - 49, now}) {
    SCOPED_TRACE(first);
    const std::vector<Seen> seen = History(first, now, SIZE_MAX);
    EXPECT_FALSE(seen.empty());
    Reopen();
    EXPECT_EQ(History(first, now, SIZE_MAX), seen);
  }
}

Record RecordOf(size_t bytes) {
  Record record;
  record.kv = std::make_shared<const std::string>(bytes, 'v');
  return record;
}

TEST(RecentRecordsTest, WhatIsGoneIsNotPassedOver) {
  RecentRecords recent(100 * CachedBytes(RecordOf(100)));
  EXPECT_FALSE(recent.Since({.revision = Revision(1), .sub = 0}, 10).has_value());
  std::vector<std::pair<ChangeId, Record>> used;
  for (int64_t revision = 1; revision <= 150; ++revision) {
    std::vector<std::pair<ChangeId, Record>> records;
    for (const int32_t sub : {0, 1}) records.emplace_back(ChangeId{Revision(revision), sub}, RecordOf(100));
    recent.Append(std::move(records), &used);
  }
  // The last hundred are there: revisions 101 to 150.
  EXPECT_FALSE(recent.Since({.revision = Revision(100), .sub = 1}, 10).has_value());
  const auto oldest = recent.Since({.revision = Revision(101), .sub = 0}, 1000);
  ASSERT_TRUE(oldest.has_value());
  EXPECT_EQ(oldest->size(), 100u);
  EXPECT_EQ(oldest->front().first, (ChangeId{Revision(101), 0}));
  EXPECT_EQ(oldest->back().first, (ChangeId{Revision(150), 1}));
  EXPECT_EQ(recent.Since({.revision = Revision(101), .sub = 1}, 7)->size(), 7u);
  EXPECT_EQ(recent.Since({.revision = Revision(150), .sub = 2}, 7)->size(), 0u);
  recent.Erase({.revision = Revision(120), .sub = 1});
  EXPECT_FALSE(recent.Since({.revision = Revision(101), .sub = 0}, 1000).has_value());
  EXPECT_EQ(recent.Since({.revision = Revision(121), .sub = 0}, 1000)->size(), 60u);
}

}  // namespace
}  // namespace keel::storage
