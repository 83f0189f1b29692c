#pragma once

// The latest version of every key, in key order, in memory: all that a put or a read needs to know before it looks at a
// value. Older versions are found through the records. A deleted key stays, as a tombstone, until compaction passes it.
//
// A B+ tree: slotted pages of entries (index_leaf.h) below inner nodes that count (index_inner.h). Some 25 to 45 bytes
// a key at the usual lengths.
//
// Thread-compatible; its owner guards it. A caller walks it in chunks, so that a lock is held for a bounded number of
// entries only. It needs no versions of its own for readers of a fixed revision: an entry that is newer than their
// revision tells them where the older records are.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/revision.h"
#include "storage/state/index_entry.h"
#include "storage/state/index_inner.h"
#include "storage/state/index_leaf.h"
#include "storage/state/index_pages.h"
#include "storage/state/key_interval.h"

namespace keel::storage {

// A count in progress.
struct IndexCount {
  int64_t live = 0;
  // Entries that changed later than the revision counted at, and of which only their records can say more.
  std::vector<IndexEntry> unsure;
  std::string resume;  // Where to go on, when it is not finished.
};

// A part of an index as blocks of consecutive entries, ready to be stored:
//
//   block  entries, prefix bytes (varints), prefix, cells as in a leaf, rests always inside
struct IndexDump {
  std::vector<std::string> blocks;
  uint64_t entries = 0;
  std::string last_key;
};

class KeyIndex {
 public:
  KeyIndex() = default;
  ~KeyIndex();
  KeyIndex(const KeyIndex&) = delete;
  KeyIndex& operator=(const KeyIndex&) = delete;

  // Empty as at first.
  void Clear();

  std::optional<IndexEntry> Find(std::string_view key) const;
  // With the lineage of the record at its `mod`.
  struct Latest {
    IndexEntry entry;
    Lineage lineage;
  };
  std::optional<Latest> FindLatest(std::string_view key) const;

  void Set(std::string_view key, const IndexEntry& entry, const Lineage& lineage);

  // Looks many keys up together: while the processor waits for what one search needs next, it goes on with the others.
  class Lookup;
  void LookUp(std::span<Lookup> lookups) const;
  // As above, of the key of `lookup`; takes the way that it found, unless the index has changed too much since.
  void Set(const Lookup& lookup, const IndexEntry& entry, const Lineage& lineage);

  // Removes the key if `mod` is still its latest change.
  void Erase(std::string_view key, ChangeId mod);

  // Appends up to `entries_max` entries of the interval to `chunk`, from `after` (exclusive) on, or from the interval's
  // start when `after` is nullopt. True: the interval's end was reached.
  bool Read(const KeyInterval& interval, std::optional<std::string_view> after, size_t entries_max,
            EntryChunk* chunk) const;

  // Adds to `count` the keys of the interval that lived at `at`. Looks at no more than about `leaves_max` leaves, which
  // is only reached where that many changed after `at`; false: go on at `count->resume`.
  bool Count(const KeyInterval& interval, Revision at, size_t leaves_max, IndexCount* count) const;

  // Calls `visit` for the keys that hold a lease, ascending. Looks at every leaf, but not at every entry.
  void ForEachLeased(const std::function<void(std::string_view key, LeaseId lease)>& visit) const;

  // Appends blocks of some `bytes_max` from behind `after` on to `dump`; nullopt: from the start. True: the last entry
  // is in it.
  bool Dump(const std::optional<std::string>& after, size_t bytes_max, IndexDump* dump) const;

  size_t live_keys() const { return live_keys_; }
  size_t size() const { return size_; }
  size_t memory_bytes() const;

  class Loader;

 private:
  static constexpr size_t kHeightMax = 16;

  // The way from the root to a leaf.
  struct Path {
    std::array<IndexInner*, kHeightMax> inner;
    std::array<size_t, kHeightMax> at;
    IndexLeaf* leaf = nullptr;
  };
  struct Bounds {
    const std::string_view* first;  // Inclusive; null: none.
    const std::string_view* end;    // Exclusive; null: none.
  };

  void Descend(std::string_view key, Path* path) const;
  void SetAt(Path* path, IndexLeaf::Place place, std::string_view key, std::string_view entry);
  // Has the processor fetch what a search looks at in a node of that level; height_ is that of the leaves.
  void PrefetchNode(const void* node, size_t level) const;
  // To the leaf after path's; false: there is none.
  bool NextLeaf(Path* path) const;
  void FirstLeaf(Path* path) const;

  // The slow way of Set(): the leaf is made anew, in one or two pages.
  void Rebuild(Path* path, size_t slot, bool found, std::string_view key, std::string_view entry);
  // Puts `node` behind the path's node at `level` (height_ - 1: above the leaves).
  void InsertBehind(Path* path, size_t level, std::string separator, const IndexInner::Child& child);
  // Takes the path's leaf, or what has become of it, out of the tree or together with a neighbour.
  void Shrink(Path* path);
  void MergeLeaves(IndexInner* parent, size_t left);
  void RemoveChild(Path* path, size_t level);
  void UpdateSums(Path* path, int64_t live_delta, Revision newest);

  bool CountBelow(const void* node, size_t level, const Bounds& bounds, Revision at, size_t* leaves_left,
                  IndexCount* count) const;
  static void CountLeaf(const IndexLeaf& leaf, const Bounds& bounds, Revision at, IndexCount* count);
  void Free(void* node, size_t level);

  IndexPages pages_;
  void* root_ = nullptr;  // Null: empty.
  size_t height_ = 0;     // Levels of inner nodes above the leaves.
  size_t inner_nodes_ = 0;
  size_t live_keys_ = 0;
  size_t size_ = 0;
  uint64_t shape_ = 0;      // Counts what makes a path lead elsewhere than it did.
  IndexLeaf::Items items_;  // Scratch.
};

// A key to look up, and what was found. It borrows the key, and may outlive what it found: whoever sets the key by it
// later finds its place again if that has moved. Owned by one thread.
class KeyIndex::Lookup {
 public:
  explicit Lookup(std::string_view key) : key_(key) {}

  std::string_view key() const { return key_; }
  const std::optional<Latest>& latest() const { return latest_; }

 private:
  friend class KeyIndex;

  std::string_view key_;
  std::optional<Latest> latest_;
  const KeyIndex* index_ = nullptr;  // Null: it was empty.
  uint64_t shape_ = 0;
  Path path_;
  size_t slot_ = 0;
};

// Fills an empty index with what Dump() made, in order. The index is of no use before Finish(), and is empty again when
// there is none. Owned by one thread.
class KeyIndex::Loader {
 public:
  // Tombstones of changes before `tombstones_below` are told apart: they may be compacted away by now.
  Loader(KeyIndex* index, ChangeId tombstones_below) : index_(*index), tombstones_below_(tombstones_below) {}

  ~Loader();

  // False: that is no block, or not one that follows the last.
  bool Add(std::string_view block);
  void Finish();
  size_t entries() const { return index_.size_; }

  struct Tombstone {
    std::string key;
    ChangeId change;
  };
  const std::vector<Tombstone>& old_tombstones() const { return old_tombstones_; }

 private:
  struct Node {
    std::string separator;
    IndexInner::Child child;
  };
  void AddLeaf(IndexLeaf* leaf);

  KeyIndex& index_;
  const ChangeId tombstones_below_;
  std::vector<Node> nodes_;  // The leaves so far.
  std::string last_key_;
  std::vector<Tombstone> old_tombstones_;
};

}  // namespace keel::storage
