#include "storage/log/recovery.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "raft/membership.h"
#include "raft/mutant.h"
#include "storage/log/spare_pool.h"

namespace keel::storage {
namespace {

// What Raft can still do for a member whose log is damaged.
constexpr char kAdvice[] =
    "; the log of this member cannot be trusted: stop it, replace the disk if it is failing, remove its data directory "
    "and add the member again, so that it receives the data from the others";

// Checking whether something valid follows the end of the log costs checksums over whatever bytes are there; this
// bounds them even when somebody has written values that look like records.
constexpr uint64_t kLookAheadBytesMax = 1u << 30;

absl::Status Damage(const std::string& path, uint64_t offset, const std::string& what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what, " at offset ", offset, kAdvice));
}

// The replay of the log's records, write by write.
class Replay {
 public:
  Replay(SegmentList* segments, RaftLog::Recovered* facts, std::vector<std::string>* obsolete)
      : segments_(segments), facts_(facts), obsolete_(obsolete) {}

  absl::Status Begin(std::shared_ptr<Segment> segment) {
    const SegmentHeader& header = segment->header;
    if (!is_void_.ok()) {
      for (const std::shared_ptr<Segment>& old : segments_->Clear()) obsolete_->push_back(old->path);
      is_void_ = absl::OkStatus();
    }
    const bool from_nothing = segments_->empty() || header.resets;
    if (!from_nothing && header.start != segments_->last()) {
      return Damage(segment->path, 0,
                    absl::StrCat("segment continues after entry ", header.start.index.value(), ", but the log ends at ",
                                 segments_->last().index.value(), ";"));
    }
    segments_->Add(std::move(segment));
    if (from_nothing) {
      facts_->term_runs.clear();
      facts_->memberships.clear();
    }
    return absl::OkStatus();
  }

  // After the last segment. Not OK: what there is does not make a log.
  const absl::Status& End() const { return is_void_; }

  // One record of the last segment, at `offset`.
  absl::Status Apply(const LogRecord& record, uint64_t offset) {
    const std::string& path = segments_->active().path;
    if (record.type == RecordType::kHardState) {
      const std::optional<raft::HardState> hard_state = HardStateOf(record);
      if (!hard_state) return Damage(path, offset, "malformed hard state");
      facts_->hard_state = *hard_state;
      return absl::OkStatus();
    }
    if (!is_void_.ok()) return absl::OkStatus();
    const raft::EntryId id = record.id;
    if (id.index <= segments_->start().index || id.index > segments_->last().index + 1) {
      const absl::Status misplaced =
          Damage(path, offset,
                 absl::StrCat("entry ", id.index.value(), " does not continue the log, which holds (",
                              segments_->start().index.value(), ", ", segments_->last().index.value(), "],"));
      if (id.index > segments_->start().index) return misplaced;
      // It replaced what a segment held that is gone: a truncation was cut short between the two, which had to go
      // together. The next segment's header says where the log begins.
      is_void_ = misplaced;
      return absl::OkStatus();
    }
    std::vector<raft::TermRun>& runs = facts_->term_runs;
    while (!runs.empty() && runs.back().first >= id.index) runs.pop_back();
    const raft::Term before = runs.empty() ? segments_->start().term : runs.back().term;
    if (id.term < before) {
      return Damage(path, offset, absl::StrCat("entry ", id.index.value(), " is older than the one before it,"));
    }
    if (runs.empty() || id.term != before) runs.push_back({.first = id.index, .term = id.term});
    segments_->AddEntry(id, offset);
    return NoteMembership(record, path, offset);
  }

 private:
  absl::Status NoteMembership(const LogRecord& record, const std::string& path, uint64_t offset) {
    std::vector<raft::MembershipRecord>& memberships = facts_->memberships;
    while (!memberships.empty() && memberships.back().index >= record.id.index) memberships.pop_back();
    if (record.entry_type != raft::EntryType::kMembership) return absl::OkStatus();
    absl::StatusOr<raft::MembershipEntry> entry = raft::DecodeMembershipEntry(record.payload);
    if (!entry.ok()) return Damage(path, offset, std::string(ToStd(entry.status().message())));
    memberships.push_back({.index = record.id.index,
                           .membership = std::move(entry->membership),
                           .context = raft::Payload(std::move(entry->context))});
    return absl::OkStatus();
  }

  SegmentList* const segments_;
  RaftLog::Recovered* const facts_;
  std::vector<std::string>* const obsolete_;
  absl::Status is_void_;  // Not OK: the segments so far are no log without those that were before them.
};

// What a pass over one segment found.
struct Scan {
  uint64_t last_write_begin = kSegmentHeaderBytes;
  uint64_t end = kSegmentHeaderBytes;  // Of the last whole write.
  uint32_t chain = 0;                  // As of `end`.
  uint64_t bad = 0;                    // Offset of the first record that is not valid; `end` or later.
  uint64_t torn_bytes = 0;             // From `end` on, what can be told to be an unfinished write.
};

absl::StatusOr<Scan> ScanSegment(const SegmentHeader& header, std::string_view content, Replay* replay) {
  const uint32_t seed = RecordSeed(header.sequence);
  Scan scan;
  scan.chain = header.crc;
  uint32_t chain = header.crc;
  uint64_t offset = kSegmentHeaderBytes;
  // A write counts only as a whole.
  std::vector<std::pair<uint64_t, LogRecord>> write;
  while (offset <= content.size()) {
    const std::optional<LogRecord> record = DecodeRecord(seed, content.substr(offset));
    const uint64_t write_begin = write.empty() ? offset : write.front().first;
    if (!record || record->previous != chain || record->write_begin != write_begin) break;
    write.emplace_back(offset, *record);
    chain = record->crc;
    offset += record->encoded_bytes();
    if (!record->ends_write) continue;
    for (const auto& [at, whole] : write) KEEL_RETURN_IF_ERROR(replay->Apply(whole, at));
    write.clear();
    scan.last_write_begin = write_begin;
    scan.end = offset;
    scan.chain = chain;
  }
  scan.bad = offset;
  scan.torn_bytes = offset - scan.end;
  if (offset + kRecordHeaderBytes <= content.size() && ReadLittleEndian32(content.data() + offset + 4) == chain) {
    const uint64_t length = EncodedRecordBytes(ReadLittleEndian32(content.data() + offset + 8));
    scan.torn_bytes += std::min<uint64_t>(length, content.size() - offset);
  }
  return scan;
}

// Where a write begins that was made after the one at `end`: proof that the latter had been synced, since writes follow
// each other's syncs. nullopt: nothing follows, `end` is where a crash cut the log.
std::optional<uint64_t> LaterWrite(const SegmentHeader& header, std::string_view content, uint64_t end) {
  const uint32_t seed = RecordSeed(header.sequence);
  uint64_t work = 0;
  for (uint64_t at = end + kRecordAlignment; at + kRecordHeaderBytes <= content.size(); at += kRecordAlignment) {
    // The first record of a write names its own place, which leaves next to nothing to checksum.
    if (uint64_t{ReadLittleEndian32(content.data() + at + 12)} * kRecordAlignment != at) continue;
    work += std::min<uint64_t>(ReadLittleEndian32(content.data() + at + 8), content.size());
    if (work > kLookAheadBytesMax) break;
    if (DecodeRecord(seed, content.substr(at))) return at;
  }
  return std::nullopt;
}

// Reads one segment into `log`; `*chain` is the checksum it must continue, and is moved on.
absl::Status ReadSegment(Disk& disk, const std::string& dir, uint64_t sequence, bool is_first, bool is_last,
                         Replay* replay, RecoveredLog* log, uint32_t* chain) {
  auto segment = std::make_shared<Segment>();
  segment->path = absl::StrCat(dir, "/", SegmentName(sequence));
  KEEL_ASSIGN_OR_RETURN(segment->file, disk.Open(segment->path));
  KEEL_ASSIGN_OR_RETURN(const std::string content, ReadWhole(*segment->file));
  absl::StatusOr<SegmentHeader> header = DecodeSegmentHeader(content);
  if (!header.ok()) {
    const std::string text = absl::StrCat(segment->path, " ", header.status().message());
    if (absl::IsDataLoss(header.status())) return absl::DataLossError(absl::StrCat(text, kAdvice));
    return absl::Status(header.status().code(), text);
  }
  if (header->sequence != sequence) {
    return Damage(segment->path, 0, absl::StrCat("the file holds segment ", header->sequence));
  }
  if (!is_first && header->previous != *chain) {
    const Segment& before = log->segments.active();
    return Damage(before.path, before.end, "damaged record, later segments follow,");
  }
  segment->header = *header;
  segment->capacity = content.size();
  KEEL_RETURN_IF_ERROR(replay->Begin(segment));
  KEEL_ASSIGN_OR_RETURN(const Scan scan, ScanSegment(*header, content, replay));
  segment->end = scan.end;
  segment->chain = *chain = scan.chain;
  // Every segment is given its hard state before it gets its name.
  if (scan.end == kSegmentHeaderBytes) return Damage(segment->path, scan.bad, "damaged first record");
  if (!is_last) return absl::OkStatus();
  KEEL_RETURN_IF_ERROR(replay->End());

  if (const std::optional<uint64_t> later = LaterWrite(*header, content, scan.end);
      later && !KEEL_MUTANT(kDamageTakenForTornTail)) {
    return Damage(segment->path, scan.bad, absl::StrCat("damaged record, followed by a later write at ", *later, ","));
  }
  log->facts.torn_bytes = scan.torn_bytes;
  // If the process that made the last write ended because its sync failed, the page cache holds what the disk does not,
  // and says it is clean. Writing it again makes it count.
  KEEL_RETURN_IF_ERROR(
      segment->file->Write(scan.last_write_begin,
                           std::string_view(content).substr(scan.last_write_begin, scan.end - scan.last_write_begin)));
  return segment->file->Sync();
}

}  // namespace

absl::StatusOr<RecoveredLog> RecoverLog(Disk& disk, const std::string& dir) {
  RecoveredLog log;
  // A process that was killed before it had synced the directory leaves names that are there and yet not durable.
  // Nothing may be promised by what is written into such a file, nor may a file be written over that a power cut could
  // give its old name back.
  KEEL_RETURN_IF_ERROR(disk.SyncDir(dir));
  KEEL_ASSIGN_OR_RETURN(const std::vector<std::string> names, disk.List(dir));
  std::map<uint64_t, bool> sequences;  // To whether it resets the log.
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(dir, "/", name);
    if (const std::optional<uint64_t> sequence = SequenceOfName(name)) {
      KEEL_ASSIGN_OR_RETURN(const std::unique_ptr<DiskFile> file, disk.Open(path));
      std::string bytes(kSegmentHeaderBytes, '\0');
      KEEL_ASSIGN_OR_RETURN(const size_t got, file->Read(0, bytes.size(), bytes.data()));
      bytes.resize(got);
      const absl::StatusOr<SegmentHeader> header = DecodeSegmentHeader(bytes);
      sequences[*sequence] = header.ok() && header->resets;
    } else if (SparePool::IsUnfinished(name)) {
      KEEL_RETURN_IF_ERROR(disk.Remove(path));
    } else if (SparePool::IsSpare(name)) {
      log.spares.push_back(path);
    }
  }
  if (sequences.empty()) return log;
  log.next_sequence = sequences.rbegin()->first + 1;

  // Nothing before the last reset counts.
  uint64_t first = sequences.begin()->first;
  for (const auto& [sequence, resets] : sequences) {
    if (resets) first = sequence;
  }
  Replay replay(&log.segments, &log.facts, &log.obsolete);
  uint32_t chain = 0;
  uint64_t expected = first;
  for (const auto& [sequence, resets] : sequences) {
    const std::string path = absl::StrCat(dir, "/", SegmentName(sequence));
    if (sequence < first) {
      log.obsolete.push_back(path);
      continue;
    }
    if (sequence != expected) {
      return absl::DataLossError(
          absl::StrCat(dir, "/", SegmentName(expected), " is missing, later segments are there", kAdvice));
    }
    ++expected;
    KEEL_RETURN_IF_ERROR(
        ReadSegment(disk, dir, sequence, sequence == first, sequence + 1 == log.next_sequence, &replay, &log, &chain));
  }
  log.facts.start = log.segments.start();
  log.facts.last = log.segments.last().index;
  if (log.facts.hard_state.commit > log.facts.last) {
    const Segment& active = log.segments.active();
    return Damage(active.path, active.end,
                  absl::StrCat("entries up to ", log.facts.hard_state.commit.value(),
                               " were stored, the log now ends with entry ", log.facts.last.value()));
  }
  return log;
}

}  // namespace keel::storage
