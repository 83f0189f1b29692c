#include "storage/state/key_index.h"

namespace keel::storage {

std::optional<IndexEntry> KeyIndex::Find(std::string_view key) const {
  auto it = entries_.find(key);
  if (it == entries_.end()) return std::nullopt;
  return it->second;
}

void KeyIndex::Set(std::string_view key, const IndexEntry& entry) {
  auto it = entries_.lower_bound(key);
  if (it == entries_.end() || it->first != key) {
    entries_.emplace_hint(it, std::string(key), entry);
    if (entry.is_live()) ++live_keys_;
    return;
  }
  if (it->second.is_live()) --live_keys_;
  if (entry.is_live()) ++live_keys_;
  it->second = entry;
}

void KeyIndex::Erase(std::string_view key, ChangeId mod) {
  auto it = entries_.find(key);
  if (it == entries_.end() || it->second.mod != mod) return;
  if (it->second.is_live()) --live_keys_;
  entries_.erase(it);
}

bool KeyIndex::Read(const KeyInterval& interval, std::optional<std::string_view> after, size_t entries_max,
                    EntryChunk* chunk) const {
  if (interval.empty()) return true;
  auto it = after.has_value() ? entries_.upper_bound(*after) : entries_.lower_bound(interval.first);
  for (size_t n = 0; it != entries_.end() && interval.Contains(it->first); ++it, ++n) {
    if (n == entries_max) return false;
    chunk->Add(it->first, it->second);
  }
  return true;
}

}  // namespace keel::storage
