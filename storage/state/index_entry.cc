#include "storage/state/index_entry.h"

#include <cstring>

#include "base/bytes.h"
#include "storage/state/varint.h"

namespace keel::storage {
namespace {

constexpr uint8_t kHasSub = 1;
constexpr uint8_t kTombstone = 2;
constexpr uint8_t kHasVersion = 4;
constexpr uint8_t kHasLineage = 8;
constexpr uint8_t kHasLease = 16;
constexpr uint8_t kAllFlags = 31;
constexpr size_t kLeaseBytes = 8;

// How many varints follow the flags, up to the lineage.
int LeadingNumbers(uint8_t flags) {
  return 2 + ((flags & kHasSub) != 0 ? 1 : 0) + ((flags & kHasVersion) != 0 ? 2 : 0);
}

const char* SkipNumber(const char* p) {
  while (static_cast<uint8_t>(*p) >= 0x80) ++p;
  return p + 1;
}

}  // namespace

EncodedEntry::EncodedEntry(const IndexEntry& entry, const Lineage& lineage) {
  uint8_t flags = 0;
  const bool usual = entry.version == 1 && entry.create == entry.mod.revision;
  if (entry.mod.sub != 0) flags |= kHasSub;
  if (!entry.is_live()) flags |= kTombstone;
  if (entry.is_live() && !usual) flags |= kHasVersion;
  if (lineage.depth != 0) flags |= kHasLineage;
  if (entry.lease.value() != 0) flags |= kHasLease;
  char* p = buffer_;
  *p++ = static_cast<char>(flags);
  p = PutVarint(static_cast<uint64_t>(entry.mod.revision.value()), p);
  if ((flags & kHasSub) != 0) p = PutVarint(static_cast<uint32_t>(entry.mod.sub), p);
  p = PutVarint(entry.stored_bytes, p);
  if ((flags & kHasVersion) != 0) {
    p = PutVarint(static_cast<uint64_t>(entry.mod.revision - entry.create), p);
    p = PutVarint(static_cast<uint64_t>(entry.version), p);
  }
  if ((flags & kHasLineage) != 0) {
    p = PutVarint(lineage.depth, p);
    for (size_t level = 0; level < lineage.levels(); ++level) {
      p = PutVarint(static_cast<uint64_t>(lineage.shortcuts[level].revision.value()), p);
      p = PutVarint(static_cast<uint32_t>(lineage.shortcuts[level].sub), p);
    }
  }
  if ((flags & kHasLease) != 0) {
    const int64_t lease = entry.lease.value();
    std::memcpy(p, &lease, kLeaseBytes);
    p += kLeaseBytes;
  }
  size_ = static_cast<size_t>(p - buffer_);
}

IndexEntry DecodeEntry(const char* p, Lineage* lineage, const char** end) {
  IndexEntry entry;
  const uint8_t flags = static_cast<uint8_t>(*p++);
  entry.mod.revision = Revision(static_cast<int64_t>(GetVarint(&p)));
  if ((flags & kHasSub) != 0) entry.mod.sub = static_cast<int32_t>(GetVarint(&p));
  entry.stored_bytes = static_cast<uint32_t>(GetVarint(&p));
  entry.has_previous = (flags & kHasLineage) != 0;
  if ((flags & kHasVersion) != 0) {
    entry.create = entry.mod.revision - static_cast<int64_t>(GetVarint(&p));
    entry.version = static_cast<int64_t>(GetVarint(&p));
  } else if ((flags & kTombstone) == 0) {
    entry.create = entry.mod.revision;
    entry.version = 1;
  }
  if (lineage != nullptr) *lineage = Lineage();
  if ((flags & kHasLineage) != 0) {
    const uint64_t depth = GetVarint(&p);
    if (lineage != nullptr) lineage->depth = depth;
    for (size_t level = 0; level < Lineage::LevelsAt(depth); ++level) {
      const auto revision = Revision(static_cast<int64_t>(GetVarint(&p)));
      const auto sub = static_cast<int32_t>(GetVarint(&p));
      if (lineage != nullptr) lineage->shortcuts[level] = {.revision = revision, .sub = sub};
    }
  }
  if ((flags & kHasLease) != 0) {
    int64_t lease;
    std::memcpy(&lease, p, kLeaseBytes);
    entry.lease = LeaseId(lease);
    p += kLeaseBytes;
  }
  if (end != nullptr) *end = p;
  return entry;
}

const char* SkipEntry(const char* p) {
  const uint8_t flags = static_cast<uint8_t>(*p++);
  for (int n = LeadingNumbers(flags); n > 0; --n) p = SkipNumber(p);
  if ((flags & kHasLineage) != 0) {
    const uint64_t depth = GetVarint(&p);
    for (size_t n = 2 * Lineage::LevelsAt(depth); n > 0; --n) p = SkipNumber(p);
  }
  if ((flags & kHasLease) != 0) p += kLeaseBytes;
  return p;
}

EntrySummary SummarizeEntry(const char* p) {
  const uint8_t flags = static_cast<uint8_t>(*p++);
  return {.mod = Revision(static_cast<int64_t>(GetVarint(&p))),
          .live = (flags & kTombstone) == 0,
          .leased = (flags & kHasLease) != 0};
}

bool CheckEntry(std::string_view bytes, size_t* size) {
  std::string_view rest = bytes;
  if (rest.empty() || (static_cast<uint8_t>(rest[0]) & ~kAllFlags) != 0) return false;
  const uint8_t flags = static_cast<uint8_t>(rest[0]);
  if ((flags & kTombstone) != 0 && (flags & (kHasVersion | kHasLease)) != 0) return false;
  rest.remove_prefix(1);
  uint64_t number;
  for (int n = LeadingNumbers(flags); n > 0; --n) {
    if (!TakeVarint(&rest, &number)) return false;
  }
  if ((flags & kHasLineage) != 0) {
    uint64_t depth;
    if (!TakeVarint(&rest, &depth) || depth == 0) return false;
    for (size_t n = 2 * Lineage::LevelsAt(depth); n > 0; --n) {
      if (!TakeVarint(&rest, &number)) return false;
    }
  }
  if ((flags & kHasLease) != 0) {
    if (rest.size() < kLeaseBytes) return false;
    rest.remove_prefix(kLeaseBytes);
  }
  *size = bytes.size() - rest.size();
  return true;
}

}  // namespace keel::storage
