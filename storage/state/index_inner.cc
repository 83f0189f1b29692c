#include "storage/state/index_inner.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "storage/state/lower_bound.h"

namespace keel::storage {

namespace {

// Eight bytes of `key` from `at` on as a number, missing ones as zero.
uint64_t EightBytes(std::string_view key, size_t at) {
  if (key.size() >= at + 8) return ReadBigEndian64(key.data() + at);
  uint64_t number = 0;
  for (size_t i = at; i < at + 8; ++i) number = number << 8 | (i < key.size() ? static_cast<uint8_t>(key[i]) : 0);
  return number;
}

// Where those of the sorted numbers [*first, *end) that are `wanted` begin and end.
void Narrow(const uint64_t* numbers, uint64_t wanted, size_t* first, size_t* end) {
  *first += LowerBound(numbers + *first, *end - *first, [wanted](uint64_t here) { return here < wanted; });
  if (*first == *end || numbers[*first] != wanted) {
    *end = *first;
    return;
  }
  *end = *first + LowerBound(numbers + *first, *end - *first, [wanted](uint64_t here) { return here <= wanted; });
}

}  // namespace

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
  for (size_t i = 1; i < size_; ++i) {
    heads_[i] = EightBytes(separators_[i], prefix_bytes_);
    seconds_[i] = EightBytes(separators_[i], prefix_bytes_ + 8u);
  }
}

size_t IndexInner::Find(std::string_view key) const {
  const std::string_view prefix(prefix_.data(), prefix_bytes_);
  const int order = key.substr(0, prefix.size()).compare(prefix);
  if (order < 0) return 0;
  if (order > 0) return size_ - 1u;
  // The first separator above the key: the heads tell, unless there are some that are the same.
  size_t first = 1;
  size_t end = std::max<size_t>(size_, 1);
  Narrow(heads_.data(), EightBytes(key, prefix_bytes_), &first, &end);
  if (first < end) Narrow(seconds_.data(), EightBytes(key, prefix_bytes_ + 8u), &first, &end);
  if (first < end) {
    const auto begin = separators_.begin();
    first = static_cast<size_t>(
        std::upper_bound(begin + static_cast<ptrdiff_t>(first), begin + static_cast<ptrdiff_t>(end), key) - begin);
  }
  return first - 1;
}

uint64_t IndexInner::LiveSum() const {
  uint64_t sum = 0;
  for (size_t i = 0; i < size_; ++i) sum += children_[i].live;
  return sum;
}

Revision IndexInner::Newest() const {
  Revision newest;
  for (size_t i = 0; i < size_; ++i) newest = std::max(newest, children_[i].newest);
  return newest;
}

void IndexInner::Insert(size_t i, std::string separator, const Child& child) {
  for (size_t j = size_; j > i; --j) {
    children_[j] = children_[j - 1];
    separators_[j] = std::move(separators_[j - 1]);
  }
  ++size_;
  children_[i] = child;
  separators_[i] = std::move(separator);
  MakeHeads();
}

void IndexInner::Erase(size_t i) {
  for (size_t j = i + 1; j < size_; ++j) {
    children_[j - 1] = children_[j];
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
    right->children_[to] = children_[j];
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
    children_[to] = right->children_[j];
    separators_[to] = j == 0 ? std::string(separator) : std::move(right->separators_[j]);
  }
  size_ = static_cast<uint16_t>(size_ + right->size_);
  right->size_ = 0;
  MakeHeads();
}

}  // namespace keel::storage
