// Golden bytes: what is on disk does not change by accident.

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"
#include "storage/state/meta_codec.h"
#include "storage/state/record.h"
#include "storage/state/value_cache.h"

namespace keel::storage {
namespace {

std::string Hex(const std::string& bytes) { return absl::BytesToHexString(bytes); }

TEST(RecordCodecTest, KeySortsByRevisionThenSub) {
  EXPECT_EQ(Hex(EncodeRecordKey({Revision(0x0102), 3})), "000000000000010200000003");
  EXPECT_LT(EncodeRecordKey({Revision(255), 9}), EncodeRecordKey({Revision(256), 0}));
  EXPECT_EQ(DecodeRecordKey(EncodeRecordKey({Revision(7), 8})), (ChangeId{Revision(7), 8}));
  EXPECT_FALSE(DecodeRecordKey("short").has_value());
  EXPECT_FALSE(DecodeRecordKey(std::string(12, '\0')).has_value());
}

TEST(RecordCodecTest, TheKeyOfAPairIsFoundWithoutTheRest) {
  const std::string pair = EncodeKeyValue({.key = std::string(300, 'k'), .mod = Revision(7), .value = "v"});
  EXPECT_EQ(KeyOfKeyValue(pair), std::string(300, 'k'));
  EXPECT_EQ(KeyOfKeyValue(pair).data(), pair.data() + 3) << "a copy";
  EXPECT_EQ(KeyOfKeyValue(EncodeKeyValue({.key = {}, .mod = Revision(7), .value = "v"})), "");
}

TEST(RecordCodecTest, HeaderNamesThePreviousRecord) {
  Record record;
  record.kv = std::make_shared<const std::string>("kv");
  EXPECT_EQ(Hex(EncodeRecordHeader(record)), "00");
  record.tombstone = true;
  record.previous = {Revision(0x0a0b), 2};
  record.previous_bytes = 77;
  record.lineage.depth = 1;
  EXPECT_EQ(Hex(EncodeRecordHeader(record)), "030b0a000000000000020000004d00000001");
  std::optional<RecordView> view = DecodeRecord(EncodeRecordHeader(record) + *record.kv);
  ASSERT_TRUE(view.has_value());
  EXPECT_TRUE(view->tombstone);
  EXPECT_EQ(view->previous, record.previous);
  EXPECT_EQ(view->previous_bytes, 77u);
  EXPECT_EQ(view->kv, "kv");
  EXPECT_EQ(StoredBytes(record), 12u + 18u + 2u);
  EXPECT_EQ(StoredBytes(EncodeRecordHeader(record) + *record.kv), StoredBytes(record));
}

TEST(RecordCodecTest, ADeepRecordHasShortcutsToItsOlderOnes) {
  Record record;
  record.kv = std::make_shared<const std::string>("kv");
  record.previous = {Revision(0x0a0b), 0};
  record.lineage.depth = 257;
  record.lineage.shortcuts[0] = {Revision(0x0a0b), 0};
  record.lineage.shortcuts[1] = {Revision(5), 3};
  const std::string header = EncodeRecordHeader(record);
  EXPECT_EQ(Hex(header),
            "020b0a0000000000000000000000000000"
            "8102"
            "8b1400"
            "0503");
  std::optional<RecordView> view = DecodeRecord(header + *record.kv);
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->lineage, record.lineage);
  EXPECT_EQ(view->kv, "kv");
  EXPECT_EQ(StoredBytes(header + *record.kv), StoredBytes(record));
  for (size_t cut = 1; cut < header.size(); ++cut) EXPECT_FALSE(DecodeRecord(header.substr(0, cut)).has_value()) << cut;
}

TEST(RecordCodecTest, DamageIsNoticed) {
  EXPECT_FALSE(DecodeRecord("").has_value());
  EXPECT_FALSE(DecodeRecord("\x04").has_value()) << "unknown flag";
  EXPECT_FALSE(DecodeRecord("\x02short").has_value());
  EXPECT_FALSE(DecodeKeyValue("\x0a\x05"
                              "abc")
                   .has_value())
      << "shorter than it says";
  EXPECT_FALSE(DecodeKeyValue("\x18\x01\x10\x01").has_value()) << "out of order";
  EXPECT_FALSE(DecodeKeyValue("\x3a\x01x").has_value()) << "unknown field";
}

TEST(RecordCodecTest, KeyValueIsProtobufByteForByte) {
  struct Case {
    std::string name, key, value;
    int64_t create, mod, version, lease;
  };
  const Case cases[] = {
      {"usual", "foo", "bar", 2, 3, 2, 0},
      {"lease", "foo", "bar", 2, 300, 2, 1234567890123},
      {"negative lease", "foo", "", 2, 3, 2, -5},
      {"tombstone", "foo", "", 0, 9, 0, 0},
      {"zero bytes", std::string("\0\0", 2), std::string("\0", 1), 1, 1, 1, 1},
      {"long", std::string(300, 'k'), std::string(70000, 'v'), 1 << 20, INT64_MAX, 128, INT64_MIN},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    mvccpb::KeyValue message;
    message.set_key(c.key);
    message.set_value(c.value);
    message.set_create_revision(c.create);
    message.set_mod_revision(c.mod);
    message.set_version(c.version);
    message.set_lease(c.lease);
    std::string bytes = EncodeKeyValue({.key = c.key,
                                        .create = Revision(c.create),
                                        .mod = Revision(c.mod),
                                        .version = c.version,
                                        .value = c.value,
                                        .lease = LeaseId(c.lease)});
    EXPECT_EQ(bytes, message.SerializeAsString());
    std::optional<KeyValueFields> fields = DecodeKeyValue(bytes);
    ASSERT_TRUE(fields.has_value());
    mvccpb::KeyValue filled;
    FillKeyValue(*fields, WithValue::kYes, &filled);
    EXPECT_EQ(filled.SerializeAsString(), bytes);
  }
}

TEST(MetaCodecTest, PointIsOneValue) {
  StatePoint point{.applied = {.index = 1, .term = 2},
                   .current = Revision(4),
                   .compact = Revision(-1),
                   .hash = 0xfe,
                   .written_bytes = 9};
  EXPECT_EQ(Hex(EncodePoint(point)),
            "0100000000000000"
            "0200000000000000"
            "0400000000000000"
            "ffffffffffffffff"
            "fe00000000000000"
            "0900000000000000");
  EXPECT_EQ(DecodePoint(EncodePoint(point)), point);
  EXPECT_FALSE(DecodePoint("short").has_value());
  point.compact = Revision(5);
  EXPECT_FALSE(DecodePoint(EncodePoint(point)).has_value()) << "compacted beyond the present";
}

TEST(MetaCodecTest, CompactionMembersAlarmsLeases) {
  CompactionProgress progress{.next = {Revision(5), 1}, .finished = Revision(4), .freed_bytes = 6};
  EXPECT_EQ(Hex(EncodeCompaction(progress)),
            "0500000000000000"
            "01000000"
            "0400000000000000"
            "0600000000000000");
  EXPECT_EQ(Hex(GoneKey("k")), "676f6e652f6b");
  EXPECT_EQ(Hex(EncodeChange({Revision(5), 1})), "050000000000000001000000");
  EXPECT_EQ(DecodeChange(EncodeChange({Revision(5), 1})), (ChangeId{Revision(5), 1}));
  EXPECT_FALSE(DecodeChange(EncodeChange({Revision(0), 1})).has_value());
  EXPECT_EQ(DecodeCompaction(EncodeCompaction(progress)), progress);
  progress.stopped_at = Revision(5);
  EXPECT_EQ(Hex(EncodeCompaction(progress)).substr(56), "0500000000000000");
  EXPECT_EQ(DecodeCompaction(EncodeCompaction(progress)), progress);

  EXPECT_EQ(Hex(EncodeFormat(kFormat)), "01000000");
  EXPECT_EQ(Hex(MemberKey(1)),
            "6d656d6265722f"
            "0000000000000001");
  MemberRecord member{.id = 3, .name = "n", .peer_urls = {"p"}, .client_urls = {"c"}, .learner = true};
  EXPECT_EQ(Hex(EncodeMember(member)),
            "0803"
            "12016e"
            "1a0170"
            "220163");  // Who is a learner, the membership says.
  EXPECT_EQ(DecodeMember(EncodeMember(member))->peer_urls, member.peer_urls);

  const DirectoryRecord directory{.id = 7, .starts = 2};
  EXPECT_EQ(Hex(EncodeDirectory(directory)),
            "0700000000000000"
            "0200000000000000");
  EXPECT_EQ(DecodeDirectory(EncodeDirectory(directory)), directory);
  EXPECT_EQ(DecodeIdKey(kRemovedPrefix, RemovedKey(9)), 9u);
  EXPECT_EQ(DecodeIdKey(kRemovedPrefix, DirectoryKey(9)), std::nullopt);

  Alarm alarm{.member_id = 2, .type = 1};
  EXPECT_EQ(Hex(AlarmKey(alarm)),
            "616c61726d2f"
            "0000000000000002"
            "00000001");
  EXPECT_EQ(DecodeAlarmKey(AlarmKey(alarm)), alarm);

  LeaseRecord lease{.id = LeaseId(-1), .granted_ttl = 60, .remaining_ttl = 5, .grant_index = 9};
  EXPECT_EQ(Hex(LeaseKey(lease.id)),
            "6c656173652f"
            "ffffffffffffffff");
  EXPECT_EQ(Hex(EncodeLease(lease)),
            "3c00000000000000"
            "0500000000000000"
            "0900000000000000");
  std::optional<LeaseRecord> decoded = DecodeLease(LeaseKey(lease.id), EncodeLease(lease));
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->id, lease.id);
  EXPECT_EQ(decoded->grant_index, 9u);
}

TEST(MetaCodecTest, AMembershipIsReadBackAndEveryCutOfItIsDamage) {
  const StoredMembership membership{
      .index = 5, .voters = {1, 2}, .outgoing_voters = {1, 3}, .learners = {4}, .next_learners = {3}};
  const std::string stored = EncodeMembership(membership);
  EXPECT_EQ(Hex(stored),
            "0500000000000000"
            "02000000"
            "0100000000000000"
            "0200000000000000"
            "02000000"
            "0100000000000000"
            "0300000000000000"
            "01000000"
            "0400000000000000"
            "01000000"
            "0300000000000000");
  EXPECT_EQ(DecodeMembership(stored), membership);
  for (size_t size = 0; size < stored.size(); ++size) EXPECT_EQ(DecodeMembership(stored.substr(0, size)), std::nullopt);
  EXPECT_EQ(DecodeMembership(stored + "x"), std::nullopt);
}

Record RecordOf(size_t bytes) {
  Record record;
  record.kv = std::make_shared<const std::string>(bytes, 'x');
  return record;
}

TEST(ValueCacheTest, StaysWithinItsBytesAndKeepsWhatIsUsed) {
  ValueCache cache(256u << 10);
  ChangeId hot{Revision(1), 0};
  cache.Insert(hot, RecordOf(100));
  for (int64_t i = 2; i < 5000; ++i) {
    cache.Insert({Revision(i), 0}, RecordOf(100));
    ASSERT_TRUE(cache.Find(hot).has_value()) << "after " << i;
    ASSERT_LE(cache.bytes(), 256u << 10);
  }
  EXPECT_FALSE(cache.Find({Revision(2), 0}).has_value());
  EXPECT_TRUE(cache.Find({Revision(4999), 0}).has_value());
}

TEST(ValueCacheTest, BigRecordsAndOtherChangesAreMisses) {
  ValueCache cache(16u << 10);
  cache.Insert({Revision(1), 0}, RecordOf(1u << 20));
  EXPECT_FALSE(cache.Find({Revision(1), 0}).has_value());
  cache.Insert({Revision(2), 1}, RecordOf(10));
  EXPECT_FALSE(cache.Find({Revision(2), 0}).has_value());
  EXPECT_TRUE(cache.Find({Revision(2), 1}).has_value());
  cache.Erase({Revision(2), 1});
  EXPECT_FALSE(cache.Find({Revision(2), 1}).has_value());
}

TEST(ValueCacheTest, WhatWasWrittenIsFoundByItsChangeUntilNewerTakesItsPlace) {
  ValueCache cache(64u << 10);
  int64_t revision = 1;
  for (int batch = 0; batch < 100; ++batch) {
    std::vector<std::pair<ChangeId, Record>> written;
    for (int i = 0; i < 7; ++i, ++revision) {
      for (int32_t sub = 0; sub <= i % 3; ++sub) {  // Revisions of one, two and three changes.
        written.emplace_back(ChangeId{Revision(revision), sub}, RecordOf(static_cast<size_t>(revision % 50)));
      }
    }
    const ChangeId first = written.front().first;
    const ChangeId last = written.back().first;
    cache.Append(std::move(written));
    ASSERT_LE(cache.bytes(), 64u << 10);
    for (const ChangeId change : {first, last}) {
      const std::optional<Record> found = cache.Find(change);
      ASSERT_TRUE(found.has_value()) << change;
      EXPECT_EQ(found->kv->size(), RecordOf(static_cast<size_t>(change.revision.value() % 50)).kv->size());
    }
    EXPECT_FALSE(cache.Find({last.revision, last.sub + 1}).has_value());
    EXPECT_FALSE(cache.Find({last.revision + 1, 0}).has_value());
  }
  EXPECT_FALSE(cache.Find({Revision(2), 0}).has_value());
}

TEST(ValueCacheTest, WhatWasWrittenAndReadOutlivesWhatWasOnlyWritten) {
  ValueCache cache(256u << 10);
  for (int64_t revision = 1; revision <= 3000; ++revision) {
    cache.Append({{{Revision(revision), 0}, RecordOf(10)}});
    if (revision == 1) {
      EXPECT_TRUE(cache.Find({Revision(1), 0}).has_value());
    }
  }
  EXPECT_TRUE(cache.Find({Revision(1), 0}).has_value());
  EXPECT_FALSE(cache.Find({Revision(2), 0}).has_value());
  cache.Erase({Revision(1), 0});
  cache.Erase({Revision(3000), 0});
  EXPECT_FALSE(cache.Find({Revision(1), 0}).has_value());
  EXPECT_FALSE(cache.Find({Revision(3000), 0}).has_value());
  EXPECT_TRUE(cache.Find({Revision(2999), 0}).has_value());
}

TEST(ValueCacheTest, NoBytesMeansNoCache) {
  ValueCache cache(0);
  cache.Insert({Revision(1), 0}, RecordOf(0));
  EXPECT_FALSE(cache.Find({Revision(1), 0}).has_value());
  cache.Append({{{Revision(2), 0}, RecordOf(0)}});
  EXPECT_FALSE(cache.Find({Revision(2), 0}).has_value());
}

}  // namespace
}  // namespace keel::storage
