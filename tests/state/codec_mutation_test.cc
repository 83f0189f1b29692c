// The codecs of the state under seeded mutations: damage is noticed or is harmless, and what decodes encodes to the
// same.

#include <gtest/gtest.h>

#include "base/random.h"
#include "storage/state/meta_codec.h"
#include "storage/state/record.h"

namespace keel::storage {
namespace {

std::string RandomBytes(Random* random, size_t max) {
  std::string bytes(static_cast<size_t>(random->Below(max + 1)), '\0');
  for (char& c : bytes) c = static_cast<char>(random->Chance(0.5) ? random->Below(4) : random->Next());
  return bytes;
}

void Mutate(Random* random, std::string* bytes) {
  for (uint64_t n = 1 + random->Below(3); n > 0; --n) {
    if (bytes->empty() || random->Chance(0.2)) {
      bytes->insert(static_cast<size_t>(random->Below(bytes->size() + 1)), RandomBytes(random, 8));
    } else if (random->Chance(0.2)) {
      bytes->resize(static_cast<size_t>(random->Below(bytes->size())));
    } else {
      (*bytes)[static_cast<size_t>(random->Below(bytes->size()))] = static_cast<char>(random->Next());
    }
  }
}

TEST(CodecMutationTest, RecordsAndPairs) {
  const uint64_t seed = Random::EntropySeed();
  SCOPED_TRACE(seed);
  Random random(seed);
  int decoded = 0;
  for (int round = 0; round < 50000; ++round) {
    const std::string key = RandomBytes(&random, 20) + "k";
    const std::string value = RandomBytes(&random, 40);
    const int64_t mod = random.Between(2, 1 << 20);
    const std::string kv = EncodeKeyValue({.key = key,
                                           .create = Revision(random.Between(1, mod)),
                                           .mod = Revision(mod),
                                           .version = random.Between(1, 100),
                                           .value = value,
                                           .lease = LeaseId(random.Between(-5, 5))});
    const auto good = DecodeKeyValue(kv);
    ASSERT_TRUE(good.has_value());
    ASSERT_EQ(good->key, key);
    ASSERT_EQ(good->value, value);
    Record record{.previous = {.revision = Revision(random.Between(1, mod)), .sub = 3}, .previous_bytes = 9};
    record.lineage = Lineage().Next(record.previous);
    record.kv = std::make_shared<const std::string>(kv);
    std::string stored = EncodeRecordHeader(record) + kv;
    Mutate(&random, &stored);
    if (const auto view = DecodeRecord(stored)) {
      if (const auto fields = DecodeKeyValue(view->kv)) {
        ++decoded;
        ASSERT_EQ(EncodeKeyValue(*fields), view->kv) << "two encodings of one pair";
      }
    }
    (void)DecodeKeyValue(RandomBytes(&random, 60));
    (void)DecodeRecord(RandomBytes(&random, 60));
    (void)DecodeRecordKey(RandomBytes(&random, 16));
  }
  EXPECT_GT(decoded, 0);
}

TEST(CodecMutationTest, RecordKeysSortAsChangesDo) {
  const uint64_t seed = Random::EntropySeed();
  SCOPED_TRACE(seed);
  Random random(seed);
  const auto change = [&random] {
    return ChangeId{.revision = Revision(random.Between(1, int64_t{1} << random.Between(1, 62))),
                    .sub = static_cast<int32_t>(random.Below(1u << random.Between(0, 30)))};
  };
  for (int round = 0; round < 50000; ++round) {
    const ChangeId a = change();
    const ChangeId b = random.Chance(0.3) ? ChangeId{.revision = a.revision, .sub = change().sub} : change();
    ASSERT_EQ(EncodeRecordKey(a) < EncodeRecordKey(b), a < b);
    ASSERT_EQ(DecodeRecordKey(EncodeRecordKey(a)), a);
  }
}

TEST(CodecMutationTest, Meta) {
  const uint64_t seed = Random::EntropySeed();
  SCOPED_TRACE(seed);
  Random random(seed);
  for (int round = 0; round < 50000; ++round) {
    std::string bytes = RandomBytes(&random, 64);
    if (const auto point = DecodePoint(bytes)) {
      ASSERT_EQ(EncodePoint(*point), bytes);
    }
    if (const auto progress = DecodeCompaction(bytes)) {
      ASSERT_EQ(EncodeCompaction(*progress), bytes);
    }
    if (const auto membership = DecodeMembership(bytes)) {
      ASSERT_EQ(EncodeMembership(*membership), bytes);
    }
    (void)DecodeMember(bytes);
    (void)DecodeAlarmKey(bytes);
    (void)DecodeLease(bytes, RandomBytes(&random, 32));
    StatePoint point{.applied = {.index = random.Next(), .term = random.Next()}, .current = Revision(9), .hash = 5};
    std::string encoded = EncodePoint(point);
    ASSERT_EQ(DecodePoint(encoded), point);
    Mutate(&random, &encoded);
    if (const auto read = DecodePoint(encoded)) {
      ASSERT_EQ(EncodePoint(*read), encoded);
    }
  }
}

}  // namespace
}  // namespace keel::storage
