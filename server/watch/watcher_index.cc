#include "server/watch/watcher_index.h"

#include <utility>

#include "base/check.h"
#include "base/string_view.h"

namespace keel::server {
namespace {

// The end of a range that has one.
struct RangeEnd {
  bool open = false;  // Reaches to the end of the keyspace.
  std::string_view key;

  static RangeEnd Of(const KeyRange& range) {
    return {.open = range.kind == KeyRange::Kind::kFromKey, .key = range.end};
  }
  bool Below(const RangeEnd& other) const { return other.open ? !open : !open && key < other.key; }
  bool ReachesBeyond(std::string_view k) const { return open || k < key; }
};

}  // namespace

struct WatcherIndex::Node {
  const KeyRange* range = nullptr;  // Of a watcher in the group; all are equal.
  Group group;
  uint64_t priority = 0;               // A heap, greatest on top.
  const KeyRange* furthest = nullptr;  // The range with the greatest end in this subtree.
  Tree left;
  Tree right;
};

WatcherIndex::WatcherIndex() = default;
WatcherIndex::~WatcherIndex() = default;

void WatcherIndex::Insert(Watcher* watcher) {
  ++size_;
  const KeyRange& keys = watcher->spec->keys;
  if (keys.kind == KeyRange::Kind::kKey) {
    KEEL_CHECK(keys_[keys.begin].emplace(watcher->serial, watcher).second);
  } else {
    ranges_ = Insert(std::move(ranges_), watcher);
  }
}

void WatcherIndex::Erase(Watcher* watcher) {
  --size_;
  const KeyRange& keys = watcher->spec->keys;
  if (keys.kind != KeyRange::Kind::kKey) {
    ranges_ = Erase(std::move(ranges_), watcher);
    return;
  }
  const auto group = keys_.find(keys.begin);
  KEEL_CHECK(group != keys_.end() && group->second.erase(watcher->serial) == 1);
  if (group->second.empty()) keys_.erase(group);
}

void WatcherIndex::Match(std::string_view key, absl::FunctionRef<void(Watcher*)> visit) const {
  if (const auto group = keys_.find(ToAbsl(key)); group != keys_.end()) {
    for (const auto& [serial, watcher] : group->second) visit(watcher);
  }
  Match(ranges_.get(), key, visit);
}

bool WatcherIndex::Before(const KeyRange& a, const KeyRange& b) {
  if (a.begin != b.begin) return a.begin < b.begin;
  return RangeEnd::Of(a).Below(RangeEnd::Of(b));
}

void WatcherIndex::Refresh(Node* node) {
  node->furthest = node->range;
  for (const Node* child : {node->left.get(), node->right.get()}) {
    if (child != nullptr && RangeEnd::Of(*node->furthest).Below(RangeEnd::Of(*child->furthest))) {
      node->furthest = child->furthest;
    }
  }
}

WatcherIndex::Tree WatcherIndex::RotateRight(Tree node) {
  Tree top = std::move(node->left);
  node->left = std::move(top->right);
  Refresh(node.get());
  top->right = std::move(node);
  Refresh(top.get());
  return top;
}

WatcherIndex::Tree WatcherIndex::RotateLeft(Tree node) {
  Tree top = std::move(node->right);
  node->right = std::move(top->left);
  Refresh(node.get());
  top->left = std::move(node);
  Refresh(top.get());
  return top;
}

WatcherIndex::Tree WatcherIndex::Insert(Tree node, Watcher* watcher) {
  const KeyRange& range = watcher->spec->keys;
  if (node == nullptr) {
    node = std::make_unique<Node>();
    node->range = &range;
    node->group.emplace(watcher->serial, watcher);
    node->priority = priorities_.Next();
  } else if (Before(range, *node->range)) {
    node->left = Insert(std::move(node->left), watcher);
    if (node->left->priority > node->priority) return RotateRight(std::move(node));
  } else if (Before(*node->range, range)) {
    node->right = Insert(std::move(node->right), watcher);
    if (node->right->priority > node->priority) return RotateLeft(std::move(node));
  } else {
    KEEL_CHECK(node->group.emplace(watcher->serial, watcher).second);
    return node;
  }
  Refresh(node.get());
  return node;
}

WatcherIndex::Tree WatcherIndex::Join(Tree left, Tree right) {
  if (left == nullptr) return right;
  if (right == nullptr) return left;
  if (left->priority > right->priority) {
    left->right = Join(std::move(left->right), std::move(right));
    Refresh(left.get());
    return left;
  }
  right->left = Join(std::move(left), std::move(right->left));
  Refresh(right.get());
  return right;
}

WatcherIndex::Tree WatcherIndex::Erase(Tree node, Watcher* watcher) {
  const KeyRange& range = watcher->spec->keys;
  KEEL_CHECK(node != nullptr) << "the watcher is not in the index";
  if (Before(range, *node->range)) {
    node->left = Erase(std::move(node->left), watcher);
  } else if (Before(*node->range, range)) {
    node->right = Erase(std::move(node->right), watcher);
  } else {
    KEEL_CHECK_EQ(node->group.erase(watcher->serial), 1u);
    if (node->group.empty()) return Join(std::move(node->left), std::move(node->right));
    node->range = &node->group.begin()->second->spec->keys;
  }
  Refresh(node.get());
  return node;
}

void WatcherIndex::Match(const Node* node, std::string_view key, absl::FunctionRef<void(Watcher*)> visit) {
  // Nothing below here reaches the key, or nothing from here to the right begins early enough.
  if (node == nullptr || !RangeEnd::Of(*node->furthest).ReachesBeyond(key)) return;
  Match(node->left.get(), key, visit);
  if (key < node->range->begin) return;
  if (RangeEnd::Of(*node->range).ReachesBeyond(key)) {
    for (const auto& [serial, watcher] : node->group) visit(watcher);
  }
  Match(node->right.get(), key, visit);
}

}  // namespace keel::server
