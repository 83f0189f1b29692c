#include "storage/log/record.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"

namespace keel::storage {
namespace {

constexpr std::string_view kMagic = "KEEL-LOG";
constexpr uint32_t kHeaderResets = 1;
constexpr uint8_t kRecordEndsWrite = 1;

// Offsets of a record's fields.
constexpr size_t kCrcAt = 0;
constexpr size_t kPreviousAt = 4;
constexpr size_t kLengthAt = 8;
constexpr size_t kWriteAt = 12;
constexpr size_t kTypeAt = 16;
constexpr size_t kEntryTypeAt = 17;
constexpr size_t kFlagsAt = 18;
constexpr size_t kZeroAt = 19;
constexpr size_t kIndexAt = 20;
constexpr size_t kTermAt = 28;
static_assert(kTermAt + 8 == kRecordHeaderBytes);

bool IsEntryType(uint8_t type) {
  return type >= static_cast<uint8_t>(raft::EntryType::kNoop) &&
         type <= static_cast<uint8_t>(raft::EntryType::kMembership);
}

}  // namespace

std::string EncodeSegmentHeader(SegmentHeader* header) {
  std::string out(kMagic);
  AppendLittleEndian32(kLogFormat, &out);
  AppendLittleEndian32(header->resets ? kHeaderResets : 0, &out);
  AppendLittleEndian64(header->sequence, &out);
  AppendLittleEndian64(header->start.index.value(), &out);
  AppendLittleEndian64(header->start.term.value(), &out);
  AppendLittleEndian32(header->previous, &out);
  header->crc = Crc32c(out);
  AppendLittleEndian32(header->crc, &out);
  KEEL_CHECK_EQ(out.size(), kSegmentHeaderBytes);
  return out;
}

absl::StatusOr<SegmentHeader> DecodeSegmentHeader(std::string_view bytes) {
  if (bytes.size() < kSegmentHeaderBytes) return absl::DataLossError("shorter than a segment header");
  if (bytes.substr(0, kMagic.size()) != kMagic) return absl::DataLossError("does not begin as a log segment");
  const char* const p = bytes.data();
  const uint32_t format = ReadLittleEndian32(p + 8);
  // The format decides where the checksum is, so it is looked at first.
  if (format > kLogFormat && format < 1000) {
    return absl::FailedPreconditionError(
        absl::StrCat("has log format ", format, ", this version knows up to ", kLogFormat, "; run a newer one"));
  }
  SegmentHeader header;
  header.crc = ReadLittleEndian32(p + 44);
  if (format != kLogFormat || Crc32c(bytes.substr(0, 44)) != header.crc) {
    return absl::DataLossError("has a damaged segment header");
  }
  header.resets = (ReadLittleEndian32(p + 12) & kHeaderResets) != 0;
  header.sequence = ReadLittleEndian64(p + 16);
  header.start.index = raft::Index(ReadLittleEndian64(p + 24));
  header.start.term = raft::Term(ReadLittleEndian64(p + 32));
  header.previous = ReadLittleEndian32(p + 40);
  return header;
}

size_t EncodedRecordBytes(size_t payload_bytes) {
  return (kRecordHeaderBytes + payload_bytes + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
}

size_t LogRecord::encoded_bytes() const { return EncodedRecordBytes(payload.size()); }

uint32_t RecordSeed(uint64_t sequence) {
  std::string bytes;
  AppendLittleEndian64(sequence, &bytes);
  return Crc32c(bytes);
}

std::optional<LogRecord> DecodeRecord(uint32_t seed, std::string_view bytes) {
  if (bytes.size() < kRecordHeaderBytes) return std::nullopt;
  const char* const p = bytes.data();
  const uint64_t length = ReadLittleEndian32(p + kLengthAt);
  if (length > bytes.size() - kRecordHeaderBytes) return std::nullopt;
  const uint8_t type = static_cast<uint8_t>(p[kTypeAt]);
  const uint8_t entry_type = static_cast<uint8_t>(p[kEntryTypeAt]);
  if (type == static_cast<uint8_t>(RecordType::kEntry)) {
    if (!IsEntryType(entry_type)) return std::nullopt;
  } else if (type != static_cast<uint8_t>(RecordType::kHardState)) {
    return std::nullopt;
  }
  LogRecord record;
  record.crc = ReadLittleEndian32(p + kCrcAt);
  if (ExtendCrc32c(seed, bytes.substr(kPreviousAt, kRecordHeaderBytes - kPreviousAt + length)) != record.crc) {
    return std::nullopt;
  }
  record.type = static_cast<RecordType>(type);
  record.entry_type = static_cast<raft::EntryType>(entry_type);
  record.ends_write = (static_cast<uint8_t>(p[kFlagsAt]) & kRecordEndsWrite) != 0;
  record.previous = ReadLittleEndian32(p + kPreviousAt);
  record.write_begin = uint64_t{ReadLittleEndian32(p + kWriteAt)} * kRecordAlignment;
  record.id.index = raft::Index(ReadLittleEndian64(p + kIndexAt));
  record.id.term = raft::Term(ReadLittleEndian64(p + kTermAt));
  record.payload = bytes.substr(kRecordHeaderBytes, length);
  return record;
}

std::optional<raft::HardState> HardStateOf(const LogRecord& record) {
  if (record.payload.size() != sizeof(uint64_t)) return std::nullopt;
  return raft::HardState{.term = record.id.term,
                         .vote = raft::MemberId(ReadLittleEndian64(record.payload.data())),
                         .commit = record.id.index};
}

WriteEncoder::WriteEncoder(uint64_t sequence, uint64_t offset, uint32_t chain, std::string* out)
    : seed_(RecordSeed(sequence)), offset_(offset), base_(out->size()), chain_(chain), out_(out) {
  KEEL_CHECK_EQ(offset % kRecordAlignment, 0u);
}

uint64_t WriteEncoder::AddHardState(const raft::HardState& hard_state) {
  std::string vote;
  AppendLittleEndian64(hard_state.vote.value(), &vote);
  return Add(RecordType::kHardState, 0, {.term = hard_state.term, .index = hard_state.commit}, vote);
}

uint64_t WriteEncoder::AddEntry(const raft::Entry& entry) {
  return Add(RecordType::kEntry, static_cast<uint8_t>(entry.type), entry.id, entry.payload.view());
}

uint64_t WriteEncoder::Add(RecordType type, uint8_t entry_type, raft::EntryId id, std::string_view payload) {
  if (last_) Seal();
  last_ = out_->size();
  last_bytes_ = kRecordHeaderBytes + payload.size();
  char header[kRecordHeaderBytes] = {};
  const auto put32 = [&](size_t at, uint32_t v) { std::memcpy(header + at, &v, sizeof v); };
  const auto put64 = [&](size_t at, uint64_t v) { std::memcpy(header + at, &v, sizeof v); };
  put32(kLengthAt, static_cast<uint32_t>(payload.size()));
  put32(kWriteAt, static_cast<uint32_t>(offset_ / kRecordAlignment));
  header[kTypeAt] = static_cast<char>(type);
  header[kEntryTypeAt] = static_cast<char>(entry_type);
  header[kZeroAt] = 0;
  put64(kIndexAt, id.index.value());
  put64(kTermAt, id.term.value());
  out_->append(header, sizeof header);
  out_->append(payload);
  out_->append(EncodedRecordBytes(payload.size()) - last_bytes_, '\0');
  return offset_ + (*last_ - base_);
}

void WriteEncoder::Seal() {
  char* const p = out_->data() + *last_;
  std::memcpy(p + kPreviousAt, &chain_, sizeof chain_);
  chain_ = ExtendCrc32c(seed_, std::string_view(p + kPreviousAt, last_bytes_ - kPreviousAt));
  std::memcpy(p + kCrcAt, &chain_, sizeof chain_);
}

uint32_t WriteEncoder::Finish() {
  KEEL_CHECK(last_.has_value());
  (*out_)[*last_ + kFlagsAt] = static_cast<char>(kRecordEndsWrite);
  Seal();
  return chain_;
}

}  // namespace keel::storage
