#include "storage/log/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "base/string_view.h"
#include "storage/log/segment.h"

namespace keel::storage {
namespace {

using raft::EntryId;
using raft::Index;
using raft::MemberId;
using raft::Term;

std::string Hex(std::string_view bytes) { return absl::BytesToHexString(ToAbsl(bytes)); }

// Data on disk depends on these bytes; if one of them changes, the format number has to.
TEST(RecordTest, GoldenBytesOfTheSegmentHeader) {
  SegmentHeader header{
      .sequence = 0x0102, .start = {.term = Term(3), .index = Index(0x0405)}, .previous = 0xa1b2c3d4, .resets = true};
  EXPECT_EQ(Hex(EncodeSegmentHeader(&header)),
            "4b45454c2d4c4f47"  // "KEEL-LOG"
            "01000000"          // format
            "01000000"          // flags: resets
            "0201000000000000"  // sequence
            "0504000000000000"  // start index
            "0300000000000000"  // start term
            "d4c3b2a1"          // previous
            "0cf4a84c");
}

TEST(RecordTest, GoldenBytesOfAWriteWithHardStateAndEntries) {
  std::string out;
  WriteEncoder encoder(/*sequence=*/7, /*offset=*/48, /*chain=*/0x11223344, &out);
  EXPECT_EQ(encoder.AddHardState({.term = Term(2), .vote = MemberId(0x99), .commit = Index(4)}), 48u);
  EXPECT_EQ(encoder.AddEntry({.id = {.term = Term(2), .index = Index(5)},
                              .type = raft::EntryType::kCommand,
                              .payload = raft::Payload("abcde")}),
            48u + 44u);
  EXPECT_EQ(encoder.AddEntry({.id = {.term = Term(2), .index = Index(6)}, .type = raft::EntryType::kNoop}),
            48u + 44u + 44u);
  encoder.Finish();
  EXPECT_EQ(Hex(out),
            "5b6bd578"          // crc
            "44332211"          // previous: the chain
            "08000000"          // length
            "0c000000"          // write: 48 / 4
            "02000000"          // hard state
            "0400000000000000"  // commit
            "0200000000000000"  // term
            "9900000000000000"  // vote
            "244fc3ae"
            "5b6bd578"
            "05000000"
            "0c000000"
            "01020000"  // entry, command
            "0500000000000000"
            "0200000000000000"
            "6162636465000000"  // "abcde" and padding
            "2703620f"
            "244fc3ae"
            "00000000"
            "0c000000"
            "01010100"  // entry, no-op, ends the write
            "0600000000000000"
            "0200000000000000");
}

TEST(RecordTest, WhatWasEncodedDecodes) {
  std::string out = "before";
  WriteEncoder encoder(7, 480, 5, &out);
  encoder.AddHardState({.term = Term(9), .vote = MemberId(3), .commit = Index(8)});
  const uint64_t second = encoder.AddEntry({.id = {.term = Term(9), .index = Index(11)},
                                            .type = raft::EntryType::kCommand,
                                            .payload = raft::Payload(std::string("\0x\xff", 3))});
  const uint32_t chain = encoder.Finish();

  const std::string_view bytes = std::string_view(out).substr(6);
  const auto hard_state = DecodeRecord(RecordSeed(7), bytes);
  ASSERT_TRUE(hard_state.has_value());
  EXPECT_EQ(hard_state->previous, 5u);
  EXPECT_EQ(hard_state->write_begin, 480u);
  EXPECT_FALSE(hard_state->ends_write);
  EXPECT_EQ(HardStateOf(*hard_state), (raft::HardState{.term = Term(9), .vote = MemberId(3), .commit = Index(8)}));
  const auto entry = DecodeRecord(RecordSeed(7), bytes.substr(second - 480));
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->previous, hard_state->crc);
  EXPECT_EQ(entry->write_begin, 480u);
  EXPECT_TRUE(entry->ends_write);
  EXPECT_EQ(entry->crc, chain);
  EXPECT_EQ(entry->id, (EntryId{.term = Term(9), .index = Index(11)}));
  EXPECT_EQ(entry->payload, std::string_view("\0x\xff", 3));
}

TEST(RecordTest, NoFlippedBitPasses) {
  std::string out;
  WriteEncoder encoder(1, 48, 0, &out);
  encoder.AddEntry({.id = {.term = Term(1), .index = Index(1)},
                    .type = raft::EntryType::kCommand,
                    .payload = raft::Payload("twelve bytes")});
  encoder.Finish();
  ASSERT_TRUE(DecodeRecord(RecordSeed(1), out).has_value());
  for (size_t bit = 0; bit < out.size() * 8; ++bit) {
    std::string damaged = out;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(DecodeRecord(RecordSeed(1), damaged).has_value()) << "bit " << bit;
  }
}

TEST(RecordTest, ARecordOfAnotherSequenceIsNotValid) {
  std::string out;
  WriteEncoder encoder(41, 48, 0, &out);
  encoder.AddEntry({.id = {.term = Term(1), .index = Index(1)}, .type = raft::EntryType::kNoop});
  encoder.Finish();
  EXPECT_TRUE(DecodeRecord(RecordSeed(41), out).has_value());
  for (uint64_t sequence = 0; sequence < 1000; ++sequence) {
    if (sequence != 41) {
      EXPECT_FALSE(DecodeRecord(RecordSeed(sequence), out).has_value()) << sequence;
    }
  }
}

TEST(RecordTest, ShortAndEmptyBytesAreNoRecord) {
  EXPECT_FALSE(DecodeRecord(0, "").has_value());
  EXPECT_FALSE(DecodeRecord(0, std::string(35, '\1')).has_value());
  EXPECT_FALSE(DecodeRecord(0, std::string(4096, '\0')).has_value());
}

TEST(RecordTest, ANewerFormatIsToldFromDamage) {
  SegmentHeader header{.sequence = 1};
  std::string bytes = EncodeSegmentHeader(&header);
  bytes[8] = 2;
  EXPECT_EQ(DecodeSegmentHeader(bytes).status().code(), absl::StatusCode::kFailedPrecondition);
  bytes[8] = 1;
  bytes[20] = static_cast<char>(bytes[20] ^ 1);
  EXPECT_EQ(DecodeSegmentHeader(bytes).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(DecodeSegmentHeader("KEEL-LOG").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(DecodeSegmentHeader(std::string(64, '\0')).status().code(), absl::StatusCode::kDataLoss);
}

TEST(SegmentNameTest, NamesSortAsSequencesAndReadBack) {
  EXPECT_EQ(SegmentName(255), "00000000000000ff.log");
  EXPECT_EQ(SequenceOfName("00000000000000ff.log"), 255u);
  for (const char* name : {"", "ff.log", "00000000000000ff", "00000000000000FF.log", "0000000000000-ff.log",
                           "00000000000000ff.log.tmp", "spare-1"}) {
    EXPECT_EQ(SequenceOfName(name), std::nullopt) << name;
  }
}

}  // namespace
}  // namespace keel::storage
