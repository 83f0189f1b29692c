#pragma once

// What the index knows of a key's latest version, and the bytes it keeps it in.
//
//   entry  flags (1 byte), mod revision, [sub], stored bytes, [mod - create, version], [depth, shortcut*], [lease]
//
// Numbers are varints, the lease 8 bytes, a shortcut its revision and sub. What the flags say is not there has its
// usual value: sub 0, a first version (create = mod, version 1), depth 0, no lease. A tombstone has neither create nor
// version.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/revision.h"
#include "storage/state/lineage.h"
#include "storage/state/read_view.h"

namespace keel::storage {

struct IndexEntry {
  ChangeId mod;
  uint32_t stored_bytes = 0;  // Of the record at `mod`.
  bool has_previous = false;  // Of the record at `mod`: the key has older records.
  Revision create{};
  int64_t version = 0;  // 0: a tombstone.
  LeaseId lease{};

  bool is_live() const { return version > 0; }
  KeyFacts facts() const { return {.mod = mod, .create = create, .version = version, .lease = lease}; }
};

// An encoded entry. Holds its bytes.
class EncodedEntry {
 public:
  EncodedEntry(const IndexEntry& entry, const Lineage& lineage);
  std::string_view bytes() const { return {buffer_, size_}; }

 private:
  static constexpr size_t kBytesMax = 128;
  char buffer_[kBytesMax];
  size_t size_;
};

// What EncodedEntry wrote at `p`. `lineage` and `end` (what follows) may be null.
IndexEntry DecodeEntry(const char* p, Lineage* lineage, const char** end);
// Where an encoded entry ends; and the little of it that sums are made of, without reading all.
const char* SkipEntry(const char* p);
struct EntrySummary {
  Revision mod;
  bool live = false;
  bool leased = false;
};
EntrySummary SummarizeEntry(const char* p);
// True: `bytes` begins with a whole encoded entry, and `*size` is its length.
bool CheckEntry(std::string_view bytes, size_t* size);

// Copies of consecutive entries, ascending; the keys share one buffer.
class EntryChunk {
 public:
  void Clear() {
    keys_.clear();
    items_.clear();
  }
  void Add(std::string_view key, const IndexEntry& entry) { Add(key, {}, entry); }
  // The key in two parts.
  void Add(std::string_view prefix, std::string_view rest, const IndexEntry& entry) {
    items_.push_back({.offset = keys_.size(), .size = prefix.size() + rest.size(), .entry = entry});
    keys_.append(prefix).append(rest);
  }
  size_t size() const { return items_.size(); }
  // Valid until the next change.
  std::string_view key(size_t i) const { return std::string_view(keys_).substr(items_[i].offset, items_[i].size); }
  const IndexEntry& entry(size_t i) const { return items_[i].entry; }

 private:
  struct Item {
    size_t offset;
    size_t size;
    IndexEntry entry;
  };
  std::string keys_;
  std::vector<Item> items_;
};

}  // namespace keel::storage
