#pragma once

// Writes bbolt files for tests: buckets of sorted pairs, split into as many leaf pages as a test wants, small buckets
// inline as bbolt has them.

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace keel::storage {

using BboltPairs = std::map<std::string, std::string>;

class BboltWriter {
 public:
  explicit BboltWriter(size_t page_bytes) : page_bytes_(page_bytes) {
    pages_.resize(4);  // Two meta pages, a freelist, and the root.
  }

  // In a tree of its own with at most `pairs_per_page` in a leaf; 0: inline.
  void AddBucket(const std::string& name, const BboltPairs& pairs, size_t pairs_per_page) {
    if (pairs_per_page == 0) {
      std::string value(16, '\0');
      value += Leaf(0, {pairs.begin(), pairs.end()}, 0);
      buckets_[name] = value;
      return;
    }
    std::vector<std::pair<std::string, uint64_t>> children;
    std::vector<std::pair<std::string, std::string>> some;
    for (const auto& pair : pairs) {
      some.push_back(pair);
      if (some.size() == pairs_per_page) children.push_back(AddLeaf(&some));
    }
    if (!some.empty() || children.empty()) children.push_back(AddLeaf(&some));
    uint64_t root = children.front().second;
    if (children.size() > 1) {
      root = pages_.size();
      Place(root, Branch(root, children));
    }
    std::string value;
    AppendLittleEndian64(root, &value);
    AppendLittleEndian64(0, &value);
    buckets_[name] = value;
  }

  std::string Finish() {
    Place(3, Leaf(3, {buckets_.begin(), buckets_.end()}, 1));
    std::string out;
    for (int meta = 0; meta < 2; ++meta) {
      std::string body;
      AppendLittleEndian32(0xED0CDAED, &body);
      AppendLittleEndian32(2, &body);
      AppendLittleEndian32(static_cast<uint32_t>(page_bytes_), &body);
      AppendLittleEndian32(0, &body);
      AppendLittleEndian64(3, &body);
      AppendLittleEndian64(0, &body);
      AppendLittleEndian64(2, &body);
      AppendLittleEndian64(pages_.size(), &body);
      AppendLittleEndian64(static_cast<uint64_t>(10 + meta), &body);
      uint64_t hash = 0xcbf29ce484222325u;
      for (const char c : body) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
      AppendLittleEndian64(hash, &body);
      pages_[static_cast<size_t>(meta)] = Pad(Header(static_cast<uint64_t>(meta), 4, 0, 0) + body);
    }
    pages_[2] = Pad(Header(2, 0x10, 0, 0));
    for (const std::string& page : pages_) out += page;
    return out;
  }

 private:
  static std::string Header(uint64_t id, uint16_t flags, size_t count, size_t overflow) {
    std::string out;
    AppendLittleEndian64(id, &out);
    out.push_back(static_cast<char>(flags & 0xff));
    out.push_back(static_cast<char>(flags >> 8));
    out.push_back(static_cast<char>(count & 0xff));
    out.push_back(static_cast<char>(count >> 8));
    AppendLittleEndian32(static_cast<uint32_t>(overflow), &out);
    return out;
  }
  std::string Pad(std::string page) const {
    page.resize((page.size() + page_bytes_ - 1) / page_bytes_ * page_bytes_);
    return page;
  }
  size_t Overflow(size_t bytes) const { return (bytes + page_bytes_ - 1) / page_bytes_ - 1; }

  std::string Leaf(uint64_t id, const std::vector<std::pair<std::string, std::string>>& pairs, uint32_t flags) const {
    std::string elements;
    std::string data;
    for (size_t i = 0; i < pairs.size(); ++i) {
      AppendLittleEndian32(flags, &elements);
      AppendLittleEndian32(static_cast<uint32_t>((pairs.size() - i) * 16 + data.size()), &elements);
      AppendLittleEndian32(static_cast<uint32_t>(pairs[i].first.size()), &elements);
      AppendLittleEndian32(static_cast<uint32_t>(pairs[i].second.size()), &elements);
      data += pairs[i].first + pairs[i].second;
    }
    return Header(id, 2, pairs.size(), id == 0 ? 0 : Overflow(16 + elements.size() + data.size())) + elements + data;
  }
  std::string Branch(uint64_t id, const std::vector<std::pair<std::string, uint64_t>>& children) const {
    std::string elements;
    std::string data;
    for (size_t i = 0; i < children.size(); ++i) {
      AppendLittleEndian32(static_cast<uint32_t>((children.size() - i) * 16 + data.size()), &elements);
      AppendLittleEndian32(static_cast<uint32_t>(children[i].first.size()), &elements);
      AppendLittleEndian64(children[i].second, &elements);
      data += children[i].first;
    }
    return Header(id, 1, children.size(), Overflow(16 + elements.size() + data.size())) + elements + data;
  }

  std::pair<std::string, uint64_t> AddLeaf(std::vector<std::pair<std::string, std::string>>* some) {
    const uint64_t id = pages_.size();
    const std::string first = some->empty() ? "" : some->front().first;
    Place(id, Leaf(id, *some, 0));
    some->clear();
    return {first, id};
  }
  // Pages of `bytes` at `id`, which may be more than one.
  void Place(uint64_t id, const std::string& bytes) {
    const std::string padded = Pad(bytes);
    const size_t n = padded.size() / page_bytes_;
    if (pages_.size() < id + n) pages_.resize(id + n);
    for (size_t i = 0; i < n; ++i) pages_[id + i] = padded.substr(i * page_bytes_, page_bytes_);
  }

  const size_t page_bytes_;
  std::vector<std::string> pages_;
  std::map<std::string, std::string> buckets_;
};

}  // namespace keel::storage
