#include "storage/log/raft_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "storage/log/record.h"
#include "storage/log/segment.h"
#include "tests/log/faulty_disk.h"
#include "tests/log/temp_dir.h"

namespace keel::storage {
namespace {

using raft::Entry;
using raft::EntryId;
using raft::HardState;
using raft::Index;
using raft::MemberId;
using raft::StableBatch;
using raft::Term;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

namespace fs = std::filesystem;

Entry MakeEntry(uint64_t term, uint64_t index, std::string payload) {
  return {.id = {.term = Term(term), .index = Index(index)},
          .type = raft::EntryType::kCommand,
          .payload = raft::Payload(std::move(payload))};
}

// Entries [first, last] of one term; their payloads tell them apart.
std::vector<Entry> MakeEntries(uint64_t term, uint64_t first, uint64_t last, size_t bytes = 20) {
  std::vector<Entry> entries;
  for (uint64_t i = first; i <= last; ++i) {
    std::string payload = absl::StrCat("t", term, "i", i, " ");
    payload.resize(std::max(payload.size(), bytes), 'x');
    entries.push_back(MakeEntry(term, i, std::move(payload)));
  }
  return entries;
}

std::string Slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}
void Spill(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

class RaftLogTest : public ::testing::Test {
 protected:
  RaftLogOptions Options() {
    return {.dir = dir_ / "log",
            .segment_bytes = 16 << 10,
            .hasty_segment_bytes = 16 << 10,
            .spare_segments = 0,
            .disk = &disk_};
  }
  std::unique_ptr<RaftLog> Open() { return Open(Options()); }
  std::unique_ptr<RaftLog> Open(const RaftLogOptions& options) {
    auto log = RaftLog::Open(options);
    EXPECT_TRUE(log.ok()) << log.status();
    return log.ok() ? *std::move(log) : nullptr;
  }
  // What is there, all of it.
  static std::vector<Entry> All(const RaftLog& log) {
    if (log.last_index() < log.first_index()) return {};
    auto entries = log.Read(log.first_index(), log.last_index(), SIZE_MAX);
    EXPECT_TRUE(entries.ok()) << entries.status();
    return entries.ok() ? *std::move(entries) : std::vector<Entry>();
  }
  std::vector<std::string> Segments() {
    std::vector<std::string> paths;
    for (const auto& file : fs::directory_iterator(dir_ / "log")) {
      if (file.path().extension() == ".log") paths.push_back(file.path().string());
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  }

  TempDir dir_;
  FaultyDisk disk_;
};

TEST_F(RaftLogTest, ANewLogIsEmpty) {
  auto log = Open();
  EXPECT_EQ(log->recovered().hard_state, HardState{});
  EXPECT_EQ(log->recovered().start, EntryId{});
  EXPECT_EQ(log->first_index(), Index(1));
  EXPECT_EQ(log->last_index(), Index(0));
  EXPECT_EQ(log->BytesAfter(Index(0)), 0u);
  log.reset();
  EXPECT_EQ(Open()->recovered().last, Index(0));
}

TEST_F(RaftLogTest, WhatWasAppendedIsThereAfterReopening) {
  auto log = Open();
  const HardState hard_state{.term = Term(3), .vote = MemberId(0xfeed), .commit = Index(2)};
  std::vector<Entry> entries = MakeEntries(1, 1, 2);
  for (Entry& entry : MakeEntries(3, 3, 5, 0)) entries.push_back(std::move(entry));
  entries.push_back({.id = {.term = Term(3), .index = Index(6)}, .type = raft::EntryType::kNoop});
  ASSERT_TRUE(log->Append({.hard_state = hard_state, .entries = entries}).ok());
  EXPECT_EQ(All(*log), entries);

  log.reset();
  log = Open();
  EXPECT_EQ(log->recovered().hard_state, hard_state);
  EXPECT_EQ(log->recovered().last, Index(6));
  EXPECT_EQ(log->recovered().torn_bytes, 0u);
  ASSERT_EQ(log->recovered().term_runs.size(), 2u);
  EXPECT_EQ(log->recovered().term_runs[0].first, Index(1));
  EXPECT_EQ(log->recovered().term_runs[0].term, Term(1));
  EXPECT_EQ(log->recovered().term_runs[1].first, Index(3));
  EXPECT_EQ(log->recovered().term_runs[1].term, Term(3));
  EXPECT_EQ(All(*log), entries);
}

TEST_F(RaftLogTest, AHardStateAloneIsKept) {
  auto log = Open();
  ASSERT_TRUE(log->Append({.hard_state = HardState{.term = Term(1), .vote = MemberId(1)}}).ok());
  ASSERT_TRUE(log->Append({.hard_state = HardState{.term = Term(5), .vote = MemberId(2)}}).ok());
  log.reset();
  EXPECT_EQ(Open()->recovered().hard_state, (HardState{.term = Term(5), .vote = MemberId(2)}));
}

TEST_F(RaftLogTest, OneAppendIsOneSync) {
  auto log = Open();
  const int before = disk_.syncs();
  ASSERT_TRUE(log->Append({.hard_state = HardState{.term = Term(1)}, .entries = MakeEntries(1, 1, 50)}).ok());
  EXPECT_EQ(disk_.syncs(), before + 1);
  ASSERT_TRUE(log->Append({}).ok());
  EXPECT_EQ(disk_.syncs(), before + 1);
}

// A commit index is stored only as far as the log goes: recovery takes it as a promise that the entries are there.
TEST_F(RaftLogTest, ACommitBeyondTheLogDoesNotLookLikeLossLater) {
  auto log = Open();
  ASSERT_TRUE(
      log->Append({.hard_state = HardState{.term = Term(1), .commit = Index(9)}, .entries = MakeEntries(1, 1, 3)})
          .ok());
  log.reset();
  EXPECT_EQ(Open()->recovered().hard_state.commit, Index(3));
}

TEST_F(RaftLogTest, ReadStopsBeforeTheByteLimitButNeverBeforeTheFirst) {
  auto log = Open();
  ASSERT_TRUE(log->Append({.entries = MakeEntries(1, 1, 10, 100)}).ok());
  const size_t each = 100 + Entry::kOverheadBytes;
  EXPECT_EQ(log->Read(Index(3), Index(10), 1)->size(), 1u);
  EXPECT_EQ(log->Read(Index(3), Index(10), 3 * each)->size(), 3u);
  EXPECT_EQ(log->Read(Index(3), Index(10), 4 * each - 1)->size(), 3u);
  EXPECT_EQ(log->Read(Index(3), Index(10), SIZE_MAX)->size(), 8u);
  EXPECT_EQ(log->Read(Index(10), Index(10), SIZE_MAX)->at(0), MakeEntries(1, 10, 10, 100)[0]);
  EXPECT_EQ(log->Read(Index(10), Index(11), SIZE_MAX).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(RaftLogTest, ASuffixIsReplacedByLowerEntries) {
  auto log = Open();
  ASSERT_TRUE(log->Append({.entries = MakeEntries(1, 1, 10)}).ok());
  ASSERT_TRUE(log->Append({.entries = MakeEntries(2, 4, 6)}).ok());
  EXPECT_EQ(log->last_index(), Index(6));
  std::vector<Entry> expected = MakeEntries(1, 1, 3);
  for (Entry& entry : MakeEntries(2, 4, 6)) expected.push_back(std::move(entry));
  EXPECT_EQ(All(*log), expected);

  log.reset();
  log = Open();
  EXPECT_EQ(All(*log), expected);
  ASSERT_EQ(log->recovered().term_runs.size(), 2u);
  EXPECT_EQ(log->recovered().term_runs[1].first, Index(4));
  // And it goes on from there.
  ASSERT_TRUE(log->Append({.entries = MakeEntries(2, 7, 7)}).ok());
  EXPECT_EQ(log->last_index(), Index(7));
}

TEST_F(RaftLogTest, AReplacementMayReachBackOverSegments) {
  auto log = Open();
  for (uint64_t i = 1; i <= 60; ++i) ASSERT_TRUE(log->Append({.entries = MakeEntries(1, i, i, 1000)}).ok());
  ASSERT_GE(Segments().size(), 4u);
  ASSERT_TRUE(log->Append({.entries = MakeEntries(2, 5, 8, 1000)}).ok());
  std::vector<Entry> expected = MakeEntries(1, 1, 4, 1000);
  for (Entry& entry : MakeEntries(2, 5, 8, 1000)) expected.push_back(std::move(entry));
  EXPECT_EQ(All(*log), expected);
  log.reset();
  log = Open();
  EXPECT_EQ(All(*log), expected);

  // The segments between hold nothing alive, but the oldest does; none may go before the rest replays without it.
  ASSERT_TRUE(log->TruncatePrefix(Index(4)).ok());
  for (uint64_t i = 9; i <= 40; ++i) ASSERT_TRUE(log->Append({.entries = MakeEntries(2, i, i, 1000)}).ok());
  ASSERT_TRUE(log->TruncatePrefix(Index(39)).ok());
  EXPECT_GT(log->first_index(), Index(8));
  expected = All(*log);
  log.reset();
  log = Open();
  EXPECT_EQ(All(*log), expected);
  EXPECT_EQ(log->last_index(), Index(40));
}

// Segments go one by one. Between two that must go together a crash may come.
TEST_F(RaftLogTest, ATruncationCutShortBeforeASegmentThatReplacedEntriesIsCompletedAtOpen) {
  auto log = Open();
  for (uint64_t i = 1; i <= 15; ++i) ASSERT_TRUE(log->Append({.entries = MakeEntries(1, i, i, 1000)}).ok());
  ASSERT_EQ(Segments().size(), 1u);
  // The first entry of the second segment replaces the last one of the first; a later one begins as the log stands.
  ASSERT_TRUE(log->Append({.entries = MakeEntries(2, 15, 15, 3000)}).ok());
  ASSERT_EQ(Segments().size(), 2u);
  for (uint64_t i = 16; i <= 40; ++i) ASSERT_TRUE(log->Append({.entries = MakeEntries(2, i, i, 1000)}).ok());
  const std::string second_path = Segments().at(1);
  const std::string second = Slurp(second_path);
  ASSERT_TRUE(log->TruncatePrefix(Index(39)).ok());
  ASSERT_FALSE(fs::exists(second_path));
  const std::vector<Entry> expected = All(*log);
  const Index first = log->first_index();
  ASSERT_GT(first, Index(16));
  ASSERT_LE(first, Index(40));
  log.reset();
  // Of those that went, the second is still there.
  Spill(second_path, second);
  log = Open();
  ASSERT_NE(log, nullptr);
  EXPECT_EQ(log->first_index(), first);
  EXPECT_EQ(All(*log), expected);
  EXPECT_FALSE(fs::exists(second_path));
  ASSERT_TRUE(log->Append({.entries = MakeEntries(2, 41, 41)}).ok());
  log.reset();
  log = Open();
  EXPECT_EQ(log->last_index(), Index(41));
}

// The same segment with nothing after it is no log, and must not pass for an empty one.
TEST_F(RaftLogTest, ALastSegmentThatReplacesWhatIsGoneIsRefused) {
  auto log = Open();
  for (uint64_t i = 1; i <= 15; ++i) ASSERT_TRUE(log->Append({.entries = MakeEntries(1, i, i, 1000)}).ok());
  ASSERT_TRUE(log->Append({.entries = MakeEntries(2, 15, 15, 3000)}).ok());
  ASSERT_EQ(Segments().size(), 2u);
  log.reset();
  fs::remove(Segments().at(0));
  const absl::Status status = RaftLog::Open(Options()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.ToString(), HasSubstr("entry 15 does not continue the log"));
}

TEST_F(RaftLogTest, AnEntryLargerThanASegmentIsStored) {
  auto log = Open();
  std::vector<Entry> expected = MakeEntries(1, 1, 1, 100);
  expected.push_back(MakeEntries(1, 2, 2, 100 << 10)[0]);
  expected.push_back(MakeEntries(1, 3, 3, 100)[0]);
  for (const Entry& entry : expected) ASSERT_TRUE(log->Append({.entries = {entry}}).ok());
  log.reset();
  EXPECT_EQ(All(*Open()), expected);
}

TEST_F(RaftLogTest, PrefixTruncationFreesWholeSegmentsAndStartsAfterThem) {
  auto log = Open();
  ASSERT_TRUE(log->Append({.hard_state = HardState{.term = Term(4), .vote = MemberId(2)}}).ok());
  for (uint64_t i = 1; i <= 60; ++i) ASSERT_TRUE(log->Append({.entries = MakeEntries(4, i, i, 1000)}).ok());
  const size_t segments = Segments().size();
  ASSERT_TRUE(log->TruncatePrefix(Index(40)).ok());
  EXPECT_LT(Segments().size(), segments);
  const Index first = log->first_index();
  EXPECT_GT(first, Index(20));
  EXPECT_LE(first, Index(41));
  EXPECT_EQ(log->Read(first - 1, Index(60), SIZE_MAX).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(log->Read(first, Index(60), SIZE_MAX)->size(), 61 - first.value());

  log.reset();
  log = Open();
  EXPECT_EQ(log->first_index(), first);
  EXPECT_EQ(log->recovered().start, (EntryId{.term = Term(4), .index = first - 1}));
  EXPECT_EQ(log->recovered().hard_state, (HardState{.term = Term(4), .vote = MemberId(2)}));
  EXPECT_EQ(All(*log), MakeEntries(4, first.value(), 60, 1000));
}

TEST_F(RaftLogTest, BytesAfterCountsWhatFollows) {
  auto log = Open();
  for (uint64_t i = 1; i <= 60; ++i) ASSERT_TRUE(log->Append({.entries = MakeEntries(4, i, i, 1000)}).ok());
  EXPECT_EQ(log->BytesAfter(Index(60)), 0u);
  EXPECT_EQ(log->BytesAfter(Index(59)), EncodedRecordBytes(1000));
  EXPECT_EQ(log->BytesAfter(Index(0)), 60 * EncodedRecordBytes(1000));
}

TEST_F(RaftLogTest, ResetEmptiesTheLogAndContinuesAfterTheSnapshot) {
  auto log = Open();
  ASSERT_TRUE(log->Append({.hard_state = HardState{.term = Term(2), .vote = MemberId(3), .commit = Index(5)},
                           .entries = MakeEntries(2, 1, 20, 3000)})
                  .ok());
  ASSERT_TRUE(log->ResetTo({.term = Term(7), .index = Index(100)}).ok());
  EXPECT_EQ(log->first_index(), Index(101));
  EXPECT_EQ(log->last_index(), Index(100));
  EXPECT_EQ(Segments().size(), 1u);
  log.reset();

  log = Open();
  EXPECT_EQ(log->recovered().start, (EntryId{.term = Term(7), .index = Index(100)}));
  EXPECT_EQ(log->recovered().last, Index(100));
  EXPECT_THAT(log->recovered().term_runs, IsEmpty());
  EXPECT_EQ(log->recovered().hard_state, (HardState{.term = Term(2), .vote = MemberId(3), .commit = Index(100)}));
  ASSERT_TRUE(log->Append({.entries = MakeEntries(7, 101, 103)}).ok());
  log.reset();
  log = Open();
  EXPECT_EQ(All(*log), MakeEntries(7, 101, 103));
  ASSERT_EQ(log->recovered().term_runs.size(), 1u);
}

// A crash after the new segment has its name and before the old ones are gone.
TEST_F(RaftLogTest, ResetCountsEvenWhenOldSegmentsAreStillThere) {
  auto log = Open();
  ASSERT_TRUE(log->Append({.entries = MakeEntries(2, 1, 20)}).ok());
  const std::string old_path = Segments().at(0);
  const std::string old_bytes = Slurp(old_path);
  ASSERT_TRUE(log->ResetTo({.term = Term(7), .index = Index(10)}).ok());
  log.reset();
  ASSERT_FALSE(fs::exists(old_path));
  Spill(old_path, old_bytes);

  log = Open();
  EXPECT_EQ(log->first_index(), Index(11));
  EXPECT_EQ(log->last_index(), Index(10));
  EXPECT_FALSE(fs::exists(old_path));
}

// Power loss may keep any front part of the last write; what was synced before must be there, whatever the cut.
TEST_F(RaftLogTest, ATornLastWriteIsCutAtEveryByte) {
  auto log = Open();
  ASSERT_TRUE(log->Append({.hard_state = HardState{.term = Term(1)}, .entries = MakeEntries(1, 1, 3)}).ok());
  const std::string path = Segments().at(0);
  const std::string before = Slurp(path);
  ASSERT_TRUE(log->Append({.hard_state = HardState{.term = Term(2)}, .entries = MakeEntries(2, 4, 6)}).ok());
  const std::string after = Slurp(path);
  log.reset();
  const size_t begin =
      static_cast<size_t>(std::mismatch(before.begin(), before.end(), after.begin()).first - before.begin());
  const size_t end =
      after.size() -
      static_cast<size_t>(std::mismatch(before.rbegin(), before.rend(), after.rbegin()).first - before.rbegin());
  ASSERT_GT(end, begin + 3 * kRecordHeaderBytes);

  for (size_t cut = begin; cut < end; ++cut) {
    SCOPED_TRACE(absl::StrCat("cut at ", cut));
    Spill(path, after.substr(0, cut) + before.substr(cut));
    log = Open();
    ASSERT_NE(log, nullptr);
    EXPECT_EQ(log->recovered().last, Index(3));
    EXPECT_EQ(log->recovered().hard_state.term, Term(1));
    EXPECT_EQ(All(*log), MakeEntries(1, 1, 3));
    if (cut >= begin + 12) {
      EXPECT_GT(log->recovered().torn_bytes, 0u);
    }
    // The rest of the unfinished write does not come back to life behind a shorter one.
    ASSERT_TRUE(log->Append({.entries = MakeEntries(3, 4, 4, 0)}).ok());
    log.reset();
    log = Open();
    ASSERT_NE(log, nullptr);
    EXPECT_EQ(log->recovered().last, Index(4));
    log.reset();
  }
}

// Sectors of one write may reach the disk in any order, so valid records of the same write may follow the hole.
TEST_F(RaftLogTest, AHoleInsideTheLastWriteIsATornTail) {
  auto log = Open();
  ASSERT_TRUE(log->Append({.entries = MakeEntries(1, 1, 3)}).ok());
  const std::string path = Segments().at(0);
  const std::string before = Slurp(path);
  ASSERT_TRUE(log->Append({.entries = MakeEntries(1, 4, 40, 100)}).ok());
  std::string after = Slurp(path);
  log.reset();
  const size_t begin =
      static_cast<size_t>(std::mismatch(before.begin(), before.end(), after.begin()).first - before.begin());
  after.replace(begin, 512, 512, '\0');
  Spill(path, after);
  log = Open();
  EXPECT_EQ(All(*log), MakeEntries(1, 1, 3));
}

TEST_F(RaftLogTest, DamageBeforeASyncedWriteIsReportedWithFileAndOffset) {
  auto log = Open();
  std::vector<size_t> begins;
  std::string bytes = Slurp(Segments().at(0));
  for (uint64_t i = 1; i <= 4; ++i) {
    ASSERT_TRUE(log->Append({.entries = MakeEntries(1, 2 * i - 1, 2 * i)}).ok());
    const std::string now = Slurp(Segments().at(0));
    begins.push_back(static_cast<size_t>(std::mismatch(bytes.begin(), bytes.end(), now.begin()).first - bytes.begin()) /
                     4 * 4);
    bytes = now;
  }
  log.reset();
  const std::string path = Segments().at(0);
  // Every byte from the header to the last write.
  for (size_t at = 0; at < begins.back(); ++at) {
    SCOPED_TRACE(absl::StrCat("byte ", at));
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x20);
    Spill(path, damaged);
    const absl::Status status = RaftLog::Open(Options()).status();
    // A damaged format number may look like a newer format.
    if (at >= 8 && at < 12 && status.code() == absl::StatusCode::kFailedPrecondition) continue;
    ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_THAT(status.message().data(), HasSubstr(path));
    EXPECT_THAT(status.message().data(), HasSubstr("add the member again"));
  }
  std::string damaged = bytes;
  damaged[begins[1] + 40] ^= 1;
  Spill(path, damaged);
  EXPECT_THAT(RaftLog::Open(Options()).status().ToString(), HasSubstr(absl::StrCat("at offset ", begins[1])));
  // Nothing was changed by the attempts.
  Spill(path, bytes);
  EXPECT_EQ(All(*Open()), MakeEntries(1, 1, 8));
}

TEST_F(RaftLogTest, DamageAtTheEndOfAnOldSegmentIsNotATornTail) {
  auto log = Open();
  for (uint64_t i = 1; i <= 40; ++i) ASSERT_TRUE(log->Append({.entries = MakeEntries(1, i, i, 1000)}).ok());
  const Index last_of_first = Index(Slurp(Segments().at(0)).size() / EncodedRecordBytes(1000));
  log.reset();
  const std::string path = Segments().at(0);
  const std::string bytes = Slurp(path);
  const size_t at = bytes.find(absl::StrCat("t1i", last_of_first.value(), " "));
  ASSERT_NE(at, std::string::npos);
  std::string damaged = bytes;
  damaged[at] ^= 1;
  Spill(path, damaged);
  const absl::Status status = RaftLog::Open(Options()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.ToString(), HasSubstr(path));

  // A missing segment in the middle is damage, too.
  Spill(path, bytes);
  const std::string second = Segments().at(1);
  fs::rename(second, dir_ / "aside");
  EXPECT_THAT(RaftLog::Open(Options()).status().ToString(), HasSubstr(absl::StrCat(second, " is missing")));
  // So is one under another's name.
  fs::copy(path, second);
  EXPECT_EQ(RaftLog::Open(Options()).status().code(), absl::StatusCode::kDataLoss);
  fs::remove(second);
  fs::rename(dir_ / "aside", second);
  EXPECT_EQ(Open()->last_index(), Index(40));
}

// Nothing follows the end, but the log has promised entries that are not there.
TEST_F(RaftLogTest, LosingCommittedEntriesIsNoticed) {
  SegmentHeader header{.sequence = 1};
  std::string bytes = EncodeSegmentHeader(&header);
  WriteEncoder encoder(1, bytes.size(), header.crc, &bytes);
  encoder.AddHardState({.term = Term(1), .commit = Index(6)});
  encoder.AddEntry(MakeEntries(1, 1, 1)[0]);
  encoder.Finish();
  fs::create_directory(dir_ / "log");
  Spill(dir_ / ("log/" + SegmentName(1)), bytes);
  const absl::Status status = RaftLog::Open(Options()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.ToString(), HasSubstr("entries up to 6 were stored"));
}

TEST_F(RaftLogTest, RecycledSegmentsKeepStaleBytesDead) {
  RaftLogOptions options = Options();
  options.spare_segments = 2;
  auto log = Open(options);
  Index next(1);
  // Equal sizes make the old records of a recycled file lie exactly where new ones would.
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 20; ++i, ++next) {
      ASSERT_TRUE(log->Append({.entries = MakeEntries(1, next.value(), next.value(), 1000)}).ok());
    }
    ASSERT_TRUE(log->TruncatePrefix(next - 5).ok());
    const std::vector<Entry> expected = All(*log);
    log.reset();
    log = Open(options);
    ASSERT_NE(log, nullptr);
    EXPECT_EQ(log->last_index(), next - 1);
    const std::vector<Entry> found = All(*log);
    // A segment whose recycling the stop prevented is still there; the rest must be the same.
    ASSERT_GE(found.size(), expected.size());
    EXPECT_TRUE(std::equal(expected.rbegin(), expected.rend(), found.rbegin()));
  }
  size_t files = 0;
  for ([[maybe_unused]] const auto& file : fs::directory_iterator(dir_ / "log")) ++files;
  EXPECT_LE(files, 8u);
}

// The one case where stale bytes matter most: a recycled segment, cut right where an old record begins.
TEST_F(RaftLogTest, ATornTailInARecycledSegmentDoesNotExposeOldRecords) {
  auto log = Open();
  ASSERT_TRUE(log->Append({.entries = MakeEntries(1, 1, 3, 100)}).ok());
  log.reset();
  const std::string path = Segments().at(0);
  std::string bytes = Slurp(path);
  // Records of another life behind the end, at every alignment.
  std::string stale;
  WriteEncoder encoder(/*sequence=*/2, /*offset=*/4096, 77, &stale);
  for (const Entry& entry : MakeEntries(9, 4, 20, 100)) encoder.AddEntry(entry);
  encoder.Finish();
  const size_t end = kSegmentHeaderBytes + EncodedRecordBytes(8) + 3 * EncodedRecordBytes(100);
  for (size_t at = end; at < end + 300; at += kRecordAlignment) {
    SCOPED_TRACE(at);
    std::string recycled = bytes;
    recycled.replace(at, stale.size(), stale);
    Spill(path, recycled);
    log = Open();
    ASSERT_NE(log, nullptr);
    EXPECT_EQ(log->last_index(), Index(3));
    log.reset();
  }
}

TEST_F(RaftLogTest, AFailedWriteIsFinalAndReopeningFindsWhatWasSynced) {
  for (const size_t stored : {0u, 1u, 40u, 100u, 1000u}) {
    SCOPED_TRACE(stored);
    fs::remove_all(dir_ / "log");
    auto log = Open();
    ASSERT_TRUE(log->Append({.entries = MakeEntries(1, 1, 3)}).ok());
    disk_.FailWriteAfter(0, stored);
    const absl::Status failed = log->Append({.entries = MakeEntries(1, 4, 8, 100)});
    EXPECT_EQ(failed.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(log->last_index(), Index(3));
    EXPECT_EQ(log->Append({.entries = MakeEntries(1, 4, 4)}), failed);
    EXPECT_EQ(log->TruncatePrefix(Index(1)), failed);
    EXPECT_EQ(log->ResetTo({.term = Term(1), .index = Index(9)}), failed);
    log.reset();
    log = Open();
    // All or nothing of the failed write may be there.
    std::vector<Entry> whole = MakeEntries(1, 1, 3);
    for (Entry& entry : MakeEntries(1, 4, 8, 100)) whole.push_back(std::move(entry));
    EXPECT_EQ(All(*log), stored < 5 * EncodedRecordBytes(100) ? MakeEntries(1, 1, 3) : whole);
  }
}

TEST_F(RaftLogTest, AFailedSyncIsFinal) {
  auto log = Open();
  ASSERT_TRUE(log->Append({.entries = MakeEntries(1, 1, 3)}).ok());
  disk_.FailSyncAfter(0);
  const absl::Status failed = log->Append({.entries = MakeEntries(1, 4, 4)});
  EXPECT_EQ(failed.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(log->last_index(), Index(3));
  EXPECT_EQ(log->Append({.hard_state = HardState{.term = Term(9)}}), failed);
  log.reset();
  // The page cache may show the write that was not synced: opening makes it durable before believing it.
  const int syncs = disk_.syncs();
  log = Open();
  EXPECT_GT(disk_.syncs(), syncs);
  EXPECT_EQ(log->last_index(), Index(4));
}

TEST_F(RaftLogTest, AFailureWhileBeginningASegmentLeavesTheOldOnes) {
  for (int write = 0; write < 2; ++write) {
    SCOPED_TRACE(write);
    fs::remove_all(dir_ / "log");
    auto log = Open();
    ASSERT_TRUE(log->Append({.entries = MakeEntries(1, 1, 1, 15 << 10)}).ok());
    disk_.FailWriteAfter(write, 10);
    EXPECT_EQ(log->Append({.entries = MakeEntries(1, 2, 2, 4 << 10)}).code(), absl::StatusCode::kResourceExhausted);
    log.reset();
    log = Open();
    EXPECT_EQ(All(*log), MakeEntries(1, 1, 1, 15 << 10));
    ASSERT_TRUE(log->Append({.entries = MakeEntries(1, 2, 2, 4 << 10)}).ok());
  }
}

TEST_F(RaftLogTest, ADamagedEntryIsNeverReturned) {
  auto log = Open();
  ASSERT_TRUE(log->Append({.entries = MakeEntries(1, 1, 3)}).ok());
  std::string bytes = Slurp(Segments().at(0));
  const size_t at = bytes.find("t1i2 ");
  bytes[at] ^= 1;
  {
    std::fstream file(Segments().at(0), std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(at));
    file.put(bytes[at]);
  }
  EXPECT_TRUE(log->Read(Index(1), Index(1), SIZE_MAX).ok());
  EXPECT_EQ(log->Read(Index(1), Index(3), SIZE_MAX).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(RaftLogTest, ReadsMayOverlapAppendsAndTruncation) {
  RaftLogOptions options = Options();
  options.spare_segments = 1;
  auto log = Open(options);
  ASSERT_TRUE(log->Append({.entries = MakeEntries(1, 1, 5, 500)}).ok());
  std::atomic<bool> done = false;
  std::atomic<int> reads = 0;
  std::thread reader([&] {
    while (!done) {
      const Index first = log->first_index();
      const auto entries = log->Read(first, log->last_index(), 8 << 10);
      ++reads;
      if (!entries.ok()) {
        // Truncated, and perhaps written over, between the two calls.
        EXPECT_EQ(entries.status().code(), absl::StatusCode::kNotFound) << entries.status();
        continue;
      }
      for (size_t i = 0; i < entries->size(); ++i) EXPECT_EQ((*entries)[i].id.index, first + i);
    }
  });
  for (uint64_t i = 6; i <= 600; ++i) {
    ASSERT_TRUE(log->Append({.entries = MakeEntries(1, i, i, 500)}).ok());
    if (i % 20 == 0) {
      ASSERT_TRUE(log->TruncatePrefix(Index(i - 10)).ok());
    }
  }
  done = true;
  reader.join();
  EXPECT_GT(reads, 0);
}

// Random appends, replacements, truncations, resets and reopenings against a map.
TEST_F(RaftLogTest, RandomOperationsMatchAModel) {
  const uint64_t seed = Random::EntropySeed();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  Random random(seed);
  RaftLogOptions options = Options();
  options.segment_bytes = options.hasty_segment_bytes = 4 << 10;
  auto log = Open(options);
  std::map<uint64_t, Entry> model;
  HardState hard_state;
  EntryId start;
  uint64_t last = 0;
  uint64_t committed = 0;
  for (int step = 0; step < 600; ++step) {
    const uint64_t dice = random.Below(100);
    if (dice < 70) {
      if (random.Chance(0.1)) hard_state.term = hard_state.term + 1;
      if (hard_state.term == Term(0)) hard_state.term = Term(1);
      uint64_t first = last + 1;
      if (random.Chance(0.15))
        first =
            static_cast<uint64_t>(random.Between(static_cast<int64_t>(committed + 1), static_cast<int64_t>(last + 1)));
      if (first <= last) hard_state.term = hard_state.term + 1;
      StableBatch batch;
      batch.entries = MakeEntries(hard_state.term.value(), first, first + random.Below(6), random.Below(900));
      hard_state.vote = MemberId(random.Below(4));
      batch.hard_state = hard_state;
      ASSERT_TRUE(log->Append(batch).ok());
      model.erase(model.lower_bound(first), model.end());
      for (const Entry& entry : batch.entries) model[entry.id.index.value()] = entry;
      last = batch.entries.back().id.index.value();
    } else if (dice < 85) {
      committed = static_cast<uint64_t>(random.Between(static_cast<int64_t>(committed), static_cast<int64_t>(last)));
      ASSERT_TRUE(log->TruncatePrefix(Index(committed)).ok());
    } else if (dice < 87) {
      hard_state.term = hard_state.term + 1;
      last = committed = last + random.Below(50);
      start = {.term = hard_state.term, .index = Index(last)};
      hard_state.commit = start.index;
      ASSERT_TRUE(log->Append({.hard_state = hard_state}).ok());
      ASSERT_TRUE(log->ResetTo(start).ok());
      model.clear();
    } else {
      log.reset();
      log = Open(options);
      ASSERT_NE(log, nullptr);
      EXPECT_EQ(log->recovered().hard_state.term, hard_state.term);
      EXPECT_EQ(log->recovered().hard_state.vote, hard_state.vote);
      size_t run = 0;
      Term term = log->recovered().start.term;
      for (const auto& [index, entry] : model) {
        if (Index(index) < log->first_index()) continue;
        while (run < log->recovered().term_runs.size() && log->recovered().term_runs[run].first <= Index(index)) {
          term = log->recovered().term_runs[run++].term;
        }
        ASSERT_EQ(term, entry.id.term) << "entry " << index;
      }
    }
    ASSERT_EQ(log->last_index(), Index(last));
    ASSERT_LE(log->first_index(), Index(committed + 1));
    std::vector<Entry> expected;
    for (const auto& [index, entry] : model) {
      if (Index(index) >= log->first_index()) expected.push_back(entry);
    }
    if (step % 7 == 0) {
      ASSERT_EQ(All(*log), expected);
    }
  }
}

}  // namespace
}  // namespace keel::storage
