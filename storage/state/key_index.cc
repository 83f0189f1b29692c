#include "storage/state/key_index.h"

#include <utility>

namespace keel::storage {

std::optional<IndexEntry> KeyIndex::Find(std::string_view key) const {
  auto it = by_key_.find(key);
  if (it == by_key_.end()) return std::nullopt;
  return (*it)->entry;
}

void KeyIndex::Set(std::string_view key, const IndexEntry& entry) {
  if (entry.is_live()) ++live_keys_;
  auto it = by_key_.find(key);
  if (it != by_key_.end()) {
    if ((*it)->entry.is_live()) --live_keys_;
    (*it)->entry = entry;
    return;
  }
  auto node = std::make_unique<Node>(Node{.entry = entry, .key = std::string(key)});
  by_order_.insert(node.get());
  by_key_.insert(std::move(node));
}

void KeyIndex::Erase(std::string_view key, ChangeId mod) {
  auto it = by_key_.find(key);
  if (it == by_key_.end() || (*it)->entry.mod != mod) return;
  if ((*it)->entry.is_live()) --live_keys_;
  by_order_.erase(it->get());
  by_key_.erase(it);
}

bool KeyIndex::Read(const KeyInterval& interval, std::optional<std::string_view> after, size_t entries_max,
                    EntryChunk* chunk) const {
  if (interval.empty()) return true;
  auto it = after.has_value() ? by_order_.upper_bound(*after) : by_order_.lower_bound(interval.first);
  for (size_t n = 0; it != by_order_.end() && interval.Contains((*it)->key); ++it, ++n) {
    if (n == entries_max) return false;
    chunk->Add((*it)->key, (*it)->entry);
  }
  return true;
}

}  // namespace keel::storage
