#include "server/watch/watcher_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/random.h"

namespace keel::server {
namespace {

std::unique_ptr<Watcher> MakeWatcher(uint64_t serial, KeyRange keys) {
  auto spec = std::make_shared<WatchSpec>();
  spec->keys = std::move(keys);
  auto watcher = std::make_unique<Watcher>();
  watcher->spec = spec;
  watcher->serial = serial;
  return watcher;
}

std::vector<uint64_t> Matches(const WatcherIndex& index, std::string_view key) {
  std::vector<uint64_t> serials;
  index.Match(key, [&](Watcher* watcher) { serials.push_back(watcher->serial); });
  return serials;
}

TEST(WatcherIndexTest, FindsKeysHalfOpenRangesAndOpenEnds) {
  WatcherIndex index;
  const auto key = MakeWatcher(1, {.kind = KeyRange::Kind::kKey, .begin = "b", .end = ""});
  const auto range = MakeWatcher(2, {.kind = KeyRange::Kind::kHalfOpen, .begin = "b", .end = "d"});
  const auto from = MakeWatcher(3, {.kind = KeyRange::Kind::kFromKey, .begin = "c", .end = ""});
  const auto twin = MakeWatcher(4, {.kind = KeyRange::Kind::kHalfOpen, .begin = "b", .end = "d"});
  for (const auto* w : {&key, &range, &from, &twin}) index.Insert(w->get());

  EXPECT_EQ(Matches(index, "a"), std::vector<uint64_t>());
  EXPECT_EQ(Matches(index, "b"), (std::vector<uint64_t>{1, 2, 4}));
  EXPECT_EQ(Matches(index, std::string("b\0", 2)), (std::vector<uint64_t>{2, 4}));
  EXPECT_EQ(Matches(index, "c"), (std::vector<uint64_t>{2, 4, 3}));
  EXPECT_EQ(Matches(index, "d"), (std::vector<uint64_t>{3}));
  EXPECT_EQ(Matches(index, "\xff\xff"), (std::vector<uint64_t>{3}));

  index.Erase(range.get());  // Its twin stays.
  EXPECT_EQ(Matches(index, "b"), (std::vector<uint64_t>{1, 4}));
  index.Erase(twin.get());
  index.Erase(key.get());
  index.Erase(from.get());
  EXPECT_EQ(Matches(index, "c"), std::vector<uint64_t>());
  EXPECT_EQ(index.size(), 0u);
}

TEST(WatcherIndexTest, AgreesWithTryingEveryWatcher) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Random random(seed);
    auto key = [&] { return std::string(1 + random.Below(2), static_cast<char>('a' + random.Below(12))); };
    WatcherIndex index;
    std::vector<std::unique_ptr<Watcher>> watchers;
    for (uint64_t step = 0; step < 600; ++step) {
      if (!watchers.empty() && random.Chance(0.4)) {
        const size_t victim = random.Below(watchers.size());
        index.Erase(watchers[victim].get());
        watchers.erase(watchers.begin() + static_cast<int64_t>(victim));
      } else {
        KeyRange keys{.kind = static_cast<KeyRange::Kind>(random.Below(3)), .begin = key(), .end = ""};
        if (keys.kind == KeyRange::Kind::kHalfOpen) keys.end = keys.begin + key();
        watchers.push_back(MakeWatcher(step, keys));
        index.Insert(watchers.back().get());
      }
      const std::string probe = key();
      std::multiset<uint64_t> expected;
      for (const auto& w : watchers) {
        if (w->spec->keys.Contains(probe)) expected.insert(w->serial);
      }
      const auto found = Matches(index, probe);
      ASSERT_EQ(std::multiset<uint64_t>(found.begin(), found.end()), expected) << probe;
      ASSERT_EQ(index.size(), watchers.size());
    }
  }
}

// The promise is a cost independent of the watchers of other keys; a linear scan of this many would take minutes.
TEST(WatcherIndexTest, WatchersOfOtherKeysDoNotSlowALookUpDown) {
  WatcherIndex index;
  std::vector<std::unique_ptr<Watcher>> watchers;
  for (uint64_t i = 0; i < 100000; ++i) {
    const std::string name = absl::StrCat("service/", i + 1000000, "/");
    watchers.push_back(MakeWatcher(i, {.kind = KeyRange::Kind::kHalfOpen, .begin = name, .end = name + "~"}));
    index.Insert(watchers.back().get());
  }
  size_t found = 0;
  for (int i = 0; i < 100000; ++i) {
    index.Match("service/1050000/x", [&](Watcher*) { ++found; });
  }
  EXPECT_EQ(found, 100000u);
  for (auto& watcher : watchers) index.Erase(watcher.get());
}

}  // namespace
}  // namespace keel::server
