#include "storage/log/segment.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "base/check.h"

namespace keel::storage {
namespace {

constexpr size_t kSequenceDigits = 16;
constexpr char kSuffix[] = ".log";

}  // namespace

std::string SegmentName(uint64_t sequence) { return absl::StrFormat("%016x%s", sequence, kSuffix); }

std::optional<uint64_t> SequenceOfName(const std::string& name) {
  if (name.size() != kSequenceDigits + sizeof kSuffix - 1 || name.substr(kSequenceDigits) != kSuffix) {
    return std::nullopt;
  }
  uint64_t sequence = 0;
  for (size_t i = 0; i < kSequenceDigits; ++i) {
    const char c = name[i];
    if (c >= '0' && c <= '9') {
      sequence = sequence << 4 | static_cast<uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      sequence = sequence << 4 | static_cast<uint64_t>(c - 'a' + 10);
    } else {
      return std::nullopt;
    }
  }
  return sequence;
}

void SegmentList::Add(std::shared_ptr<Segment> segment) {
  if (segments_.empty() || segment->header.resets) {
    for (const auto& old : segments_) old->offsets.clear();
    start_ = last_ = segment->header.start;
  }
  KEEL_CHECK(segment->header.start == last_);
  segment->first = last_.index + 1;
  segment->offsets.clear();
  segments_.push_back(std::move(segment));
}

void SegmentList::AddEntry(raft::EntryId id, uint64_t offset) {
  KEEL_CHECK_GT(id.index, start_.index);
  KEEL_CHECK_LE(id.index, last_.index + 1);
  if (id.index <= last_.index) {
    for (auto it = segments_.rbegin(); it != segments_.rend(); ++it) {
      Segment& segment = **it;
      if (segment.first + segment.offsets.size() <= id.index && !segment.offsets.empty()) break;
      segment.offsets.resize(id.index > segment.first ? std::min(id.index - segment.first, segment.offsets.size()) : 0);
      if (!segment.offsets.empty()) break;
    }
  }
  Segment& active = *segments_.back();
  if (active.offsets.empty()) active.first = id.index;
  KEEL_CHECK_EQ(active.first + active.offsets.size(), id.index);
  active.offsets.push_back(static_cast<uint32_t>(offset / kRecordAlignment));
  last_ = id;
}

std::vector<std::shared_ptr<Segment>> SegmentList::DropThrough(raft::Index through) {
  // The longest front that may go. What remains must replay without it: its first header has to name the entry that
  // will be the new start, which it does not if entries before it were replaced after it was begun.
  size_t drop = 0;
  raft::Index live_last = start_.index;
  for (size_t i = 0; i + 1 < segments_.size(); ++i) {
    live_last = live_last + segments_[i]->offsets.size();
    if (live_last > through) break;
    if (segments_[i + 1]->header.start.index == live_last) drop = i + 1;
  }
  std::vector<std::shared_ptr<Segment>> dropped(segments_.begin(), segments_.begin() + static_cast<ptrdiff_t>(drop));
  segments_.erase(segments_.begin(), segments_.begin() + static_cast<ptrdiff_t>(drop));
  if (drop > 0) start_ = segments_.front()->header.start;
  return dropped;
}

std::vector<std::shared_ptr<Segment>> SegmentList::DropBeforeLast() {
  KEEL_CHECK(segments_.back()->header.resets);
  std::vector<std::shared_ptr<Segment>> dropped(segments_.begin(), segments_.end() - 1);
  segments_.erase(segments_.begin(), segments_.end() - 1);
  return dropped;
}

std::vector<std::shared_ptr<Segment>> SegmentList::Clear() {
  std::vector<std::shared_ptr<Segment>> dropped(segments_.begin(), segments_.end());
  segments_.clear();
  start_ = last_ = raft::EntryId{};
  return dropped;
}

SegmentList::Place SegmentList::Find(raft::Index index) const {
  KEEL_CHECK_GT(index, start_.index);
  KEEL_CHECK_LE(index, last_.index);
  // Newest first: followers and apply mostly want recent entries, and there are few segments.
  for (auto it = segments_.rbegin(); it != segments_.rend(); ++it) {
    const Segment& segment = **it;
    if (!segment.offsets.empty() && segment.first <= index) return {*it, segment.OffsetOf(index)};
  }
  KEEL_CHECK(false) << "entry " << index << " is in no segment";
  return {};
}

uint64_t SegmentList::BytesAfter(raft::Index index) const {
  uint64_t bytes = 0;
  for (auto it = segments_.rbegin(); it != segments_.rend(); ++it) {
    const Segment& segment = **it;
    if (segment.offsets.empty()) continue;
    if (segment.first + segment.offsets.size() <= index + 1) break;
    bytes += segment.end - segment.OffsetOf(std::max(segment.first, index + 1));
  }
  return bytes;
}

}  // namespace keel::storage
