// Reads of the keyspace over a source that counts what it is asked for.

#include "storage/state/keyspace_query.h"

#include <map>
#include <utility>

#include "gtest/gtest.h"

namespace keel::storage {
namespace {

// One key that is written, and now and then deleted, at every revision.
class OneKeySource final : public VersionSource {
 public:
  explicit OneKeySource(int64_t changes) {
    for (int64_t i = 0; i < changes; ++i) {
      const bool tombstone = i % 1000 == 999;
      const ChangeId change{Revision(2 + i), 0};
      version_ = tombstone ? 0 : version_ + 1;
      if (version_ == 1) create_ = change.revision;
      Record record;
      record.tombstone = tombstone;
      record.previous = latest_.mod;
      if (i > 0) record.lineage = lineage_.Next(latest_.mod);
      record.kv = std::make_shared<const std::string>(EncodeKeyValue(
          tombstone ? KeyValueFields{.key = "k", .mod = change.revision}
                    : KeyValueFields{
                          .key = "k", .create = create_, .mod = change.revision, .version = version_, .value = "v"}));
      lineage_ = record.lineage;
      latest_ = {.mod = change, .has_previous = i > 0, .create = tombstone ? Revision() : create_, .version = version_};
      records_.emplace(change, std::move(record));
    }
  }

  std::optional<IndexEntry> Latest(std::string_view key) const override {
    return key == "k" ? std::optional<IndexEntry>(latest_) : std::nullopt;
  }
  bool ReadEntries(const KeyInterval&, std::optional<std::string_view>, size_t, EntryChunk*) const override {
    return true;
  }
  bool Count(const KeyInterval&, Revision, IndexCount*) const override { return true; }
  absl::StatusOr<Record> Load(ChangeId change, Caching /*caching*/) const override {
    ++loads;
    auto it = records_.find(change);
    if (it == records_.end()) return absl::NotFoundError("no such record");
    return it->second;
  }
  absl::Status LoadMany(const std::vector<ChangeId>&, Caching, std::vector<Record>*) const override {
    return absl::UnimplementedError("not asked for");
  }
  void Forget(ChangeId change) { records_.erase(change); }

  mutable int loads = 0;

 private:
  std::map<ChangeId, Record> records_;
  IndexEntry latest_;
  Lineage lineage_;
  Revision create_{};
  int64_t version_ = 0;
};

TEST(KeyspaceQueryTest, AnOldRevisionOfAMuchRewrittenKeyIsFoundInFewSteps) {
  constexpr int64_t kChanges = 200000;
  OneKeySource source(kChanges);
  const Revision now(kChanges + 1);
  for (int64_t at = 2; at <= now.value(); at += at % 1000 < 5 || at % 1000 > 995 ? 1 : 613) {
    source.loads = 0;
    const KeyspaceQuery query(source, Revision(at), Revision(1));
    const auto facts = query.Find("k");
    ASSERT_TRUE(facts.ok()) << facts.status();
    ASSERT_EQ(facts->has_value(), (at - 2) % 1000 != 999) << at;
    if (facts->has_value()) {
      ASSERT_EQ((*facts)->mod.revision.value(), at);
      ASSERT_EQ((*facts)->version, (at - 2) % 1000 + 1);
    }
    // At most 15 at each of the levels below the fifth, a few of that, and the one that is found.
    ASSERT_LE(source.loads, 5 * 15 + 3) << at;
  }
}

TEST(KeyspaceQueryTest, NoShortcutLeadsBelowTheRevisionThatIsRead) {
  constexpr int64_t kChanges = 5000;
  // Compaction removes what was replaced below its revision: whatever is read above it needs none of that.
  constexpr int64_t kFloor = 4200;
  OneKeySource source(kChanges);
  for (int64_t revision = 2; revision < kFloor; ++revision) source.Forget({Revision(revision), 0});
  for (int64_t at = kFloor; at <= kChanges + 1; ++at) {
    const auto facts = KeyspaceQuery(source, Revision(at), Revision(kFloor)).Find("k");
    ASSERT_TRUE(facts.ok()) << at << ": " << facts.status();
    ASSERT_EQ(facts->has_value(), (at - 2) % 1000 != 999);
  }
}

}  // namespace
}  // namespace keel::storage
