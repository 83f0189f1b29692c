#include "client/src/kv_tree.h"

#include <functional>
#include <utility>

#include "base/random.h"

namespace keel::client {
namespace {

// Seeded by the process, so that nobody can choose keys that make a deep tree.
uint64_t PriorityOf(std::string_view key) {
  static const uint64_t seed = Random::EntropySeed();
  uint64_t x = std::hash<std::string_view>()(key) ^ seed;
  x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15;
  return x ^ (x >> 29);
}

size_t BytesOf(const KeyValue& kv) { return kv.key.size() + kv.value.size(); }

void Count(KvNode* node) {
  node->size = 1 + SizeOf(node->left) + SizeOf(node->right);
  node->bytes = BytesOf(*node->kv) + BytesOf(node->left) + BytesOf(node->right);
}

KvTree Make(std::shared_ptr<const KeyValue> kv, uint64_t priority, KvTree left, KvTree right) {
  auto node = std::make_shared<KvNode>();
  node->kv = std::move(kv);
  node->priority = priority;
  node->left = std::move(left);
  node->right = std::move(right);
  Count(node.get());
  return node;
}

KvTree WithChildren(const KvNode& node, KvTree left, KvTree right) {
  return Make(node.kv, node.priority, std::move(left), std::move(right));
}

struct Halves {
  KvTree below;
  KvTree above;
};

// REQUIRES: `key` is not in it.
Halves Split(const KvTree& tree, std::string_view key) {
  if (tree == nullptr) return {};
  if (tree->kv->key < key) {
    Halves right = Split(tree->right, key);
    return {.below = WithChildren(*tree, tree->left, std::move(right.below)), .above = std::move(right.above)};
  }
  Halves left = Split(tree->left, key);
  return {.below = std::move(left.below), .above = WithChildren(*tree, std::move(left.above), tree->right)};
}

// REQUIRES: all keys of `below` come before all of `above`.
KvTree Join(const KvTree& below, const KvTree& above) {
  if (below == nullptr) return above;
  if (above == nullptr) return below;
  if (below->priority > above->priority) return WithChildren(*below, below->left, Join(below->right, above));
  return WithChildren(*above, Join(below, above->left), above->right);
}

KvTree Insert(const KvTree& tree, std::shared_ptr<const KeyValue> kv, uint64_t priority) {
  if (tree == nullptr) return Make(std::move(kv), priority, nullptr, nullptr);
  if (tree->kv->key == kv->key) return Make(std::move(kv), priority, tree->left, tree->right);
  if (priority > tree->priority) {  // So the key is not below: it would have the same priority there.
    Halves halves = Split(tree, kv->key);
    return Make(std::move(kv), priority, std::move(halves.below), std::move(halves.above));
  }
  if (kv->key < tree->kv->key) return WithChildren(*tree, Insert(tree->left, std::move(kv), priority), tree->right);
  return WithChildren(*tree, tree->left, Insert(tree->right, std::move(kv), priority));
}

// REQUIRES: `key` is in it.
KvTree Erase(const KvTree& tree, std::string_view key) {
  if (tree->kv->key == key) return Join(tree->left, tree->right);
  if (key < tree->kv->key) return WithChildren(*tree, Erase(tree->left, key), tree->right);
  return WithChildren(*tree, tree->left, Erase(tree->right, key));
}

}  // namespace

const KeyValue* Find(const KvTree& tree, std::string_view key) {
  const KvNode* node = tree.get();
  while (node != nullptr) {
    const int order = key.compare(node->kv->key);
    if (order == 0) return node->kv.get();
    node = order < 0 ? node->left.get() : node->right.get();
  }
  return nullptr;
}

KvTree With(const KvTree& tree, KeyValue kv) {
  const uint64_t priority = PriorityOf(kv.key);
  return Insert(tree, std::make_shared<const KeyValue>(std::move(kv)), priority);
}

KvTree Without(const KvTree& tree, std::string_view key) {
  return Find(tree, key) == nullptr ? tree : Erase(tree, key);
}

KvTree BuildTree(std::vector<KeyValue> sorted) {
  // The path from the root to the last key; what leaves it is complete.
  std::vector<std::shared_ptr<KvNode>> spine;
  for (KeyValue& kv : sorted) {
    auto node = std::make_shared<KvNode>();
    node->priority = PriorityOf(kv.key);
    node->kv = std::make_shared<const KeyValue>(std::move(kv));
    std::shared_ptr<KvNode> left;
    while (!spine.empty() && spine.back()->priority < node->priority) {
      left = std::move(spine.back());
      spine.pop_back();
      Count(left.get());
    }
    node->left = std::move(left);
    if (!spine.empty()) spine.back()->right = node;
    spine.push_back(std::move(node));
  }
  KvTree root = spine.empty() ? nullptr : spine.front();
  for (; !spine.empty(); spine.pop_back()) Count(spine.back().get());
  return root;
}

}  // namespace keel::client
