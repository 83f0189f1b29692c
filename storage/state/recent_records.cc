#include "storage/state/recent_records.h"

#include <algorithm>

#include "base/check.h"
#include "storage/state/prefetch.h"

namespace keel::storage {
namespace {

constexpr size_t kSlotsAtFirst = 256;

}  // namespace

void RecentRecords::Append(std::vector<std::pair<ChangeId, Record>> records,
                           std::vector<std::pair<ChangeId, Record>>* used) {
  absl::MutexLock lock(&mu_);
  // About as many go as come, and nobody has looked at them for long.
  for (size_t i = 0; i < std::min(records.size(), slots_.size()); ++i) PrefetchLines(slots_[i].record.kv.get(), 1);
  for (auto& [change, record] : records) {
    KEEL_CHECK(slots_.empty() || slots_.back().change < change) << "a change out of order";
    if (slots_.full()) slots_.set_capacity(std::max(kSlotsAtFirst, 2 * slots_.capacity()));
    bytes_ += CachedBytes(record);
    slots_.push_back({.change = change, .record = std::move(record)});
    while (bytes_ > bytes_max_) {
      Slot& oldest = slots_.front();
      if (oldest.record.kv != nullptr) {
        bytes_ -= CachedBytes(oldest.record);
        if (oldest.used) used->emplace_back(oldest.change, std::move(oldest.record));
      }
      slots_.pop_front();
    }
  }
}

std::optional<Record> RecentRecords::Find(ChangeId change) {
  absl::MutexLock lock(&mu_);
  Slot* slot = SlotOf(change);
  if (slot == nullptr) return std::nullopt;
  slot->used = true;
  return slot->record;
}

std::optional<std::vector<std::pair<ChangeId, Record>>> RecentRecords::Since(ChangeId from, size_t records_max) const {
  absl::MutexLock lock(&mu_);
  if (slots_.empty() || from < slots_.front().change) return std::nullopt;
  std::vector<std::pair<ChangeId, Record>> records;
  records.reserve(std::min(records_max, slots_.size()));
  for (auto it = std::lower_bound(slots_.begin(), slots_.end(), from,
                                  [](const Slot&slot, ChangeId wanted) { return slot.change < wanted; });
       it != slots_.end() && records.size() < records_max; ++it) {
    if (it->record.kv == nullptr) return std::nullopt;
    records.emplace_back(it->change, it->record);
  }
  return records;
}

void RecentRecords::Erase(ChangeId change) {
  absl::MutexLock lock(&mu_);
  Slot* slot = SlotOf(change);
  if (slot == nullptr) return;
  bytes_ -= CachedBytes(slot->record);
  slot->record = Record();
}

size_t RecentRecords::bytes() const {
  absl::MutexLock lock(&mu_);
  return bytes_;
}

RecentRecords::Slot* RecentRecords::SlotOf(ChangeId change) {
  if (slots_.empty() || change < slots_.front().change || slots_.back().change < change) return nullptr;
  // Where it is when every revision has one change, which is the rule.
  const auto guess = static_cast<size_t>(change.revision.value() - slots_.front().change.revision.value());
  auto at = slots_.begin() + static_cast<ptrdiff_t>(std::min(guess, slots_.size() - 1));
  if (at->change != change) {
    at = std::lower_bound(slots_.begin(), slots_.end(), change,
                          [](const Slot& slot, ChangeId wanted) { return slot.change < wanted; });
  }
  return at->change == change && at->record.kv != nullptr ? &*at : nullptr;
}

}  // namespace keel::storage
