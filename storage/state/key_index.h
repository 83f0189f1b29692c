#pragma once

// The latest version of every key, in key order, in memory: all that a put or a read needs to know before it looks at a
// value. Older versions are found through the records. A deleted key stays, as a tombstone, until compaction passes it.
//
// Thread-compatible; its owner guards it. A caller walks it in chunks, so that a lock is held for a bounded number of
// entries only.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "storage/revision.h"
#include "storage/state/key_interval.h"
#include "storage/state/read_view.h"

namespace keel::storage {

struct IndexEntry {
  ChangeId mod;
  uint32_t stored_bytes = 0;  // Of the record at `mod`.
  Revision create{};
  int64_t version = 0;  // 0: a tombstone.
  LeaseId lease{};

  bool is_live() const { return version > 0; }
  KeyFacts facts() const { return {.mod = mod, .create = create, .version = version, .lease = lease}; }
};

// Copies of consecutive entries, ascending; the keys share one buffer.
class EntryChunk {
 public:
  void Clear() {
    keys_.clear();
    items_.clear();
  }
  void Add(std::string_view key, const IndexEntry& entry) {
    items_.push_back({.offset = keys_.size(), .size = key.size(), .entry = entry});
    keys_.append(key);
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

class KeyIndex {
 public:
  std::optional<IndexEntry> Find(std::string_view key) const;
  void Set(std::string_view key, const IndexEntry& entry);
  // Removes the key if `mod` is still its latest change.
  void Erase(std::string_view key, ChangeId mod);

  // Appends up to `entries_max` entries of the interval to `chunk`, from `after` (exclusive) on, or from the interval's
  // start when `after` is nullopt. True: the interval's end was reached.
  bool Read(const KeyInterval& interval, std::optional<std::string_view> after, size_t entries_max,
            EntryChunk* chunk) const;

  size_t live_keys() const { return live_keys_; }
  size_t size() const { return entries_.size(); }

 private:
  absl::btree_map<std::string, IndexEntry, std::less<>> entries_;
  size_t live_keys_ = 0;
};

}  // namespace keel::storage
