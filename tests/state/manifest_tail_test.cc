// The last write to the database's manifest, as every way of tearing it leaves it: the store opens as it was before or
// after. Damage anywhere else is refused, and left as it is.

#include "storage/state/manifest_tail.h"

#include <fstream>
#include <iterator>

#include "store_fixture.h"

namespace keel::storage {
namespace {

namespace fs = std::filesystem;
using ::testing::AnyOf;
using ::testing::HasSubstr;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void WriteFile(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

class ManifestTailTest : public StoreTest {
 protected:
  // Two flushes, with the files after each; everything is closed afterwards.
  void SetUp() override {
    StoreTest::SetUp();
    Put("a", "1");
    ASSERT_TRUE(store_->Flush().ok());
    Put("a", "2");
    ASSERT_TRUE(store_->Flush().ok());
    before_index_ = store_->applied().index;
    fs::copy(Options().dir, before_, fs::copy_options::recursive);
    Put("a", "3");
    ASSERT_TRUE(store_->Flush().ok());
    after_index_ = store_->applied().index;
    fs::copy(Options().dir, after_, fs::copy_options::recursive);
    std::string current = ReadFile(after_ + "/gen-1/CURRENT");
    current.pop_back();
    manifest_ = "/gen-1/" + current;
    written_from_ = ReadFile(before_ + manifest_).size();
    content_ = ReadFile(after_ + manifest_);
    ASSERT_LT(written_from_, content_.size());
    ASSERT_EQ(content_.substr(0, written_from_), ReadFile(before_ + manifest_));
  }

  // The state after the second flush, with this in its manifest.
  absl::StatusOr<uint64_t> AppliedWith(const std::string& content) {
    const std::string dir = temp_.path() + "/torn";
    fs::remove_all(dir);
    fs::copy(after_, dir, fs::copy_options::recursive);
    WriteFile(dir + manifest_, content);
    StateOptions options = Options();
    options.dir = dir;
    auto store = StateStore::Open(options);
    if (!store.ok()) {
      EXPECT_EQ(ReadFile(dir + manifest_), content) << "was left as it was";
      return store.status();
    }
    const uint64_t applied = (*store)->applied().index;
    EXPECT_TRUE((*store)->Close().ok());
    return applied;
  }

  TempDir temp_;
  const std::string before_ = temp_.path() + "/before";
  const std::string after_ = temp_.path() + "/after";
  std::string manifest_;  // In either.
  uint64_t before_index_ = 0;
  uint64_t after_index_ = 0;
  size_t written_from_ = 0;
  std::string content_;
};

TEST_F(ManifestTailTest, AWholeManifestIsWholeRecords) {
  EXPECT_EQ(ScanManifest(content_).whole_bytes, content_.size());
  EXPECT_EQ(ScanManifest(content_.substr(0, written_from_)).whole_bytes, written_from_);
  std::string last = content_;
  last[written_from_] ^= 1;
  EXPECT_EQ(ScanManifest(last).records_behind, ManifestTail::kRecordsBehindMax);
  EXPECT_EQ(ScanManifest(last).whole_bytes, written_from_);
  EXPECT_EQ(ScanManifest("").whole_bytes, 0u);
}

TEST_F(ManifestTailTest, ATornLastWriteWasNeverMade) {
  for (size_t at = written_from_; at < content_.size(); at += 3) {
    std::string head_only = content_;
    std::fill(head_only.begin() + static_cast<std::ptrdiff_t>(at), head_only.end(), '\0');
    auto applied = AppliedWith(head_only);
    ASSERT_TRUE(applied.ok()) << at << ": " << applied.status();
    EXPECT_THAT(*applied, AnyOf(before_index_, after_index_)) << at;

    std::string tail_only = content_;
    std::fill(tail_only.begin() + static_cast<std::ptrdiff_t>(written_from_),
              tail_only.begin() + static_cast<std::ptrdiff_t>(at + 1), '\0');
    applied = AppliedWith(tail_only);
    ASSERT_TRUE(applied.ok()) << at << ": " << applied.status();
    EXPECT_THAT(*applied, AnyOf(before_index_, after_index_)) << at;

    applied = AppliedWith(content_.substr(0, at));
    ASSERT_TRUE(applied.ok()) << at << ": " << applied.status();
    EXPECT_THAT(*applied, AnyOf(before_index_, after_index_)) << at;
  }
  auto applied = AppliedWith(content_.substr(0, written_from_ + 1));
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_EQ(*applied, before_index_);
  applied = AppliedWith(content_);
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_EQ(*applied, after_index_);
}

TEST_F(ManifestTailTest, DamageInTheMiddleIsRefusedAndLeftAlone) {
  int refused = 0;
  // Behind it stand at least those of the last flush.
  for (size_t at = 0; at < written_from_; at += 5) {
    std::string damaged = content_;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    const auto applied = AppliedWith(damaged);
    EXPECT_TRUE(absl::IsDataLoss(applied.status())) << at << ": " << applied.status();
    EXPECT_THAT(std::string(applied.status().message()), HasSubstr(manifest_)) << at;
    ++refused;
  }
  EXPECT_GT(refused, 20);
}

}  // namespace
}  // namespace keel::storage
