#include "storage/import/etcd_snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "base/sha256.h"
#include "proto/kv.pb.h"
#include "storage/import/bbolt_image.h"
#include "storage/state/memory_medium.h"
#include "storage/state/state_store.h"
#include "tests/import/bbolt_writer.h"

namespace keel::storage {
namespace {

using ::testing::HasSubstr;

std::string RevisionKey(int64_t main, int64_t sub, bool tombstone = false) {
  std::string key;
  AppendBigEndian64(static_cast<uint64_t>(main), &key);
  key.push_back('_');
  AppendBigEndian64(static_cast<uint64_t>(sub), &key);
  if (tombstone) key.push_back('t');
  return key;
}

std::string Pair(const std::string& key, const std::string& value, int64_t create, int64_t mod, int64_t version,
                 int64_t lease = 0) {
  mvccpb::KeyValue kv;
  kv.set_key(key);
  kv.set_value(value);
  kv.set_create_revision(create);
  kv.set_mod_revision(mod);
  kv.set_version(version);
  kv.set_lease(lease);
  return kv.SerializeAsString();
}
std::string Tombstone(const std::string& key) {
  mvccpb::KeyValue kv;
  kv.set_key(key);
  return kv.SerializeAsString();
}

// Compacted at 4: "a" has lost its first version; "b" was deleted at 6; "c" was written with "b" in one transaction.
BboltPairs Keys() {
  return {{RevisionKey(3, 0), Pair("a", "two", 2, 3, 2)},
          {RevisionKey(4, 0), Pair("b", std::string(9000, 'b'), 4, 4, 1, 7)},
          {RevisionKey(4, 1), Pair("c", "x", 4, 4, 1)},
          {RevisionKey(5, 0), Pair("a", "three", 2, 5, 3)},
          {RevisionKey(6, 0, true), Tombstone("b")},
          {RevisionKey(7, 0), Pair("b", "again", 7, 7, 1, 7)}};
}
std::string Lease(int64_t id, int64_t ttl) {
  return std::string("\x08") + static_cast<char>(id) + "\x10" + static_cast<char>(ttl);
}
std::string LeaseKeyOf(int64_t id) {
  std::string key;
  AppendBigEndian64(static_cast<uint64_t>(id), &key);
  return key;
}

std::string WithDigest(std::string image) {
  Sha256 digest;
  digest.Update(image);
  return image + digest.Finish();
}

std::string Snapshot(size_t page_bytes, const BboltPairs& keys, const BboltPairs& more_meta = {},
                     const BboltPairs& users = {}) {
  BboltWriter writer(page_bytes);
  writer.AddBucket("key", keys, 2);
  writer.AddBucket("lease", {{LeaseKeyOf(7), Lease(7, 60)}}, 0);
  BboltPairs meta = {{"consistent_index", std::string(8, '\1')}, {"finishedCompactRev", RevisionKey(4, 0)}};
  meta.insert(more_meta.begin(), more_meta.end());
  writer.AddBucket("meta", meta, 1);
  writer.AddBucket("members", {}, 0);
  writer.AddBucket("authUsers", users, 0);
  return WithDigest(writer.Finish());
}

class EtcdSnapshotTest : public ::testing::Test {
 protected:
  absl::StatusOr<EtcdImport> Import(std::string_view file, const EtcdImportOptions& options = {}) {
    medium_ = std::make_shared<MemoryMedium>();
    return ImportEtcdSnapshot(file, "/imported", options, medium_);
  }
  void OpenState() {
    auto store = StateStore::Open({.dir = "/state", .medium = medium_});
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    const absl::Status installed = store_->Install("/imported");
    ASSERT_TRUE(installed.ok()) << installed;
  }
  std::string Value(const std::string& key, int64_t revision = 0) {
    etcdserverpb::RangeRequest request;
    request.set_key(key);
    request.set_revision(revision);
    etcdserverpb::RangeResponse response;
    const absl::Status status = store_->View().Range(request, &response);
    if (!status.ok()) return std::string(status.message());
    return response.kvs_size() == 0 ? "-" : response.kvs(0).value();
  }

  std::shared_ptr<MemoryMedium> medium_;
  std::unique_ptr<StateStore> store_;
};

TEST_F(EtcdSnapshotTest, KeysHistoryAndLeasesComeOverWhateverThePageSize) {
  for (const size_t page_bytes : {512u, 4096u, 16384u, 65536u}) {
    SCOPED_TRACE(page_bytes);
    store_.reset();
    const auto import = Import(Snapshot(page_bytes, Keys()));
    ASSERT_TRUE(import.ok()) << import.status();
    EXPECT_EQ(import->records, 6);
    EXPECT_EQ(import->leases, 1);
    EXPECT_EQ(import->current.value(), 7);
    EXPECT_EQ(import->compact.value(), 4);
    OpenState();
    EXPECT_EQ(store_->current_revision().value(), 7);
    EXPECT_EQ(Value("a"), "three");
    EXPECT_EQ(Value("a", 4), "two");
    EXPECT_EQ(Value("b", 5), std::string(9000, 'b'));
    EXPECT_EQ(Value("b", 6), "-");
    EXPECT_EQ(Value("b"), "again");
    EXPECT_EQ(Value("c"), "x");
    EXPECT_THAT(Value("a", 3), HasSubstr("required revision has been compacted"));
    ASSERT_TRUE(store_->Lease(LeaseId(7)).has_value());
    EXPECT_EQ(store_->Lease(LeaseId(7))->granted_ttl, 60);
    EXPECT_THAT(store_->LeaseKeys(LeaseId(7)), testing::ElementsAre("b"));
  }
}

TEST_F(EtcdSnapshotTest, TheOtherMetaPageHelps) {
  std::string file = Snapshot(4096, Keys());
  file[4096 + 20] ^= 1;
  EXPECT_TRUE(Import(file, {.skip_hash_check = true}).ok());
  file[4096 + 20] ^= 1;
  file[20] ^= 1;
  EXPECT_TRUE(Import(file, {.skip_hash_check = true}).ok());
  file[4096 + 20] ^= 1;
  EXPECT_THAT(Import(file, {.skip_hash_check = true}).status().message(), HasSubstr("at offset 0: "));
}

TEST_F(EtcdSnapshotTest, TheDigestIsChecked) {
  std::string file = Snapshot(4096, Keys());
  file[3 * 4096 + 100] ^= 1;
  EXPECT_THAT(Import(file).status().message(), HasSubstr("expected sha256 "));
  const std::string image = file.substr(0, file.size() - 32);
  EXPECT_THAT(Import(image).status().message(), HasSubstr("snapshot missing hash but --skip-hash-check=false"));
  EXPECT_THAT(Import("").status().message(), HasSubstr("snapshot missing hash"));
  EXPECT_TRUE(absl::IsDataLoss(Import("", {.skip_hash_check = true}).status()));
}

TEST_F(EtcdSnapshotTest, UsersAreNotDroppedSilently) {
  const std::string file = Snapshot(4096, Keys(), {}, {{"root", "x"}});
  const auto refused = Import(file);
  EXPECT_TRUE(absl::IsInvalidArgument(refused.status()));
  EXPECT_THAT(refused.status().message(), HasSubstr("1 users"));
  const auto dropped = Import(file, {.drop_auth = true});
  ASSERT_TRUE(dropped.ok()) << dropped.status();
  EXPECT_EQ(dropped->users, 1);
}

TEST_F(EtcdSnapshotTest, ACompactionThatRemovedTheNewestChangeKeepsTheRevision) {
  const BboltPairs keys = {{RevisionKey(3, 0), Pair("a", "two", 2, 3, 2)}};
  const auto import = Import(Snapshot(4096, keys, {{"scheduledCompactRev", RevisionKey(9, 0)}}));
  ASSERT_TRUE(import.ok()) << import.status();
  EXPECT_EQ(import->current.value(), 9);
  OpenState();
  EXPECT_EQ(store_->current_revision().value(), 9);
  EXPECT_EQ(store_->compact_revision().value(), 9);
  EXPECT_EQ(Value("a"), "two");
}

TEST_F(EtcdSnapshotTest, WhatCannotHaveHappenedIsRefusedWithItsPlace) {
  const auto expect = [&](const BboltPairs& keys, const std::string& text) {
    const absl::Status status = Import(Snapshot(4096, keys)).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(status.message(), HasSubstr(text));
    EXPECT_THAT(status.message(), HasSubstr("at offset "));
  };
  expect({{"short", "x"}}, "a key is not a revision");
  expect({{RevisionKey(2, 0), "\xff"}}, "a value is not a KeyValue");
  expect({{RevisionKey(2, 0), Pair("a", "v", 2, 3, 1)}}, "modified at revision 3");
  expect({{RevisionKey(2, 0), Pair("a", "v", 3, 2, 1)}}, "created at revision 3");
  expect({{RevisionKey(2, 0), Pair("a", "v", 2, 2, 0)}}, "without a version");
  expect({{RevisionKey(2, 0), Pair("", "v", 2, 2, 1)}}, "no key");
  expect({{RevisionKey(1, 0), Pair("a", "v", 1, 1, 1)}}, "comes after change 1.0");
  expect({{RevisionKey(2, int64_t{1} << 40), Pair("a", "v", 2, 2, 1)}}, "a key is not a revision");
}

// Whatever the bytes are: an answer, not a crash; and what is accepted can be opened.
TEST_F(EtcdSnapshotTest, NoMutationOfAFileDoesHarm) {
  const uint64_t seed = Random::EntropySeed();
  SCOPED_TRACE(seed);
  Random random(seed);
  const std::string good = Snapshot(512, Keys());
  int accepted = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string file = good;
    for (uint64_t n = 1 + random.Below(4); n > 0; --n) {
      const size_t at = static_cast<size_t>(random.Below(file.size()));
      switch (random.Below(4)) {
        case 0:
          file[at] = static_cast<char>(file[at] ^ (1 << random.Below(8)));
          break;
        case 1:
          file[at] = static_cast<char>(random.Below(2) == 0 ? 0xff : 0);
          break;
        case 2:
          file.resize(at + 1);
          break;
        default:  // One place's bytes at another.
          file.replace(at, 8, good.substr(static_cast<size_t>(random.Below(good.size())), 8));
      }
    }
    if (!Import(file, {.skip_hash_check = true, .drop_auth = true}).ok()) continue;
    ++accepted;
    store_.reset();
    OpenState();
    EXPECT_TRUE(store_->HashKv(Revision(0)).ok());
  }
  // Bytes that nothing depends on exist: padding, the freelist, the spare meta page.
  EXPECT_GT(accepted, 0);
  EXPECT_LT(accepted, 3000);
  RecordProperty("accepted", accepted);
}

TEST(BboltImageTest, LoopsAndSharedPagesEnd) {
  BboltWriter writer(512);
  BboltPairs pairs;
  for (int i = 0; i < 8; ++i) pairs[absl::StrCat("k", i)] = "v";
  writer.AddBucket("key", pairs, 2);
  std::string file = writer.Finish();
  // The branch is the last page; its second child becomes its first, then itself.
  const size_t branch = file.size() - 512;
  const std::string first_child = file.substr(branch + 16 + 8, 8);
  for (const std::string& child : {first_child, file.substr(branch, 8)}) {
    std::string bad = file;
    bad.replace(branch + 32 + 8, 8, child);
    const auto image = BboltImage::Open(bad);
    ASSERT_TRUE(image.ok());
    const absl::Status status = image->ForEach("key", [](auto, auto, auto) { return absl::OkStatus(); });
    EXPECT_THAT(status.message(), HasSubstr("belongs to the tree twice"));
  }
}

}  // namespace
}  // namespace keel::storage
