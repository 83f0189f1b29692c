#pragma once

// A leaf of the key index: one page of consecutive entries. What all its keys begin with is stored once; each key's
// rest and entry are one cell, found through an array of slots in key order that also hold the first bytes of the rest,
// so that most steps of a search look at nothing else (the slotted page with prefix truncation and poor man's
// normalized keys of the B-tree literature: Graefe, "Modern B-Tree Techniques", 2011).
//
//   header | slots, growing up ... free ... cells, growing down | prefix
//   cell   bytes of the rest (varint), the rest, the entry (index_entry.h)
//
// The rest of a key longer than kInlineMax lives outside the page; the cell holds a pointer to it.
//
// Thread-compatible. A page is exactly kBytes long and needs no construction beyond Reset().

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "storage/revision.h"
#include "storage/state/index_entry.h"
#include "storage/state/prefetch.h"

namespace keel::storage {

class IndexLeaf {
 public:
  static constexpr size_t kBytes = 4096;
  static constexpr size_t kInlineMax = 512;

  // A key and its encoded entry, both borrowed.
  struct Item {
    std::string_view key;
    std::string_view entry;
  };
  // Copies of the items of leaves.
  class Items {
   public:
    void Clear() {
      list.clear();
      bytes_.clear();
    }
    std::vector<Item> list;

   private:
    friend class IndexLeaf;
    // Makes room for more, and moves the views along.
    void Reserve(size_t more);
    std::string_view Append(std::string_view front, std::string_view back);
    std::vector<char> bytes_;
  };

  // An empty page. What was in it before is not looked at.
  void Reset();
  // Lets go of what lives outside the page, and of the entries.
  void Clear();

  size_t size() const { return size_; }
  size_t live() const { return live_; }      // Entries that are not tombstones.
  size_t leased() const { return leased_; }  // Entries with a lease.
  // No entry changed later than this. Not exact after Erase().
  Revision newest() const { return newest_; }
  size_t bytes_used() const { return kBytes - FreeBytes() - garbage_; }

  // Has the processor fetch, all at once, what Find() will look at one after the other: header, slots of as many
  // entries as there usually are, and the prefix.
  static void Prefetch(const void* leaf) {
    constexpr size_t kUsualEntries = 100;
    PrefetchLines(leaf, kHeaderBytes + kUsualEntries * sizeof(Slot));
    PrefetchLines(static_cast<const char*>(leaf) + kBytes - 1, 1);
  }
  // And then the cell that Find() will compare.
  void PrefetchCell(std::string_view key) const;

  // The place of the first entry whose key is not below `key`.
  struct Place {
    size_t slot;
    bool found;
  };
  Place Find(std::string_view key) const;
  bool HoldsAt(size_t slot, std::string_view key) const {
    return slot < size_ && key.starts_with(prefix()) && rest(slot) == key.substr(prefix_bytes_);
  }

  std::string_view prefix() const { return {page() + kBytes - prefix_bytes_, prefix_bytes_}; }
  std::string_view rest(size_t slot) const;  // Of the key, behind the prefix.
  std::string KeyAt(size_t slot) const;
  IndexEntry EntryAt(size_t slot, Lineage* lineage = nullptr) const {
    return DecodeEntry(EntryOf(slot), lineage, nullptr);
  }
  EntrySummary SummaryAt(size_t slot) const { return SummarizeEntry(EntryOf(slot)); }
  std::string_view EncodedAt(size_t slot) const {
    const char* p = EntryOf(slot);
    return {p, static_cast<size_t>(SkipEntry(p) - p)};
  }

  // Each false when the page has no room as it is; nothing has changed then.
  bool Replace(size_t slot, std::string_view entry);
  // REQUIRES: Find(key) gave `slot`, and it is not there.
  bool Insert(size_t slot, std::string_view key, std::string_view entry);
  void Erase(size_t slot);

  // Appends an entry as it is stored: its rest, also one that lives outside, and the encoded entry.
  void AppendCell(size_t slot, std::string* out) const;
  // Makes `entries` such cells, whose keys all begin with `prefix`, the content. False: they are not that many whole
  // ones, or do not fit; the leaf is empty then. REQUIRES: empty.
  bool BuildFromCells(std::string_view prefix, std::string_view cells, size_t entries);

  // Appends copies of all items.
  void Collect(Items* items) const;
  // What an item takes in a page whose keys share their first `shared` bytes.
  static size_t BytesOf(const Item& item, size_t shared);
  // How much of the keys a page of these, ascending, would share.
  static size_t SharedBy(const Item* first, const Item* last);
  // Would these, ascending, fit into an empty page?
  static bool Fits(const Item* first, const Item* last);
  // Makes these the content. REQUIRES: empty, and they fit.
  void Build(const Item* first, const Item* last);

  // Inserts in a row that were behind all others: what is filled in ascending order is split at its end.
  bool grows_at_end() const { return appends_ >= 8; }

 private:
  struct Slot {
    uint32_t head;  // The first four bytes of the rest as a number, missing ones as zero.
    uint16_t cell;  // Where its cell begins.
  } __attribute__((packed));

  static constexpr size_t kHeaderBytes = 32;
  static constexpr size_t kPointerBytes = sizeof(char*);

  IndexLeaf() = default;

  char* page() { return reinterpret_cast<char*>(this); }
  const char* page() const { return reinterpret_cast<const char*>(this); }
  Slot* slots() { return reinterpret_cast<Slot*>(page() + kHeaderBytes); }
  const Slot* slots() const { return reinterpret_cast<const Slot*>(page() + kHeaderBytes); }

  static uint32_t HeadOf(std::string_view rest);
  // The first slot whose head is not below `head`.
  size_t SlotOfHead(uint32_t head) const;
  static size_t CellBytes(size_t shared, size_t rest_bytes, size_t entry_bytes);
  // What stands in a cell for a rest of that length. It is the whole key that decides, so that a longer prefix never
  // makes a cell longer.
  static size_t StoredRestBytes(size_t shared, size_t rest_bytes) {
    return shared + rest_bytes > kInlineMax ? kPointerBytes : rest_bytes;
  }
  bool IsOutside(size_t rest_bytes) const { return prefix_bytes_ + rest_bytes > kInlineMax; }
  size_t FreeBytes() const { return cells_ - kHeaderBytes - size_ * sizeof(Slot); }
  const char* EntryOf(size_t slot) const;
  size_t CellBytesAt(size_t slot) const;
  // Writes a cell at the front of the cells; there is room.
  uint16_t AddCell(std::string_view rest, std::string_view entry);
  void FreeRest(size_t slot);
  void CountIn(const EntrySummary& summary);
  void CountOut(const EntrySummary& summary);
  // Moves the cells together, so that all that is free is in one piece.
  void Squeeze();

  uint16_t size_;
  uint16_t cells_;         // Where the first cell begins.
  uint16_t garbage_;       // Bytes between the cells that belong to none.
  uint16_t prefix_bytes_;  // At the end of the page.
  uint16_t live_;
  uint16_t leased_;
  uint16_t outside_;  // Cells whose rest lives outside.
  uint16_t appends_;
  Revision newest_;
  uint64_t unused_;
};

}  // namespace keel::storage
