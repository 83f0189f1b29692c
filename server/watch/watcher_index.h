#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "base/random.h"
#include "server/watch/watcher.h"

namespace keel::server {

// Finds the watchers of a key. Watchers of single keys stand in a hash table, the others in an interval tree: a treap
// ordered by the begin of the range, every node knowing the greatest end below it (CLRS, "interval trees"). A look-up
// costs O(log ranges + matches), however many watchers other keys have. Watchers of the same range share a node.
//
// Thread-compatible. Holds pointers; whoever destroys a watcher removes it first.
class WatcherIndex {
 public:
  WatcherIndex();
  ~WatcherIndex();
  WatcherIndex(const WatcherIndex&) = delete;
  WatcherIndex& operator=(const WatcherIndex&) = delete;

  // REQUIRES: not in the index.
  void Insert(Watcher* watcher);
  // REQUIRES: in the index.
  void Erase(Watcher* watcher);

  // Calls `visit` for each watcher whose keys contain `key`: those of the single key first, then ranges by begin and
  // end; equal ones by creation.
  void Match(std::string_view key, absl::FunctionRef<void(Watcher*)> visit) const;

  size_t size() const { return size_; }

 private:
  struct Node;
  using Tree = std::unique_ptr<Node>;
  using Group = absl::btree_map<uint64_t, Watcher*>;  // By serial.

  static bool Before(const KeyRange& a, const KeyRange& b);
  static void Refresh(Node* node);
  static Tree RotateLeft(Tree node);
  static Tree RotateRight(Tree node);
  Tree Insert(Tree node, Watcher* watcher);
  static Tree Erase(Tree node, Watcher* watcher);
  static Tree Join(Tree left, Tree right);
  static void Match(const Node* node, std::string_view key, absl::FunctionRef<void(Watcher*)> visit);

  absl::flat_hash_map<std::string, Group> keys_;
  Tree ranges_;
  Random priorities_{0x5eed};
  size_t size_ = 0;
};

}  // namespace keel::server
