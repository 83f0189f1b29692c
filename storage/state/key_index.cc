#include "storage/state/key_index.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "storage/state/varint.h"

namespace keel::storage {
namespace {

// A leaf below the first is joined with a neighbour if both then fill no more than the second.
constexpr size_t kSparseLeafBytes = IndexLeaf::kBytes / 4;
constexpr size_t kJoinedLeafBytes = IndexLeaf::kBytes * 3 / 4;
constexpr size_t kSparseChildren = IndexInner::kChildrenMax / 4;
constexpr size_t kJoinedChildren = IndexInner::kChildrenMax * 3 / 4;

// The shortest key above `left` and not above `right`.
std::string Separator(std::string_view left, std::string_view right) {
  size_t n = 0;
  while (n < left.size() && left[n] == right[n]) ++n;
  return std::string(right.substr(0, n + 1));
}

IndexInner::Child ChildOf(IndexLeaf* leaf) { return {.node = leaf, .live = leaf->live(), .newest = leaf->newest()}; }

// Where to part a full leaf's items: behind all that was there when it grows at its end, else in the middle by bytes.
size_t SplitPoint(const std::vector<IndexLeaf::Item>& items, bool grows_at_end) {
  if (grows_at_end) return items.size() - 1;
  const size_t shared = IndexLeaf::SharedBy(items.data(), items.data() + items.size());
  size_t bytes = 0;
  for (const IndexLeaf::Item& item : items) bytes += IndexLeaf::BytesOf(item, shared);
  size_t left = 0;
  size_t n = 0;
  while (n + 1 < items.size() && left < bytes / 2) left += IndexLeaf::BytesOf(items[n++], shared);
  return std::max<size_t>(n, 1);
}

}  // namespace

KeyIndex::~KeyIndex() { Clear(); }

void KeyIndex::Clear() {
  if (root_ != nullptr) Free(root_, 0);
  root_ = nullptr;
  height_ = inner_nodes_ = live_keys_ = size_ = 0;
  ++shape_;
}

void KeyIndex::Free(void* node, size_t level) {
  if (level == height_) {
    auto* const leaf = static_cast<IndexLeaf*>(node);
    leaf->Clear();
    return pages_.Give(leaf);
  }
  auto* inner = static_cast<IndexInner*>(node);
  for (size_t i = 0; i < inner->size(); ++i) Free(inner->node(i), level + 1);
  delete inner;
}

size_t KeyIndex::memory_bytes() const {
  // About what the separators that do not fit into their strings take, one per leaf.
  return pages_.bytes() + inner_nodes_ * (sizeof(IndexInner) + IndexInner::kChildrenMax / 2 * 48);
}

// --- Finding.

void KeyIndex::Descend(std::string_view key, Path* path) const {
  void* node = root_;
  for (size_t level = 0; level < height_; ++level) {
    auto* inner = static_cast<IndexInner*>(node);
    path->inner[level] = inner;
    path->at[level] = inner->Find(key);
    node = inner->node(path->at[level]);
    PrefetchNode(node, level + 1);
  }
  path->leaf = static_cast<IndexLeaf*>(node);
}

void KeyIndex::PrefetchNode(const void* node, size_t level) const {
  if (level < height_) {
    IndexInner::Prefetch(node);
  } else {
    IndexLeaf::Prefetch(node);
  }
}

void KeyIndex::FirstLeaf(Path* path) const {
  void* node = root_;
  for (size_t level = 0; level < height_; ++level) {
    path->inner[level] = static_cast<IndexInner*>(node);
    path->at[level] = 0;
    node = path->inner[level]->node(0);
  }
  path->leaf = static_cast<IndexLeaf*>(node);
}

bool KeyIndex::NextLeaf(Path* path) const {
  size_t level = height_;
  while (level > 0 && path->at[level - 1] + 1 == path->inner[level - 1]->size()) --level;
  if (level == 0) return false;
  void* node = path->inner[level - 1]->node(++path->at[level - 1]);
  for (; level < height_; ++level) {
    path->inner[level] = static_cast<IndexInner*>(node);
    path->at[level] = 0;
    node = path->inner[level]->node(0);
  }
  path->leaf = static_cast<IndexLeaf*>(node);
  return true;
}

void KeyIndex::LookUp(std::span<Lookup> lookups) const {
  // As many at once as there can be lines on their way; more would push out what was fetched before it is looked at.
  constexpr size_t kTogether = 16;
  for (; lookups.size() > kTogether; lookups = lookups.subspan(kTogether)) LookUp(lookups.first(kTogether));
  for (Lookup& lookup : lookups) {
    lookup.latest_.reset();
    lookup.index_ = root_ == nullptr ? nullptr : this;
    lookup.shape_ = shape_;
  }
  if (root_ == nullptr) return;
  std::array<void*, kTogether> nodes;
  nodes.fill(root_);
  for (size_t level = 0; level < height_; ++level) {
    for (size_t i = 0; i < lookups.size(); ++i) {
      auto* const inner = static_cast<IndexInner*>(nodes[i]);
      Path& path = lookups[i].path_;
      path.inner[level] = inner;
      path.at[level] = inner->Find(lookups[i].key_);
      nodes[i] = inner->node(path.at[level]);
      PrefetchNode(nodes[i], level + 1);
    }
  }
  for (size_t i = 0; i < lookups.size(); ++i) {
    auto* const leaf = static_cast<IndexLeaf*>(nodes[i]);
    lookups[i].path_.leaf = leaf;
    leaf->PrefetchCell(lookups[i].key_);
  }
  for (Lookup& lookup : lookups) {
    const IndexLeaf& leaf = *lookup.path_.leaf;
    const IndexLeaf::Place place = leaf.Find(lookup.key_);
    lookup.slot_ = place.slot;
    if (!place.found) continue;
    lookup.latest_.emplace();
    lookup.latest_->entry = leaf.EntryAt(place.slot, &lookup.latest_->lineage);
  }
}

std::optional<IndexEntry> KeyIndex::Find(std::string_view key) const {
  if (root_ == nullptr) return std::nullopt;
  Path path;
  Descend(key, &path);
  const IndexLeaf::Place place = path.leaf->Find(key);
  if (!place.found) return std::nullopt;
  return path.leaf->EntryAt(place.slot);
}

std::optional<KeyIndex::Latest> KeyIndex::FindLatest(std::string_view key) const {
  if (root_ == nullptr) return std::nullopt;
  Path path;
  Descend(key, &path);
  const IndexLeaf::Place place = path.leaf->Find(key);
  if (!place.found) return std::nullopt;
  std::optional<Latest> latest(std::in_place);
  latest->entry = path.leaf->EntryAt(place.slot, &latest->lineage);
  return latest;
}

bool KeyIndex::Read(const KeyInterval& interval, std::optional<std::string_view> after, size_t entries_max,
                    EntryChunk* chunk) const {
  if (interval.empty() || root_ == nullptr) return true;
  Path path;
  const std::string_view from = after.value_or(interval.first);
  Descend(from, &path);
  IndexLeaf::Place place = path.leaf->Find(from);
  if (interval.single) {
    if (place.found && !after.has_value()) chunk->Add(from, path.leaf->EntryAt(place.slot));
    return true;
  }
  if (after.has_value() && place.found) ++place.slot;
  size_t added = 0;
  size_t slot = place.slot;
  while (true) {
    const IndexLeaf& leaf = *path.leaf;
    const size_t stop = interval.unbounded ? leaf.size() : leaf.Find(interval.end).slot;
    for (; slot < stop; ++slot) {
      if (added++ == entries_max) return false;
      chunk->Add(leaf.prefix(), leaf.rest(slot), leaf.EntryAt(slot));
    }
    if (stop < leaf.size() || !NextLeaf(&path)) return true;
    slot = 0;
  }
}

void KeyIndex::ForEachLeased(const std::function<void(std::string_view key, LeaseId lease)>& visit) const {
  if (root_ == nullptr) return;
  Path path;
  FirstLeaf(&path);
  do {
    const IndexLeaf& leaf = *path.leaf;
    if (leaf.leased() == 0) continue;
    for (size_t slot = 0; slot < leaf.size(); ++slot) {
      if (!leaf.SummaryAt(slot).leased) continue;
      visit(leaf.KeyAt(slot), leaf.EntryAt(slot).lease);
    }
  } while (NextLeaf(&path));
}

// --- To and from blocks.

bool KeyIndex::Dump(const std::optional<std::string>& after, size_t bytes_max, IndexDump* dump) const {
  // Of cells in one block, unless a single one is larger: what a leaf can be made of again.
  constexpr size_t kBlockBytes = 3500;
  constexpr size_t kSlotBytes = 6;  // What a slot of a leaf takes, too.
  std::string cells;
  if (root_ == nullptr) return true;
  Path path;
  size_t slot = 0;
  if (after.has_value()) {
    Descend(*after, &path);
    const IndexLeaf::Place place = path.leaf->Find(*after);
    slot = place.slot + (place.found ? 1 : 0);
  } else {
    FirstLeaf(&path);
  }
  size_t bytes = 0;
  while (true) {
    const IndexLeaf& leaf = *path.leaf;
    while (slot < leaf.size()) {
      if (bytes >= bytes_max) return false;
      const size_t first = slot;
      cells.clear();
      leaf.AppendCell(slot++, &cells);
      while (slot < leaf.size()) {
        const size_t size = cells.size();
        leaf.AppendCell(slot, &cells);
        if (cells.size() + (slot - first) * kSlotBytes > kBlockBytes) {
          cells.resize(size);
          break;
        }
        ++slot;
      }
      std::string block;
      block.reserve(cells.size() + leaf.prefix().size() + 2 * kVarintBytesMax);
      char numbers[2 * kVarintBytesMax];
      char* const end = PutVarint(leaf.prefix().size(), PutVarint(slot - first, numbers));
      block.append(numbers, static_cast<size_t>(end - numbers)).append(leaf.prefix()).append(cells);
      bytes += block.size();
      dump->entries += slot - first;
      dump->blocks.push_back(std::move(block));
      dump->last_key = leaf.KeyAt(slot - 1);
    }
    if (!NextLeaf(&path)) return true;
    slot = 0;
  }
}

KeyIndex::Loader::~Loader() {
  if (nodes_.empty()) return;
  for (const Node& node : nodes_) {
    auto* const leaf = static_cast<IndexLeaf*>(node.child.node);
    leaf->Clear();
    index_.pages_.Give(leaf);
  }
  index_.size_ = index_.live_keys_ = 0;
}

void KeyIndex::Loader::AddLeaf(IndexLeaf* leaf) {
  index_.size_ += leaf->size();
  index_.live_keys_ += leaf->live();
  std::string first = leaf->KeyAt(0);
  const bool follows = !nodes_.empty() && last_key_ < first;
  nodes_.push_back({.separator = follows ? Separator(last_key_, first) : std::string(), .child = ChildOf(leaf)});
  last_key_ = leaf->KeyAt(leaf->size() - 1);
  if (leaf->live() == leaf->size()) return;
  for (size_t slot = 0; slot < leaf->size(); ++slot) {
    if (leaf->SummaryAt(slot).live) continue;
    const ChangeId mod = leaf->EntryAt(slot).mod;
    if (mod < tombstones_below_) old_tombstones_.push_back({.key = leaf->KeyAt(slot), .change = mod});
  }
}

bool KeyIndex::Loader::Add(std::string_view block) {
  uint64_t entries = 0, prefix_bytes = 0;
  if (!TakeVarint(&block, &entries) || !TakeVarint(&block, &prefix_bytes)) return false;
  if (entries == 0 || entries > block.size() || prefix_bytes > block.size()) return false;
  const std::string_view prefix = block.substr(0, prefix_bytes);
  std::string_view cells = block.substr(prefix_bytes);
  IndexLeaf* leaf = index_.pages_.Take();
  if (leaf->BuildFromCells(prefix, cells, entries)) {
    const bool follows = nodes_.empty() || last_key_ < leaf->KeyAt(0);
    AddLeaf(leaf);  // Also when it does not: so it is freed with the others.
    return follows;
  }
  // Keys that live outside of leaves, or a block larger than one: entry by entry.
  std::vector<std::string> keys;
  std::vector<IndexLeaf::Item> items;
  keys.reserve(entries);
  const auto close = [&] {
    leaf->Build(items.data(), items.data() + items.size());
    AddLeaf(leaf);
    items.clear();
    leaf = index_.pages_.Take();
  };
  bool good = true;
  for (uint64_t n = 0; good && n < entries; ++n) {
    uint64_t rest_bytes = 0;
    size_t entry_bytes = 0;
    good = TakeVarint(&cells, &rest_bytes) && rest_bytes <= cells.size() &&
           CheckEntry(cells.substr(rest_bytes), &entry_bytes);
    if (!good) break;
    keys.push_back(std::string(prefix).append(cells.substr(0, rest_bytes)));
    const std::string& before = n > 0 ? keys[n - 1] : last_key_;
    good = (n == 0 && nodes_.empty()) || before < keys.back();
    items.push_back({.key = keys.back(), .entry = cells.substr(rest_bytes, entry_bytes)});
    if (good && !IndexLeaf::Fits(items.data(), items.data() + items.size())) {
      const IndexLeaf::Item last = items.back();
      items.pop_back();
      close();
      items.push_back(last);
    }
    cells.remove_prefix(rest_bytes + entry_bytes);
  }
  good = good && cells.empty();
  if (good && !items.empty()) close();
  index_.pages_.Give(leaf);
  return good;
}

void KeyIndex::Loader::Finish() {
  KEEL_CHECK(index_.root_ == nullptr);
  // Not quite full, so that the first inserts do not split them all.
  constexpr size_t kChildren = IndexInner::kChildrenMax * 3 / 4;
  if (nodes_.empty()) return;
  while (nodes_.size() > 1) {
    std::vector<Node> above;
    for (size_t first = 0; first < nodes_.size(); first += kChildren) {
      auto* const inner = new IndexInner();
      ++index_.inner_nodes_;
      std::string separator = std::move(nodes_[first].separator);
      for (size_t i = first; i < std::min(first + kChildren, nodes_.size()); ++i) {
        inner->Insert(i - first, i == first ? std::string() : std::move(nodes_[i].separator), nodes_[i].child);
      }
      above.push_back({.separator = std::move(separator),
                       .child = {.node = inner, .live = inner->LiveSum(), .newest = inner->Newest()}});
    }
    nodes_ = std::move(above);
    ++index_.height_;
  }
  index_.root_ = nodes_[0].child.node;
  ++index_.shape_;
  nodes_.clear();
}

// --- Counting.

void KeyIndex::CountLeaf(const IndexLeaf& leaf, const Bounds& bounds, Revision at, IndexCount* count) {
  const size_t first = bounds.first == nullptr ? 0 : leaf.Find(*bounds.first).slot;
  const size_t end = bounds.end == nullptr ? leaf.size() : leaf.Find(*bounds.end).slot;
  if (first == 0 && end == leaf.size() && leaf.newest() <= at) {
    count->live += static_cast<int64_t>(leaf.live());
    return;
  }
  for (size_t slot = first; slot < end; ++slot) {
    const EntrySummary summary = leaf.SummaryAt(slot);
    if (summary.mod <= at) {
      if (summary.live) ++count->live;
      continue;
    }
    IndexEntry entry = leaf.EntryAt(slot);
    if (entry.is_live() && entry.create <= at) {
      ++count->live;  // A life that began by `at` and still goes on was there at `at`.
    } else if (entry.has_previous) {
      count->unsure.push_back(entry);
    }
  }
}

bool KeyIndex::CountBelow(const void* node, size_t level, const Bounds& bounds, Revision at, size_t* leaves_left,
                          IndexCount* count) const {
  if (level == height_) {
    CountLeaf(*static_cast<const IndexLeaf*>(node), bounds, at, count);
    if (*leaves_left > 0) --*leaves_left;
    return true;
  }
  const auto& inner = *static_cast<const IndexInner*>(node);
  const size_t first = bounds.first == nullptr ? 0 : inner.Find(*bounds.first);
  const size_t last = bounds.end == nullptr ? inner.size() - 1 : inner.Find(*bounds.end);
  for (size_t i = first; i <= last; ++i) {
    const Bounds below{.first = i == first ? bounds.first : nullptr, .end = i == last ? bounds.end : nullptr};
    if (below.first == nullptr && below.end == nullptr && inner.newest(i) <= at) {
      count->live += static_cast<int64_t>(inner.live(i));
      continue;
    }
    if (i > first && *leaves_left == 0) {
      count->resume = std::string(inner.separator(i));
      return false;
    }
    if (!CountBelow(inner.node(i), level + 1, below, at, leaves_left, count)) return false;
  }
  return true;
}

bool KeyIndex::Count(const KeyInterval& interval, Revision at, size_t leaves_max, IndexCount* count) const {
  if (root_ == nullptr || interval.empty()) return true;
  std::string_view end = interval.end;
  std::string after_single;
  if (interval.single) {
    after_single = std::string(interval.first) + '\0';
    end = after_single;
  }
  const Bounds bounds{.first = interval.first.empty() ? nullptr : &interval.first,
                      .end = interval.unbounded && !interval.single ? nullptr : &end};
  size_t leaves_left = leaves_max;
  return CountBelow(root_, 0, bounds, at, &leaves_left, count);
}

// --- Changing.

void KeyIndex::UpdateSums(Path* path, int64_t live_delta, Revision newest) {
  for (size_t level = 0; level < height_; ++level) path->inner[level]->AddLive(path->at[level], live_delta, newest);
}

void KeyIndex::Set(std::string_view key, const IndexEntry& entry, const Lineage& lineage) {
  const EncodedEntry encoded(entry, lineage);
  if (root_ == nullptr) root_ = pages_.Take();
  Path path;
  Descend(key, &path);
  SetAt(&path, path.leaf->Find(key), key, encoded.bytes());
}

void KeyIndex::Set(const Lookup& lookup, const IndexEntry& entry, const Lineage& lineage) {
  if (lookup.index_ != this || lookup.shape_ != shape_) return Set(lookup.key_, entry, lineage);
  const EncodedEntry encoded(entry, lineage);
  Path path = lookup.path_;
  // The leaf is still the one; entries may have come to it and gone from it.
  const IndexLeaf::Place place = path.leaf->HoldsAt(lookup.slot_, lookup.key_)
                                     ? IndexLeaf::Place{.slot = lookup.slot_, .found = true}
                                     : path.leaf->Find(lookup.key_);
  SetAt(&path, place, lookup.key_, encoded.bytes());
}

void KeyIndex::SetAt(Path* path, IndexLeaf::Place place, std::string_view key, std::string_view entry) {
  const EntrySummary summary = SummarizeEntry(entry.data());
  int64_t delta = summary.live ? 1 : 0;
  if (place.found && path->leaf->SummaryAt(place.slot).live) --delta;
  if (!place.found) ++size_;
  live_keys_ += static_cast<size_t>(delta);
  const bool done = place.found ? path->leaf->Replace(place.slot, entry) : path->leaf->Insert(place.slot, key, entry);
  if (done) return UpdateSums(path, delta, summary.mod);
  Rebuild(path, place.slot, place.found, key, entry);
}

void KeyIndex::Rebuild(Path* path, size_t slot, bool found, std::string_view key, std::string_view entry) {
  IndexLeaf* const leaf = path->leaf;
  const bool grows_at_end = !found && slot == leaf->size() && leaf->grows_at_end();
  const uint64_t live_before = leaf->live();
  items_.Clear();
  leaf->Collect(&items_);
  std::vector<IndexLeaf::Item>& items = items_.list;
  if (found) {
    items[slot].entry = entry;
  } else {
    items.insert(items.begin() + static_cast<ptrdiff_t>(slot), {.key = key, .entry = entry});
  }
  const IndexLeaf::Item* const first = items.data();
  const IndexLeaf::Item* const last = first + items.size();
  const auto finish = [&] {
    UpdateSums(path, static_cast<int64_t>(leaf->live()) - static_cast<int64_t>(live_before), leaf->newest());
  };
  if (IndexLeaf::Fits(first, last)) {
    leaf->Clear();
    leaf->Build(first, last);
    return finish();
  }
  const IndexLeaf::Item* middle = first + SplitPoint(items, grows_at_end);
  if (!IndexLeaf::Fits(first, middle) || !IndexLeaf::Fits(middle, last)) {
    // A key that does not begin as all others of its leaf comes before or behind all of them, and the others did fit.
    middle = slot == 0 ? first + 1 : last - 1;
    KEEL_CHECK(IndexLeaf::Fits(first, middle) && IndexLeaf::Fits(middle, last)) << "a leaf that cannot be split";
  }
  std::string separator = Separator((middle - 1)->key, middle->key);
  ++shape_;
  leaf->Clear();
  leaf->Build(first, middle);
  IndexLeaf* const right = pages_.Take();
  right->Build(middle, last);
  finish();
  // Sums of a child that has become smaller: what newest said was of both halves.
  if (height_ > 0) path->inner[height_ - 1]->SetSums(path->at[height_ - 1], leaf->live(), leaf->newest());
  InsertBehind(path, height_, std::move(separator), ChildOf(right));
}

// `level` is that of the node the child stands beside; its parent is one above.
void KeyIndex::InsertBehind(Path* path, size_t level, std::string separator, const IndexInner::Child& child) {
  // Every node above counts what moved into the new child from here on.
  for (size_t i = 0; i + 1 < level; ++i)
    path->inner[i]->AddLive(path->at[i], static_cast<int64_t>(child.live), child.newest);
  IndexInner::Child next = child;
  while (level > 0) {
    IndexInner* const parent = path->inner[level - 1];
    const size_t at = path->at[level - 1];
    if (!parent->full()) {
      parent->Insert(at + 1, std::move(separator), next);
      return;
    }
    auto* const right = new IndexInner();
    ++inner_nodes_;
    const size_t half = at + 1 == parent->size() ? parent->size() - 1 : parent->size() / 2;
    std::string above = parent->SplitAt(half, right);
    if (at + 1 > half) {
      right->Insert(at + 1 - half, std::move(separator), next);
    } else {
      parent->Insert(at + 1, std::move(separator), next);
    }
    if (level > 1) path->inner[level - 2]->SetSums(path->at[level - 2], parent->LiveSum(), parent->Newest());
    next = {.node = right, .live = right->LiveSum(), .newest = right->Newest()};
    separator = std::move(above);
    --level;
  }
  // The root was split: a new one above both halves.
  KEEL_CHECK_LT(height_ + 1, kHeightMax);
  auto* const root = new IndexInner();
  ++inner_nodes_;
  IndexInner::Child left;
  if (height_ == 0) {
    left = ChildOf(static_cast<IndexLeaf*>(root_));
  } else {
    auto* const old = static_cast<IndexInner*>(root_);
    left = {.node = old, .live = old->LiveSum(), .newest = old->Newest()};
  }
  root->Insert(0, std::string(), left);
  root->Insert(1, std::move(separator), next);
  root_ = root;
  ++height_;
}

void KeyIndex::Erase(std::string_view key, ChangeId mod) {
  if (root_ == nullptr) return;
  Path path;
  Descend(key, &path);
  const IndexLeaf::Place place = path.leaf->Find(key);
  if (!place.found) return;
  const IndexEntry entry = path.leaf->EntryAt(place.slot);
  if (entry.mod != mod) return;
  path.leaf->Erase(place.slot);
  --size_;
  if (entry.is_live()) {
    --live_keys_;
    UpdateSums(&path, -1, Revision());
  }
  if (path.leaf->bytes_used() < kSparseLeafBytes) Shrink(&path);
}

void KeyIndex::MergeLeaves(IndexInner* parent, size_t left) {
  auto* const a = static_cast<IndexLeaf*>(parent->node(left));
  auto* const b = static_cast<IndexLeaf*>(parent->node(left + 1));
  if (a->bytes_used() + b->bytes_used() > kJoinedLeafBytes) return;
  items_.Clear();
  a->Collect(&items_);
  b->Collect(&items_);
  const IndexLeaf::Item* const first = items_.list.data();
  const IndexLeaf::Item* const last = first + items_.list.size();
  if (!IndexLeaf::Fits(first, last)) return;  // Together they may share less of their keys.
  ++shape_;
  a->Clear();
  a->Build(first, last);
  b->Clear();
  pages_.Give(b);
  parent->SetSums(left, a->live(), a->newest());
  parent->Erase(left + 1);
}

void KeyIndex::Shrink(Path* path) {
  if (path->leaf->size() == 0) {
    ++shape_;
    pages_.Give(path->leaf);
    if (height_ == 0) {
      root_ = nullptr;
      return;
    }
    RemoveChild(path, height_ - 1);
  } else if (height_ > 0) {
    IndexInner* const parent = path->inner[height_ - 1];
    const size_t at = path->at[height_ - 1];
    if (at + 1 < parent->size()) {
      MergeLeaves(parent, at);
    } else if (at > 0) {
      MergeLeaves(parent, at - 1);
    }
  }
  // Inner nodes that have become sparse join a neighbour; a root with one child is not needed.
  for (size_t level = height_; level > 1; --level) {
    IndexInner* const parent = path->inner[level - 2];
    if (parent == nullptr) continue;
    const size_t at = path->at[level - 2];
    if (at >= parent->size() || parent->node(at) != path->inner[level - 1]) continue;  // It is gone already.
    if (path->inner[level - 1]->size() >= kSparseChildren || parent->size() < 2) continue;
    const size_t left = at + 1 < parent->size() ? at : at - 1;
    auto* const a = static_cast<IndexInner*>(parent->node(left));
    auto* const b = static_cast<IndexInner*>(parent->node(left + 1));
    if (a->size() + b->size() > kJoinedChildren) continue;
    ++shape_;
    a->Append(parent->separator(left + 1), b);
    delete b;
    --inner_nodes_;
    parent->SetSums(left, a->LiveSum(), a->Newest());
    parent->Erase(left + 1);
  }
  while (height_ > 0 && static_cast<IndexInner*>(root_)->size() == 1) {
    auto* const root = static_cast<IndexInner*>(root_);
    ++shape_;
    root_ = root->node(0);
    delete root;
    --inner_nodes_;
    --height_;
  }
}

void KeyIndex::RemoveChild(Path* path, size_t level) {
  IndexInner* const parent = path->inner[level];
  parent->Erase(path->at[level]);
  if (parent->size() > 0) return;
  delete parent;
  --inner_nodes_;
  path->inner[level] = nullptr;
  if (level > 0) return RemoveChild(path, level - 1);
  root_ = nullptr;
  height_ = 0;
}

}  // namespace keel::storage
