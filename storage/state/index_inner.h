#pragma once

// An inner node of the key index: children in key order, the keys that part them, and for each child how many live keys
// are below it and when the newest of its entries changed. Counting a range looks at these sums and at no leaf but the
// two at its ends (order statistics); counting at an older revision descends only where something changed since.
//
// Thread-compatible.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "storage/revision.h"
#include "storage/state/prefetch.h"

namespace keel::storage {

class IndexInner {
 public:
  static constexpr size_t kChildrenMax = 64;

  struct Child {
    void* node = nullptr;  // An IndexLeaf or IndexInner, as the height says.
    uint64_t live = 0;
    Revision newest{};
  };

  size_t size() const { return size_; }
  bool full() const { return size_ == kChildrenMax; }
  // The child whose keys `key` belongs to.
  size_t Find(std::string_view key) const;

  // Has the processor fetch, all at once, what Find() will look at one after the other.
  static void Prefetch(const void* node) { PrefetchLines(node, offsetof(IndexInner, children_)); }

  Child child(size_t i) const { return children_[i]; }
  void* node(size_t i) const { return children_[i].node; }
  uint64_t live(size_t i) const { return children_[i].live; }
  Revision newest(size_t i) const { return children_[i].newest; }
  // All keys of child `i` are at or above it, all before it below. The first one's means nothing.
  std::string_view separator(size_t i) const { return separators_[i]; }

  uint64_t LiveSum() const;
  Revision Newest() const;

  void AddLive(size_t i, int64_t delta, Revision newest) {
    children_[i].live += static_cast<uint64_t>(delta);
    if (newest > children_[i].newest) children_[i].newest = newest;
  }
  void SetSums(size_t i, uint64_t live, Revision newest) {
    children_[i].live = live;
    children_[i].newest = newest;
  }
  // REQUIRES: not full.
  void Insert(size_t i, std::string separator, const Child& child);
  void Erase(size_t i);
  // Moves the children from `i` on to the empty node `right`; returns what parts them from the rest.
  std::string SplitAt(size_t i, IndexInner* right);
  // Takes all children of `right`, which `separator` parts from these. REQUIRES: they fit.
  void Append(std::string_view separator, IndexInner* right);

 private:
  // What all separators begin with, up to this many bytes, is left out of the heads.
  static constexpr size_t kPrefixMax = 96;

  void MakeHeads();

  uint16_t size_ = 0;
  uint16_t prefix_bytes_ = 0;
  std::array<char, kPrefixMax> prefix_;
  // Eight bytes of each separator behind the prefix, as a number; and the eight bytes behind those.
  std::array<uint64_t, kChildrenMax> heads_;
  std::array<uint64_t, kChildrenMax> seconds_;
  std::array<Child, kChildrenMax> children_;
  std::array<std::string, kChildrenMax> separators_;
};

}  // namespace keel::storage
