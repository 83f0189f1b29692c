#pragma once

// An ordered map of pairs whose old states stay as they are.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "keel/types.h"

namespace keel::client {

struct KvNode;

// The root of a tree; null: empty. Immutable, so a copy of the pointer is a snapshot, and threads may share it.
using KvTree = std::shared_ptr<const KvNode>;

// A treap: ordered by key, and heap-ordered by a hash of it, which keeps it about 2 ln(n) deep whatever the order of
// changes. A change copies the path to its key and shares the rest.
struct KvNode {
  std::shared_ptr<const KeyValue> kv;
  uint64_t priority = 0;
  size_t size = 1;   // Pairs in this subtree.
  size_t bytes = 0;  // Of their keys and values.
  KvTree left;
  KvTree right;
};

inline size_t SizeOf(const KvTree& tree) { return tree == nullptr ? 0 : tree->size; }
inline size_t BytesOf(const KvTree& tree) { return tree == nullptr ? 0 : tree->bytes; }

// The pair with this key, or null. Valid as long as the tree.
const KeyValue* Find(const KvTree& tree, std::string_view key);
// `tree` with `kv` in the place of what had its key.
KvTree With(const KvTree& tree, KeyValue kv);
KvTree Without(const KvTree& tree, std::string_view key);
// In linear time. REQUIRES: sorted by key, no key twice.
KvTree BuildTree(std::vector<KeyValue> sorted);

}  // namespace keel::client
