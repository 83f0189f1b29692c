#include "storage/log/raft_log.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/status_macros.h"
#include "raft/mutant.h"
#include "storage/disk.h"
#include "storage/log/record.h"
#include "storage/log/recovery.h"
#include "storage/log/segment.h"
#include "storage/log/spare_pool.h"

namespace keel::storage {
namespace {

// One read from a file, at most, unless a single entry is larger.
constexpr uint64_t kReadBytesMax = 1u << 20;
// Kept between appends; a rare larger write gives its memory back.
constexpr size_t kBufferBytesKept = 4u << 20;

class RaftLogImpl final : public RaftLog {
 public:
  RaftLogImpl(const RaftLogOptions& options, Disk* disk, RecoveredLog recovered)
      : options_(options),
        disk_(*disk),
        recovered_(std::move(recovered.facts)),
        hard_state_(recovered_.hard_state),
        next_sequence_(recovered.next_sequence),
        spares_(disk, options.dir, options.segment_bytes, options.spare_segments, options.spare_work,
                std::move(recovered.spares)),
        segments_(std::move(recovered.segments)) {
    if (!recovered.obsolete.empty()) spares_.Recycle(recovered.obsolete);
  }

  // A log that is new gets its first segment.
  absl::Status Begin() {
    if (!segments_.empty()) return absl::OkStatus();
    return AddSegment({}, /*resets=*/false, 0, options_.hasty_segment_bytes);
  }

  absl::Status Append(const raft::StableBatch& batch) override {
    KEEL_RETURN_IF_ERROR(failed_);
    return Final(Write(batch));
  }

  absl::StatusOr<std::vector<raft::Entry>> Read(raft::Index first, raft::Index last, size_t bytes_max) const override {
    std::vector<raft::Entry> entries;
    size_t bytes = 0;
    while (first <= last) {
      const absl::Status status = ReadSome(&first, last, bytes_max, &bytes, &entries);
      if (status.code() == absl::StatusCode::kOutOfRange) break;  // `bytes_max` reached.
      if (!status.ok()) return status;
    }
    return entries;
  }

  absl::Status TruncatePrefix(raft::Index through) override {
    KEEL_RETURN_IF_ERROR(failed_);
    std::vector<std::string> paths;
    {
      std::lock_guard<std::mutex> lock(mu_);
      for (const auto& segment : segments_.DropThrough(through)) paths.push_back(segment->path);
    }
    if (!paths.empty()) spares_.Recycle(paths);
    return absl::OkStatus();
  }

  absl::Status ResetTo(raft::EntryId last) override {
    KEEL_RETURN_IF_ERROR(failed_);
    hard_state_.commit = last.index;
    KEEL_RETURN_IF_ERROR(Final(AddSegment(last, /*resets=*/true, 0, 0)));
    std::vector<std::string> paths;
    {
      std::lock_guard<std::mutex> lock(mu_);
      for (const auto& segment : segments_.DropBeforeLast()) paths.push_back(segment->path);
    }
    spares_.Recycle(paths);
    return absl::OkStatus();
  }

  const Recovered& recovered() const override { return recovered_; }

  uint64_t BytesAfter(raft::Index index) const override {
    std::lock_guard<std::mutex> lock(mu_);
    return segments_.BytesAfter(std::max(index, segments_.start().index));
  }
  raft::Index first_index() const override {
    std::lock_guard<std::mutex> lock(mu_);
    return segments_.start().index + 1;
  }
  raft::Index last_index() const override {
    std::lock_guard<std::mutex> lock(mu_);
    return segments_.last().index;
  }

 private:
  // After a failed write or sync nobody knows what the disk holds, and a later success would not tell (the system
  // reports lost pages once): the first failure stays.
  absl::Status Final(absl::Status status) {
    if (!status.ok()) failed_ = status;
    return status;
  }

  absl::Status Write(const raft::StableBatch& batch) {
    if (batch.entries.empty() && !batch.hard_state) return absl::OkStatus();
    const raft::EntryId last = this->last();
    uint64_t bytes = batch.hard_state ? EncodedRecordBytes(sizeof(uint64_t)) : 0;
    for (const raft::Entry& entry : batch.entries) bytes += EncodedRecordBytes(entry.payload.size());
    if (bytes > kSegmentBytesMax - 2 * kSegmentHeaderBytes - kRecordHeaderBytes) {
      return absl::InvalidArgumentError(absl::StrCat("an append of ", bytes, " bytes is too large for the log"));
    }
    if (active().end + bytes > active().capacity && HasWrites(active())) {
      KEEL_RETURN_IF_ERROR(AddSegment(last, /*resets=*/false, active().chain, bytes));
    }
    if (batch.hard_state) {
      hard_state_ = *batch.hard_state;
      if (KEEL_MUTANT(kVoteNotWritten)) hard_state_.vote = raft::kNobody;
      // A leader may know more to be committed than it holds durably itself. What is stored is a promise about this
      // log, which recovery checks.
      const raft::Index stored = batch.entries.empty() ? last.index : batch.entries.back().id.index;
      hard_state_.commit = std::min(hard_state_.commit, stored);
    }

    Segment& segment = active();
    buffer_.clear();
    offsets_.clear();
    WriteEncoder encoder(segment.header.sequence, segment.end, segment.chain, &buffer_);
    if (batch.hard_state) encoder.AddHardState(hard_state_);
    for (const raft::Entry& entry : batch.entries) offsets_.push_back(encoder.AddEntry(entry));
    const uint32_t chain = encoder.Finish();
    KEEL_RETURN_IF_ERROR(WriteAndSync(segment.file.get(), segment.end, buffer_));
    {
      std::lock_guard<std::mutex> lock(mu_);
      segment.end += buffer_.size();
      segment.chain = chain;
      for (size_t i = 0; i < offsets_.size(); ++i) segments_.AddEntry(batch.entries[i].id, offsets_[i]);
    }
    if (segment.end > segment.capacity / 2) spares_.Prepare();
    if (buffer_.capacity() > kBufferBytesKept) std::string().swap(buffer_);
    return absl::OkStatus();
  }

  absl::Status WriteAndSync(DiskFile* file, uint64_t offset, std::string_view bytes) {
    const absl::Time begin = Clock::Real().Now();
    KEEL_RETURN_IF_ERROR(file->Write(offset, bytes));
    const absl::Time written = Clock::Real().Now();
    const absl::Status synced = file->Sync();
    if (!KEEL_MUTANT(kSyncErrorIgnored)) KEEL_RETURN_IF_ERROR(synced);
    if (options_.observer != nullptr) {
      options_.observer->OnSync(written - begin, Clock::Real().Now() - written, bytes.size());
    }
    return absl::OkStatus();
  }

  // Whether more than the hard state it was begun with is in it.
  static bool HasWrites(const Segment& segment) {
    return segment.end > kSegmentHeaderBytes + EncodedRecordBytes(sizeof(uint64_t));
  }

  // Begins a segment with room for `bytes`. It gets its name, by which recovery finds it, only when its header and hard
  // state are durable, so a crash leaves it whole or not there.
  absl::Status AddSegment(raft::EntryId start, bool resets, uint32_t previous, uint64_t bytes) {
    auto segment = std::make_shared<Segment>();
    segment->header = {.sequence = next_sequence_, .start = start, .previous = previous, .resets = resets};
    std::string begin = EncodeSegmentHeader(&segment->header);
    WriteEncoder encoder(next_sequence_, begin.size(), segment->header.crc, &begin);
    encoder.AddHardState(hard_state_);
    segment->chain = encoder.Finish();
    segment->end = begin.size();

    std::string made_of;
    if (std::optional<std::string> spare = spares_.Take()) {
      made_of = *std::move(spare);
      KEEL_ASSIGN_OR_RETURN(segment->file, disk_.Open(made_of));
      KEEL_ASSIGN_OR_RETURN(segment->capacity, segment->file->Size());
    } else {
      made_of = absl::StrCat(options_.dir, "/", kHastyName);
      KEEL_ASSIGN_OR_RETURN(segment->file, disk_.Create(made_of));
      segment->capacity =
          std::max(std::min(options_.hasty_segment_bytes, options_.segment_bytes), begin.size() + bytes);
      KEEL_RETURN_IF_ERROR(SparePool::FillWithZeroes(segment->file.get(), 0, segment->capacity));
    }
    KEEL_RETURN_IF_ERROR(WriteAndSync(segment->file.get(), 0, begin));
    segment->path = absl::StrCat(options_.dir, "/", SegmentName(next_sequence_));
    KEEL_RETURN_IF_ERROR(disk_.Rename(made_of, segment->path));
    KEEL_RETURN_IF_ERROR(disk_.SyncDir(options_.dir));
    ++next_sequence_;
    std::lock_guard<std::mutex> lock(mu_);
    segments_.Add(std::move(segment));
    return absl::OkStatus();
  }

  // Reads from `*first` on what lies close together in one segment and moves `*first` behind it. kOutOfRange: the next
  // entry would exceed `bytes_max`.
  absl::Status ReadSome(raft::Index* first, raft::Index last, size_t bytes_max, size_t* bytes,
                        std::vector<raft::Entry>* entries) const {
    std::shared_ptr<Segment> segment;
    std::vector<uint64_t> offsets;  // Of the entries to read, then where the last of them ends at the latest.
    {
      std::lock_guard<std::mutex> lock(mu_);
      if (*first <= segments_.start().index) return Truncated(*first);
      if (last > segments_.last().index) {
        return absl::NotFoundError(
            absl::StrCat("log: entry ", last.value(), " is beyond the last one, ", segments_.last().index.value()));
      }
      const SegmentList::Place place = segments_.Find(*first);
      segment = place.segment;
      const uint64_t budget = std::min<uint64_t>(kReadBytesMax, bytes_max > *bytes ? bytes_max - *bytes : 0);
      const raft::Index segment_end = segment->first + segment->offsets.size();
      raft::Index next = *first;
      do {
        offsets.push_back(segment->OffsetOf(next));
        ++next;
      } while (next <= last && next < segment_end && segment->OffsetOf(next) - place.offset < budget);
      offsets.push_back(next < segment_end ? segment->OffsetOf(next) : segment->end);
    }

    std::string content(offsets.back() - offsets.front(), '\0');
    KEEL_ASSIGN_OR_RETURN(const size_t got, segment->file->Read(offsets.front(), content.size(), content.data()));
    content.resize(got);
    const uint32_t seed = RecordSeed(segment->header.sequence);
    for (size_t i = 0; i + 1 < offsets.size(); ++i) {
      const size_t at = offsets[i] - offsets.front();
      const std::optional<LogRecord> record =
          at < content.size() ? DecodeRecord(seed, std::string_view(content).substr(at)) : std::nullopt;
      if (!record || record->type != RecordType::kEntry || record->id.index != *first) {
        return Unreadable(*segment, *first, offsets[i]);
      }
      const size_t weight = record->payload.size() + raft::Entry::kOverheadBytes;
      if (!entries->empty() && *bytes + weight > bytes_max) return absl::OutOfRangeError("bytes_max");
      *bytes += weight;
      entries->push_back(
          {.id = record->id, .type = record->entry_type, .payload = raft::Payload(std::string(record->payload))});
      ++*first;
    }
    return absl::OkStatus();
  }

  // A record that does not verify: damage, unless its segment has been recycled under our hands.
  absl::Status Unreadable(const Segment& segment, raft::Index index, uint64_t offset) const {
    {
      std::lock_guard<std::mutex> lock(mu_);
      if (index <= segments_.start().index) return Truncated(index);
    }
    return absl::DataLossError(absl::StrCat(segment.path, ": the record of entry ", index.value(),
                                            " is damaged at offset ", offset, "; stop the member and check its disk"));
  }

  static absl::Status Truncated(raft::Index index) {
    return absl::NotFoundError(absl::StrCat("log: entry ", index.value(), " has been truncated away"));
  }

  // For the appending thread, which alone changes them.
  Segment& active() const {
    std::lock_guard<std::mutex> lock(mu_);
    return segments_.active();
  }
  raft::EntryId last() const {
    std::lock_guard<std::mutex> lock(mu_);
    return segments_.last();
  }

  const RaftLogOptions options_;
  Disk& disk_;
  const Recovered recovered_;

  // The appending thread's.
  absl::Status failed_;
  raft::HardState hard_state_;
  uint64_t next_sequence_;
  std::string buffer_;
  std::vector<uint64_t> offsets_;

  SparePool spares_;

  // Held for memory only, never over a read or write of a file. The standard one, which the thread sanitizer can see
  // (it takes the packaged absl::Mutex, built without it, for no lock at all).
  mutable std::mutex mu_;
  SegmentList segments_;  // Guarded by mu_.

  static constexpr char kHastyName[] = "filling-segment";
};

}  // namespace

absl::StatusOr<std::unique_ptr<RaftLog>> RaftLog::Open(const RaftLogOptions& options) {
  Disk* const disk = options.disk != nullptr ? options.disk : &Disk::Real();
  KEEL_RETURN_IF_ERROR(disk->CreateDir(options.dir));
  KEEL_ASSIGN_OR_RETURN(RecoveredLog recovered, RecoverLog(*disk, options.dir));
  auto log = std::make_unique<RaftLogImpl>(options, disk, std::move(recovered));
  KEEL_RETURN_IF_ERROR(log->Begin());
  return std::unique_ptr<RaftLog>(std::move(log));
}

}  // namespace keel::storage
