#include "storage/state/index_inner.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/bytes.h"

namespace keel::storage {

uint64_t IndexInner::HeadOf(std::string_view key) const {
  key.remove_prefix(std::min<size_t>(prefix_bytes_, key.size()));
  if (key.size() >= 8) return ReadBigEndian64(key.data());
  uint64_t head = 0;
  for (size_t i = 0; i < 8; ++i) head = head << 8 | (i < key.size() ? static_cast<uint8_t>(key[i]) : 0);
  return head;
}

void IndexInner::MakeHeads() {
  prefix_bytes_ = 0;
  if (size_ > 1) {
    // They are sorted, so what the first and the last share, all share.
    const std::string& first = separators_[1];
    const std::string& last = separators_[size_ - 1];
    const size_t n = std::min({first.size(), last.size(), kPrefixMax});
    while (prefix_bytes_ < n && first[prefix_bytes_] == last[prefix_bytes_]) ++prefix_bytes_;
    std::memcpy(prefix_.data(), first.data(), prefix_bytes_);
  }
  for (size_t i = 1; i < size_; ++i) heads_[i] = HeadOf(separators_[i]);
}

size_t IndexInner::Find(std::string_view key) const {
  const std::string_view prefix(prefix_.data(), prefix_bytes_);
  const int order = key.substr(0, prefix.size()).compare(prefix);
  if (order < 0) return 0;
  if (order > 0) return size_ - 1u;
  const uint64_t head = HeadOf(key);
  // The first separator above the key.
  size_t first = 1;
  for (size_t n = size_ - 1u; n > 0;) {
    const size_t half = n / 2;
    const uint64_t here = heads_[first + half];
    if (here < head || (here == head && separators_[first + half] <= key)) {
      first += half + 1;
      n -= half + 1;
    } else {
      n = half;
    }
  }
  return first - 1;
}

uint64_t IndexInner::LiveSum() const {
  uint64_t sum = 0;
  for (size_t i = 0; i < size_; ++i) sum += live_[i];
  return sum;
}

Revision IndexInner::Newest() const {
  Revision newest;
  for (size_t i = 0; i < size_; ++i) newest = std::max(newest, newest_[i]);
  return newest;
}

void IndexInner::Insert(size_t i, std::string separator, const Child& child) {
  for (size_t j = size_; j > i; --j) {
    nodes_[j] = nodes_[j - 1];
    live_[j] = live_[j - 1];
    newest_[j] = newest_[j - 1];
    separators_[j] = std::move(separators_[j - 1]);
  }
  ++size_;
  nodes_[i] = child.node;
  live_[i] = child.live;
  newest_[i] = child.newest;
  separators_[i] = std::move(separator);
  MakeHeads();
}

void IndexInner::Erase(size_t i) {
  for (size_t j = i + 1; j < size_; ++j) {
    nodes_[j - 1] = nodes_[j];
    live_[j - 1] = live_[j];
    newest_[j - 1] = newest_[j];
    separators_[j - 1] = std::move(separators_[j]);
  }
  --size_;
  std::string().swap(separators_[size_]);
  MakeHeads();
}

std::string IndexInner::SplitAt(size_t i, IndexInner* right) {
  std::string separator = std::move(separators_[i]);
  for (size_t j = i; j < size_; ++j) {
    const size_t to = j - i;
    right->nodes_[to] = nodes_[j];
    right->live_[to] = live_[j];
    right->newest_[to] = newest_[j];
    if (to > 0) right->separators_[to] = std::move(separators_[j]);
    std::string().swap(separators_[j]);
  }
  right->size_ = static_cast<uint16_t>(size_ - i);
  size_ = static_cast<uint16_t>(i);
  MakeHeads();
  right->MakeHeads();
  return separator;
}

void IndexInner::Append(std::string_view separator, IndexInner* right) {
  for (size_t j = 0; j < right->size_; ++j) {
    const size_t to = size_ + j;
    nodes_[to] = right->nodes_[j];
    live_[to] = right->live_[j];
    newest_[to] = right->newest_[j];
    separators_[to] = j == 0 ? std::string(separator) : std::move(right->separators_[j]);
  }
  size_ = static_cast<uint16_t>(size_ + right->size_);
  right->size_ = 0;
  MakeHeads();
}

}  // namespace keel::storage
