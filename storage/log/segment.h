#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "raft/types.h"
#include "storage/disk.h"
#include "storage/log/record.h"

namespace keel::storage {

// One file of the log, and which of the log's entries are found in it.
struct Segment {
  std::string path;
  SegmentHeader header;
  std::unique_ptr<DiskFile> file;
  uint64_t capacity = 0;  // Bytes that are already written (by zeroes or old records), so that syncing them is cheap.

  // The next record goes here, and continues this checksum.
  uint64_t end = 0;
  uint32_t chain = 0;

  // The entries whose newest record is in this file are [first, first + offsets.size()). Offsets count
  // kRecordAlignment; they ascend.
  raft::Index first;
  std::vector<uint32_t> offsets;

  uint64_t OffsetOf(raft::Index index) const { return uint64_t{offsets[index - first]} * kRecordAlignment; }
};

// "<16 hex digits>.log", so that names sort as sequences do.
std::string SegmentName(uint64_t sequence);
// nullopt: not a segment's name.
std::optional<uint64_t> SequenceOfName(const std::string& name);

// The segments of a log, oldest first, and where each entry is.
//
// Thread-compatible. Invariant: the live ranges of the segments, in order, are exactly the entries (start(), last()].
class SegmentList {
 public:
  // The new last segment. REQUIRES: its header's start is last(), or it resets, or it is the first one.
  void Add(std::shared_ptr<Segment> segment);

  // An entry was recorded at `offset` of the last segment; it replaces what was known at and after its index.
  // REQUIRES: start().index < id.index <= last().index + 1.
  void AddEntry(raft::EntryId id, uint64_t offset);

  // Removes segments from the front whose entries are all at or below `through`, where the rest still replays by
  // itself; returns them, oldest first. Never the last one.
  std::vector<std::shared_ptr<Segment>> DropThrough(raft::Index through);
  // Removes all but the last segment, which must have reset the log.
  std::vector<std::shared_ptr<Segment>> DropBeforeLast();
  // Removes all of them, oldest first; what is added then is the first one.
  std::vector<std::shared_ptr<Segment>> Clear();

  struct Place {
    std::shared_ptr<Segment> segment;
    uint64_t offset = 0;
  };
  // REQUIRES: start().index < index <= last().index.
  Place Find(raft::Index index) const;

  // Bytes of file from the record of index + 1 to the end of the log, leaving out what lies in between.
  uint64_t BytesAfter(raft::Index index) const;

  bool empty() const { return segments_.empty(); }
  Segment& active() const { return *segments_.back(); }
  raft::EntryId start() const { return start_; }
  raft::EntryId last() const { return last_; }

 private:
  std::deque<std::shared_ptr<Segment>> segments_;
  raft::EntryId start_;
  raft::EntryId last_;
};

}  // namespace keel::storage
