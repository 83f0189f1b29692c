#pragma once

// The latest version of every key, in key order, in memory: all that a put or a read needs to know before it looks at a
// value. Older versions are found through the records. A deleted key stays, as a tombstone, until compaction passes it.
//
// Thread-compatible; its owner guards it. A caller walks it in chunks, so that a lock is held for a bounded number of
// entries only.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/types/compare.h"
#include "base/string_view.h"
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
  size_t size() const { return by_key_.size(); }

 private:
  struct Node {
    IndexEntry entry;
    std::string key;
  };
  static std::string_view KeyOf(const std::unique_ptr<Node>& node) { return node->key; }
  static std::string_view KeyOf(const Node* node) { return node->key; }
  static std::string_view KeyOf(std::string_view key) { return key; }

  struct Hash {
    using is_transparent = void;
    template <typename T>
    size_t operator()(const T& x) const {
      return absl::Hash<absl::string_view>()(ToAbsl(KeyOf(x)));
    }
  };
  struct Same {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return KeyOf(a) == KeyOf(b);
    }
  };
  struct Order {
    using is_transparent = void;
    template <typename A, typename B>
    absl::weak_ordering operator()(const A& a, const B& b) const {
      int order = KeyOf(a).compare(KeyOf(b));
      return order < 0   ? absl::weak_ordering::less
             : order > 0 ? absl::weak_ordering::greater
                         : absl::weak_ordering::equivalent;
    }
  };

  // Most lookups are of single keys that exist: a hash finds them in one step, where the tree takes a comparison, and a
  // cache miss, per level. The tree is touched only when a key comes or goes, and by reads of intervals.
  absl::flat_hash_set<std::unique_ptr<Node>, Hash, Same> by_key_;
  absl::btree_set<const Node*, Order> by_order_;
  size_t live_keys_ = 0;
};

}  // namespace keel::storage
