#include "storage/state/index_leaf.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "storage/state/lower_bound.h"
#include "storage/state/varint.h"

namespace keel::storage {
namespace {

size_t VarintBytes(uint64_t v) {
  size_t bytes = 1;
  for (; v >= 0x80; v >>= 7) ++bytes;
  return bytes;
}

size_t CommonPrefix(std::string_view a, std::string_view b) {
  const size_t n = std::min(a.size(), b.size());
  size_t i = 0;
  while (i < n && a[i] == b[i]) ++i;
  return i;
}

}  // namespace

void IndexLeaf::Reset() {
  size_ = garbage_ = prefix_bytes_ = live_ = leased_ = outside_ = appends_ = 0;
  cells_ = kBytes;
  newest_ = Revision();
  unused_ = 0;
}

void IndexLeaf::Clear() {
  for (size_t slot = 0; outside_ > 0 && slot < size_; ++slot) FreeRest(slot);
  Reset();
}

uint32_t IndexLeaf::HeadOf(std::string_view rest) {
  if (rest.size() >= 4) return ReadBigEndian32(rest.data());
  uint32_t head = 0;
  for (size_t i = 0; i < 4; ++i) head = head << 8 | (i < rest.size() ? static_cast<uint8_t>(rest[i]) : 0);
  return head;
}

size_t IndexLeaf::CellBytes(size_t shared, size_t rest_bytes, size_t entry_bytes) {
  return VarintBytes(rest_bytes) + StoredRestBytes(shared, rest_bytes) + entry_bytes;
}

std::string_view IndexLeaf::rest(size_t slot) const {
  const char* p = page() + slots()[slot].cell;
  const size_t bytes = GetVarint(&p);
  if (!IsOutside(bytes)) return {p, bytes};
  const char* outside;
  std::memcpy(&outside, p, kPointerBytes);
  return {outside, bytes};
}

const char* IndexLeaf::EntryOf(size_t slot) const {
  const char* p = page() + slots()[slot].cell;
  const size_t bytes = GetVarint(&p);
  return p + StoredRestBytes(prefix_bytes_, bytes);
}

size_t IndexLeaf::CellBytesAt(size_t slot) const {
  return static_cast<size_t>(SkipEntry(EntryOf(slot)) - (page() + slots()[slot].cell));
}

std::string IndexLeaf::KeyAt(size_t slot) const {
  std::string key(prefix());
  key.append(rest(slot));
  return key;
}

IndexLeaf::Place IndexLeaf::Find(std::string_view key) const {
  const std::string_view shared = prefix();
  const int order = key.substr(0, shared.size()).compare(shared);
  if (order < 0) return {.slot = 0, .found = false};
  if (order > 0) return {.slot = size_, .found = false};
  const std::string_view wanted = key.substr(shared.size());
  const uint32_t head = HeadOf(wanted);
  size_t first = SlotOfHead(head);
  // Of those with the same head, which mostly is one, as their rests say.
  size_t last = first;
  for (size_t step = 1; last < size_ && slots()[last].head == head; step *= 2) last += step;
  last = std::min<size_t>(last, size_);
  while (first < last) {
    const size_t middle = first + (last - first) / 2;
    const int here = slots()[middle].head == head ? rest(middle).compare(wanted) : 1;
    if (here == 0) return {.slot = middle, .found = true};
    if (here < 0) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return {.slot = first, .found = false};
}

size_t IndexLeaf::SlotOfHead(uint32_t head) const {
  return LowerBound(slots(), size_, [head](const Slot& slot) { return slot.head < head; });
}

void IndexLeaf::PrefetchCell(std::string_view key) const {
  constexpr size_t kUsualBytes = 48;
  if (!key.starts_with(prefix())) return;
  const size_t slot = SlotOfHead(HeadOf(key.substr(prefix_bytes_)));
  if (slot < size_) PrefetchLines(page() + slots()[slot].cell, kUsualBytes);
}

uint16_t IndexLeaf::AddCell(std::string_view rest, std::string_view entry) {
  cells_ = static_cast<uint16_t>(cells_ - CellBytes(prefix_bytes_, rest.size(), entry.size()));
  char* p = PutVarint(rest.size(), page() + cells_);
  if (IsOutside(rest.size())) {
    char* outside = new char[rest.size()];
    std::memcpy(outside, rest.data(), rest.size());
    std::memcpy(p, &outside, kPointerBytes);
    p += kPointerBytes;
    ++outside_;
  } else {
    std::memcpy(p, rest.data(), rest.size());
    p += rest.size();
  }
  std::memcpy(p, entry.data(), entry.size());
  return cells_;
}

void IndexLeaf::FreeRest(size_t slot) {
  const std::string_view bytes = rest(slot);
  if (!IsOutside(bytes.size())) return;
  delete[] bytes.data();
  --outside_;
}

void IndexLeaf::CountIn(const EntrySummary& summary) {
  if (summary.live) ++live_;
  if (summary.leased) ++leased_;
  newest_ = std::max(newest_, summary.mod);
}

void IndexLeaf::CountOut(const EntrySummary& summary) {
  if (summary.live) --live_;
  if (summary.leased) --leased_;
}

void IndexLeaf::Squeeze() {
  if (garbage_ == 0) return;
  char copy[kBytes];
  std::memcpy(copy, page(), kBytes);
  cells_ = static_cast<uint16_t>(kBytes - prefix_bytes_);
  for (size_t slot = size_; slot-- > 0;) {
    const char* cell = copy + slots()[slot].cell;
    const char* p = cell;
    const size_t rest_bytes = GetVarint(&p);
    p = SkipEntry(p + StoredRestBytes(prefix_bytes_, rest_bytes));
    cells_ = static_cast<uint16_t>(cells_ - (p - cell));
    std::memcpy(page() + cells_, cell, static_cast<size_t>(p - cell));
    slots()[slot].cell = cells_;
  }
  garbage_ = 0;
}

bool IndexLeaf::Replace(size_t slot, std::string_view entry) {
  const char* old = EntryOf(slot);
  const size_t old_bytes = static_cast<size_t>(SkipEntry(old) - old);
  if (entry.size() > old_bytes) {
    const char* cell = page() + slots()[slot].cell;
    const size_t front = static_cast<size_t>(old - cell);  // Length and rest stay as they are.
    const size_t needed = front + entry.size();
    if (FreeBytes() < needed) {
      if (FreeBytes() + garbage_ < needed) return false;
      Squeeze();
      old = EntryOf(slot);
      cell = page() + slots()[slot].cell;
    }
    CountOut(SummarizeEntry(old));
    cells_ = static_cast<uint16_t>(cells_ - needed);
    std::memcpy(page() + cells_, cell, front);
    std::memcpy(page() + cells_ + front, entry.data(), entry.size());
    slots()[slot].cell = cells_;
    garbage_ = static_cast<uint16_t>(garbage_ + front + old_bytes);
  } else {
    CountOut(SummarizeEntry(old));
    std::memcpy(page() + (old - page()), entry.data(), entry.size());
    garbage_ = static_cast<uint16_t>(garbage_ + old_bytes - entry.size());
  }
  CountIn(SummarizeEntry(entry.data()));
  return true;
}

bool IndexLeaf::Insert(size_t slot, std::string_view key, std::string_view entry) {
  if (size_ == 0 || !key.starts_with(prefix())) return false;
  const std::string_view rest = key.substr(prefix_bytes_);
  const size_t needed = CellBytes(prefix_bytes_, rest.size(), entry.size()) + sizeof(Slot);
  if (FreeBytes() < needed) {
    if (FreeBytes() + garbage_ < needed) return false;
    Squeeze();
  }
  appends_ = slot == size_ ? static_cast<uint16_t>(appends_ + 1) : 0;
  const uint16_t cell = AddCell(rest, entry);
  std::memmove(slots() + slot + 1, slots() + slot, (size_ - slot) * sizeof(Slot));
  slots()[slot] = {.head = HeadOf(rest), .cell = cell};
  ++size_;
  CountIn(SummarizeEntry(entry.data()));
  return true;
}

void IndexLeaf::Erase(size_t slot) {
  CountOut(SummaryAt(slot));
  garbage_ = static_cast<uint16_t>(garbage_ + CellBytesAt(slot));
  FreeRest(slot);
  std::memmove(slots() + slot, slots() + slot + 1, (size_ - slot - 1) * sizeof(Slot));
  --size_;
  appends_ = 0;
}

void IndexLeaf::Items::Reserve(size_t more) {
  if (bytes_.capacity() - bytes_.size() >= more) return;
  std::vector<char> larger;
  larger.reserve(std::max(bytes_.size() + more, 4 * kBytes));
  larger.assign(bytes_.begin(), bytes_.end());
  for (Item& item : list) {
    item.key = {larger.data() + (item.key.data() - bytes_.data()), item.key.size()};
    item.entry = {larger.data() + (item.entry.data() - bytes_.data()), item.entry.size()};
  }
  bytes_ = std::move(larger);
}

std::string_view IndexLeaf::Items::Append(std::string_view front, std::string_view back) {
  const size_t at = bytes_.size();
  bytes_.insert(bytes_.end(), front.begin(), front.end());
  bytes_.insert(bytes_.end(), back.begin(), back.end());
  return {bytes_.data() + at, front.size() + back.size()};
}

void IndexLeaf::Collect(Items* items) const {
  size_t bytes = 0;
  for (size_t slot = 0; slot < size_; ++slot) bytes += prefix_bytes_ + rest(slot).size() + EncodedAt(slot).size();
  items->Reserve(bytes);
  for (size_t slot = 0; slot < size_; ++slot) {
    const std::string_view key = items->Append(prefix(), rest(slot));
    items->list.push_back({.key = key, .entry = items->Append(EncodedAt(slot), {})});
  }
}

void IndexLeaf::AppendCell(size_t slot, std::string* out) const {
  const char* const cell = page() + slots()[slot].cell;
  const char* p = cell;
  const size_t rest_bytes = GetVarint(&p);
  const char* const entry = p + StoredRestBytes(prefix_bytes_, rest_bytes);
  const char* const end = SkipEntry(entry);
  if (!IsOutside(rest_bytes)) {
    out->append(cell, static_cast<size_t>(end - cell));
    return;
  }
  out->append(cell, static_cast<size_t>(p - cell));
  out->append(rest(slot)).append(entry, static_cast<size_t>(end - entry));
}

bool IndexLeaf::BuildFromCells(std::string_view prefix, std::string_view cells, size_t entries) {
  KEEL_CHECK(size_ == 0);
  Reset();
  if (prefix.size() > kInlineMax || kHeaderBytes + prefix.size() + entries * sizeof(Slot) + cells.size() > kBytes) {
    return false;
  }
  prefix_bytes_ = static_cast<uint16_t>(prefix.size());
  cells_ = static_cast<uint16_t>(kBytes - prefix.size());
  std::memcpy(page() + cells_, prefix.data(), prefix.size());
  for (size_t n = 0; n < entries; ++n) {
    std::string_view behind = cells;
    uint64_t rest_bytes = 0;
    size_t entry_bytes = 0;
    if (!TakeVarint(&behind, &rest_bytes) || rest_bytes > behind.size() || IsOutside(rest_bytes)) break;
    const std::string_view rest = behind.substr(0, rest_bytes);
    if (!CheckEntry(behind.substr(rest_bytes), &entry_bytes)) break;
    const size_t cell_bytes = cells.size() - behind.size() + rest_bytes + entry_bytes;
    cells_ = static_cast<uint16_t>(cells_ - cell_bytes);
    std::memcpy(page() + cells_, cells.data(), cell_bytes);
    slots()[size_] = {.head = HeadOf(rest), .cell = cells_};
    ++size_;
    CountIn(SummarizeEntry(behind.data() + rest_bytes));
    cells.remove_prefix(cell_bytes);
  }
  if (size_ == entries && cells.empty()) return true;
  Reset();
  return false;
}

size_t IndexLeaf::SharedBy(const Item* first, const Item* last) {
  return std::min(CommonPrefix(first->key, (last - 1)->key), kInlineMax);
}

size_t IndexLeaf::BytesOf(const Item& item, size_t shared) {
  return sizeof(Slot) + CellBytes(shared, item.key.size() - shared, item.entry.size());
}

bool IndexLeaf::Fits(const Item* first, const Item* last) {
  if (first == last) return true;
  const size_t shared = SharedBy(first, last);
  size_t bytes = kHeaderBytes + shared;
  for (const Item* item = first; item != last; ++item) {
    bytes += BytesOf(*item, shared);
    if (bytes > kBytes) return false;
  }
  return true;
}

void IndexLeaf::Build(const Item* first, const Item* last) {
  KEEL_CHECK(size_ == 0);
  Reset();
  if (first == last) return;
  const size_t shared = SharedBy(first, last);
  prefix_bytes_ = static_cast<uint16_t>(shared);
  cells_ = static_cast<uint16_t>(kBytes - shared);
  std::memcpy(page() + cells_, first->key.data(), shared);
  for (const Item* item = first; item != last; ++item) {
    const std::string_view rest = item->key.substr(shared);
    const uint16_t cell = AddCell(rest, item->entry);
    slots()[size_] = {.head = HeadOf(rest), .cell = cell};
    ++size_;
    CountIn(SummarizeEntry(item->entry.data()));
  }
}

}  // namespace keel::storage
