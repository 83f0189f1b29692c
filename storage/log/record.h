#pragma once

// The bytes of a segment file: a header, then records. The grammar and the reasons are in storage/README.md; data on
// disk depends on every line here (golden bytes: record_test.cc), so a change is a new format number.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "raft/entry.h"
#include "raft/types.h"

namespace keel::storage {

inline constexpr uint32_t kLogFormat = 1;
inline constexpr size_t kSegmentHeaderBytes = 48;
inline constexpr size_t kRecordHeaderBytes = 36;
inline constexpr size_t kRecordAlignment = 4;
// An offset in a segment is stored as a 32-bit count of kRecordAlignment.
inline constexpr uint64_t kSegmentBytesMax = uint64_t{UINT32_MAX} * kRecordAlignment;

struct SegmentHeader {
  uint64_t sequence = 0;
  // The log's last entry when the segment was begun.
  raft::EntryId start;
  // Checksum of the last record of the segment before; 0 when there was none, or when this one resets the log.
  uint32_t previous = 0;
  // Everything in earlier segments is void: the log begins after `start` (a snapshot was installed).
  bool resets = false;
  // The header's own checksum, which the first record names as its `previous`. Set by both functions below.
  uint32_t crc = 0;
};

// Sets header->crc.
std::string EncodeSegmentHeader(SegmentHeader* header);
// kDataLoss: not a header, or damaged. kFailedPrecondition: of a newer format.
absl::StatusOr<SegmentHeader> DecodeSegmentHeader(std::string_view bytes);

enum class RecordType : uint8_t {
  kEntry = 1,
  kHardState = 2,
};

// Not "Record": the state has one of that name, and both are linked into one program.
struct LogRecord {
  RecordType type = RecordType::kEntry;
  raft::EntryType entry_type = raft::EntryType::kNoop;  // Of an entry.
  bool ends_write = false;                              // The last one of its write.
  uint32_t crc = 0;
  uint32_t previous = 0;     // The crc of the record before it, or of the header.
  uint64_t write_begin = 0;  // Offset of the first record of its write.
  raft::EntryId id;          // Of an entry. Of a hard state: its commit and term.
  std::string_view payload;  // Points into the decoded bytes. Of a hard state: the vote.

  size_t encoded_bytes() const;
};

size_t EncodedRecordBytes(size_t payload_bytes);

// Where a checksum starts: different for every sequence, so that what a recycled file held before never validates.
uint32_t RecordSeed(uint64_t sequence);

// The record at the front of `bytes`; nullopt when there is no valid one of this segment. Does not check `previous`.
std::optional<LogRecord> DecodeRecord(uint32_t seed, std::string_view bytes);

// Of a hard state record. nullopt: the payload has a wrong size.
std::optional<raft::HardState> HardStateOf(const LogRecord& record);

// Encodes the records of one write. Call Finish exactly once, after at least one record.
class WriteEncoder {
 public:
  // The write begins at `offset` of the segment and continues its chain. Appends to `out`, which must outlive it.
  WriteEncoder(uint64_t sequence, uint64_t offset, uint32_t chain, std::string* out);

  // Both return the offset of the record in the segment.
  uint64_t AddHardState(const raft::HardState& hard_state);
  uint64_t AddEntry(const raft::Entry& entry);
  // Marks the last record as the end of the write; returns its checksum, from which the next write continues.
  uint32_t Finish();

 private:
  uint64_t Add(RecordType type, uint8_t entry_type, raft::EntryId id, std::string_view payload);
  // Writes the checksum of the record that begins at `last_`.
  void Seal();

  const uint32_t seed_;
  const uint64_t offset_;
  const size_t base_;  // Size of `out` at the beginning.
  uint32_t chain_;
  std::string* const out_;
  std::optional<size_t> last_;  // Where in `out` the record not yet sealed begins.
  size_t last_bytes_ = 0;       // Its size without padding.
};

}  // namespace keel::storage
