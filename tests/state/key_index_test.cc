// The key index against a plain ordered map: keys of all lengths and shapes, whatever order they come and go in.

#include "storage/state/key_index.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/random.h"
#include "gtest/gtest.h"

namespace keel::storage {
namespace {

IndexEntry EntryOf(int64_t mod, int64_t create, int64_t version, int64_t lease = 0, int32_t sub = 0) {
  return {.mod = {Revision(mod), sub},
          .stored_bytes = static_cast<uint32_t>(mod % 100000),
          .create = Revision(create),
          .version = version,
          .lease = LeaseId(lease)};
}

bool Same(const IndexEntry& a, const IndexEntry& b) {
  return a.mod == b.mod && a.stored_bytes == b.stored_bytes && a.has_previous == b.has_previous &&
         a.create == b.create && a.version == b.version && a.lease == b.lease;
}

TEST(EncodedEntryTest, GoldenBytes) {
  struct Case {
    std::string name;
    IndexEntry entry;
    Lineage lineage;
    std::string hex;
  };
  Lineage deep{.depth = 300, .shortcuts = {}};
  deep.shortcuts[0] = {Revision(5), 1};
  deep.shortcuts[1] = {Revision(4), 0};
  IndexEntry everything = EntryOf(300, 200, 7, -2, 3);
  everything.has_previous = true;
  IndexEntry tombstone = EntryOf(9, 0, 0);
  tombstone.has_previous = true;
  const Case cases[] = {
      {"first version", EntryOf(300, 300, 1), {}, "00ac02ac02"},
      {"all there is", everything, deep, "1dac0203ac026407ac0205010400feffffffffffffff"},
      {"tombstone", tombstone, {.depth = 1, .shortcuts = {}}, "0a090901"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const EncodedEntry encoded(c.entry, c.lineage);
    std::string hex;
    for (char byte : encoded.bytes()) absl::StrAppendFormat(&hex, "%02x", static_cast<uint8_t>(byte));
    EXPECT_EQ(hex, c.hex);
    Lineage lineage;
    const char* end = nullptr;
    EXPECT_TRUE(Same(DecodeEntry(encoded.bytes().data(), &lineage, &end), c.entry));
    EXPECT_EQ(lineage, c.lineage);
    EXPECT_EQ(end, encoded.bytes().data() + encoded.bytes().size());
    EXPECT_EQ(SkipEntry(encoded.bytes().data()), end);
    size_t size = 0;
    EXPECT_TRUE(CheckEntry(std::string(encoded.bytes()) + "more", &size));
    EXPECT_EQ(size, encoded.bytes().size());
    for (size_t cut = 0; cut < encoded.bytes().size(); ++cut) {
      // Allocated at its exact size, so that a sanitizer sees a read behind its end.
      const std::vector<char> part(encoded.bytes().begin(), encoded.bytes().begin() + static_cast<ptrdiff_t>(cut));
      EXPECT_FALSE(CheckEntry({part.data(), part.size()}, &size)) << "cut at " << cut;
    }
  }
  size_t size = 0;
  EXPECT_FALSE(CheckEntry("\x20\x01\x01", &size)) << "unknown flag";
  EXPECT_FALSE(CheckEntry("\x06\x01\x01\x01\x01", &size)) << "a tombstone with a version";
}

TEST(LineageTest, ShortcutsLeadToTheNewestRecordsOfTheirLevel) {
  Lineage lineage;
  std::vector<ChangeId> chain = {{Revision(1000), 0}};
  for (int64_t i = 1; i <= 70000; ++i) {
    lineage = lineage.Next(chain.back());
    chain.push_back({Revision(1000 + i), 0});
    ASSERT_EQ(lineage.depth, static_cast<uint64_t>(i));
    if (i > 5000 && i % 977 != 0) continue;
    ASSERT_EQ(lineage.levels(), static_cast<size_t>((i > 16) + (i > 256) + (i > 4096) + (i > 65536)));
    for (size_t level = 0; level < lineage.levels(); ++level) {
      const int64_t span = static_cast<int64_t>(Lineage::SpanOf(level));
      ASSERT_EQ(lineage.shortcuts[level], chain[static_cast<size_t>((i - 1) / span * span)]) << i << " level " << level;
    }
  }
}

// What an index must hold: every key's current entry, and since when it has looked how.
class Model {
 public:
  struct Change {
    int64_t mod;
    IndexEntry entry;
  };
  void Set(const std::string& key, const IndexEntry& entry) {
    keys_[key].push_back({entry.mod.revision.value(), entry});
  }
  void Erase(const std::string& key) { keys_.erase(key); }
  const std::map<std::string, std::vector<Change>>& keys() const { return keys_; }

  // Keys of the interval that lived at `at`, or may have: nothing but their records can tell.
  std::pair<int64_t, int64_t> Count(const KeyInterval& interval, int64_t at) const {
    int64_t live = 0, unsure = 0;
    for (const auto& [key, changes] : keys_) {
      if (!interval.Contains(key)) continue;
      const IndexEntry& last = changes.back().entry;
      if (last.mod.revision.value() <= at || (last.is_live() && last.create.value() <= at)) {
        live += last.is_live() ? 1 : 0;
      } else if (last.has_previous) {
        ++unsure;
      }
    }
    return {live, unsure};
  }

 private:
  std::map<std::string, std::vector<Change>> keys_;
};

// Keys as users make them, and as they make trouble.
std::string RandomKey(Random* random) {
  switch (random->Below(8)) {
    case 0:
      return absl::StrFormat("/registry/pods/ns%03d/pod-%07d", random->Below(20), random->Below(400));
    case 1:
      return absl::StrCat("k", random->Below(500));
    case 2: {  // Bytes, also zero and 0xff.
      std::string key(random->Below(4) + 1, '\0');
      for (char& c : key) c = static_cast<char>(random->Chance(0.5) ? 0xff : random->Below(3));
      return key;
    }
    case 3:  // Long ones that differ at the end only.
      return absl::StrCat(std::string(300 + random->Below(3) * 100, 'p'), random->Below(60));
    case 4:  // Longer than a page stores.
      return absl::StrCat("big/", std::string(500 + random->Below(4) * 2000, 'b'), random->Below(20));
    case 5:  // One that is the beginning of another.
      return std::string(random->Below(700) + 1, 'x');
    default:
      return absl::StrFormat("/lease/%016x", random->Below(1500) * 0x9e3779b97f4a7c15u);
  }
}

KeyInterval RandomInterval(const std::string& a, const std::string& b, Random* random) {
  switch (random->Below(5)) {
    case 0:
      return {.first = a, .end = {}, .unbounded = true};
    case 1:
      return {.first = a, .end = {}, .single = true};
    case 2:
      return {.first = {}, .end = {}, .unbounded = true};
    default:
      return {.first = a, .end = b};
  }
}

class KeyIndexFuzzTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(KeyIndexFuzzTest, AnswersAsAnOrderedMapDoes) {
  const uint64_t seed = GetParam();
  SCOPED_TRACE(seed);
  Random random(seed);
  KeyIndex index;
  Model model;
  std::map<std::string, Lineage> lineages;
  int64_t now = 1;
  int64_t floor = 1;

  const auto check = [&] {
    const std::string a = RandomKey(&random), b = RandomKey(&random);
    const KeyInterval interval = RandomInterval(a, b, &random);
    // All entries, read in chunks of any size.
    EntryChunk chunk;
    std::vector<std::pair<std::string, IndexEntry>> read;
    std::optional<std::string> after;
    for (bool done = false; !done;) {
      chunk.Clear();
      done = index.Read(interval, after, random.Below(50) + 1, &chunk);
      for (size_t i = 0; i < chunk.size(); ++i) read.emplace_back(chunk.key(i), chunk.entry(i));
      if (chunk.size() > 0) after = std::string(chunk.key(chunk.size() - 1));
    }
    auto expected = read.begin();
    for (const auto& [key, changes] : model.keys()) {
      if (!interval.Contains(key)) continue;
      ASSERT_TRUE(expected != read.end());
      ASSERT_EQ(expected->first, key);
      ASSERT_TRUE(Same(expected->second, changes.back().entry)) << key;
      ++expected;
    }
    ASSERT_TRUE(expected == read.end());
    // Counts, now and then, in steps of any size.
    const int64_t at = random.Chance(0.5) ? now : random.Between(floor, now);
    IndexCount count;
    KeyInterval rest = interval;
    std::string resume;
    while (!index.Count(rest, Revision(at), random.Below(4), &count)) {
      ASSERT_GT(count.resume, rest.first);
      resume = count.resume;
      rest.first = resume;
    }
    const auto [live, unsure] = model.Count(interval, at);
    ASSERT_EQ(count.live, live) << "at " << at << " of " << now;
    ASSERT_EQ(static_cast<int64_t>(count.unsure.size()), unsure);
  };

  // Keys that were looked up together some changes ago: by them, too, keys are set.
  std::map<std::string, std::vector<KeyIndex::Lookup>> looked_up;
  std::vector<std::string> asked;
  const auto look_up = [&] {
    looked_up.clear();
    asked.clear();
    for (uint64_t n = random.Below(60); n > 0; --n) asked.push_back(RandomKey(&random));
    std::vector<KeyIndex::Lookup> lookups;
    for (const std::string& key : asked) lookups.emplace_back(key);
    index.LookUp(lookups);
    for (const KeyIndex::Lookup& lookup : lookups) {
      const auto expected = index.FindLatest(lookup.key());
      ASSERT_EQ(lookup.latest().has_value(), model.keys().contains(std::string(lookup.key())));
      ASSERT_EQ(lookup.latest().has_value(), expected.has_value());
      if (expected.has_value()) {
        ASSERT_TRUE(Same(lookup.latest()->entry, expected->entry));
        ASSERT_EQ(lookup.latest()->lineage, expected->lineage);
      }
      looked_up[std::string(lookup.key())].push_back(lookup);
    }
  };

  for (int step = 0; step < 30000; ++step) {
    if (random.Chance(0.01)) look_up();
    if (HasFatalFailure()) return;
    // Phases of growth and of decline.
    const bool shrinking = (step / 5000) % 2 == 1;
    if (shrinking && random.Chance(0.55) && !model.keys().empty()) {
      auto it = model.keys().lower_bound(RandomKey(&random));
      if (it == model.keys().end()) it = model.keys().begin();
      const std::string key = it->first;
      const ChangeId mod = it->second.back().entry.mod;
      index.Erase(key, {mod.revision, mod.sub + 1});
      ASSERT_TRUE(index.Find(key).has_value()) << "erased although it changed since";
      index.Erase(key, mod);
      ASSERT_FALSE(index.Find(key).has_value());
      model.Erase(key);
      lineages.erase(key);
      floor = now;  // Compaction removes only what no revision that can be read knows.
    } else {
      const bool by_lookup = !asked.empty() && random.Chance(0.5);
      const std::string key = by_lookup ? asked[random.Below(asked.size())] : RandomKey(&random);
      ++now;
      auto before = model.keys().find(key);
      IndexEntry entry = EntryOf(now, now, 1, random.Chance(0.1) ? 7 : 0, static_cast<int32_t>(random.Below(3)));
      Lineage lineage;
      if (before != model.keys().end()) {
        const IndexEntry& old = before->second.back().entry;
        entry.has_previous = true;
        lineage = lineages[key].Next(old.mod);
        if (random.Chance(0.3) && old.is_live()) {
          entry = {.mod = entry.mod, .stored_bytes = 40, .has_previous = true};
        } else if (old.is_live()) {
          entry.create = old.create;
          entry.version = old.version + random.Between(1, 1000000);  // Makes entries of all lengths.
        }
      }
      if (by_lookup) {
        index.Set(looked_up[key].front(), entry, lineage);
      } else {
        index.Set(key, entry, lineage);
      }
      model.Set(key, entry);
      lineages[key] = lineage;
      const auto found = index.FindLatest(key);
      ASSERT_TRUE(found.has_value());
      ASSERT_TRUE(Same(found->entry, entry));
      ASSERT_EQ(found->lineage, lineage);
    }
    ASSERT_EQ(index.size(), model.keys().size());
    if (random.Chance(0.02)) check();
    if (HasFatalFailure()) return;
    if (step % 5000 == 4999) {
      size_t live = 0;
      std::vector<std::string> leased, expected;
      for (const auto& [key, changes] : model.keys()) {
        if (changes.back().entry.is_live()) ++live;
        if (changes.back().entry.lease.value() != 0) expected.push_back(key);
      }
      EXPECT_EQ(index.live_keys(), live);
      index.ForEachLeased([&](std::string_view key, LeaseId) { leased.emplace_back(key); });
      EXPECT_EQ(leased, expected);
    }
  }
  // To the last one.
  while (!model.keys().empty()) {
    const auto it = model.keys().begin();
    index.Erase(it->first, it->second.back().entry.mod);
    model.Erase(it->first);
  }
  EXPECT_EQ(index.size(), 0u);
  EXPECT_EQ(index.live_keys(), 0u);
  check();
}

INSTANTIATE_TEST_SUITE_P(Seeds, KeyIndexFuzzTest, ::testing::Values(1, 2, 3, Random::EntropySeed() % 1000000));

class KeyIndexSizeTest : public ::testing::Test {
 protected:
  static std::string KeyOf(uint64_t i) { return absl::StrFormat("/registry/pod/ns%03d/pod-%07d", i % 1000, i); }
  static constexpr uint64_t kKeys = 200000;
};

TEST_F(KeyIndexSizeTest, AKeyTakesLittleMemoryInWhateverOrderItComes) {
  for (const char* order : {"ascending", "descending", "round robin", "random", "rewritten"}) {
    SCOPED_TRACE(order);
    std::vector<std::string> keys;
    for (uint64_t i = 0; i < kKeys; ++i) keys.push_back(KeyOf(i));
    ASSERT_EQ(keys[0].size(), 31u);
    Random random(7);
    const std::string name = order;
    if (name == "ascending") std::sort(keys.begin(), keys.end());
    if (name == "descending") std::sort(keys.rbegin(), keys.rend());
    if (name == "random" || name == "rewritten") {
      for (size_t i = keys.size(); i > 1; --i) std::swap(keys[i - 1], keys[random.Below(i)]);
    }
    KeyIndex index;
    int64_t now = 10000000;
    for (const std::string& key : keys) {
      ++now;
      index.Set(key, EntryOf(now, now, 1), {});
    }
    if (name == "rewritten") {
      for (int64_t round = 1; round <= 20; ++round) {
        for (const std::string& key : keys) {
          const auto latest = index.FindLatest(key);
          IndexEntry entry = EntryOf(++now, latest->entry.create.value(), latest->entry.version + 1);
          entry.has_previous = true;
          index.Set(key, entry, latest->lineage.Next(latest->entry.mod));
        }
      }
    }
    const double bytes_per_key = static_cast<double>(index.memory_bytes()) / static_cast<double>(kKeys);
    EXPECT_LT(bytes_per_key, 80);
    RecordProperty(name, absl::StrCat(bytes_per_key));
    std::printf("%s: %.1f bytes a key\n", order, bytes_per_key);
  }
}

TEST_F(KeyIndexSizeTest, MemoryOfErasedKeysIsUsedAgain) {
  KeyIndex index;
  int64_t now = 1;
  size_t first_bytes = 0;
  for (int round = 0; round < 4; ++round) {
    std::vector<std::pair<std::string, int64_t>> keys;
    for (uint64_t i = 0; i < kKeys; ++i) {
      keys.emplace_back(KeyOf(i * 7919 % kKeys), ++now);
      index.Set(keys.back().first, EntryOf(now, now, 1), {});
    }
    if (round == 0) first_bytes = index.memory_bytes();
    // All but a few, so that pages must be joined to become free.
    for (size_t i = 0; i < keys.size(); ++i) {
      if (i % 100 != 0) index.Erase(keys[i].first, {Revision(keys[i].second), 0});
    }
    EXPECT_EQ(index.size(), kKeys / 100);
  }
  EXPECT_LE(index.memory_bytes(), first_bytes + first_bytes / 5);
}

}  // namespace
}  // namespace keel::storage
