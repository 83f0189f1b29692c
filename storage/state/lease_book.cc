#include "storage/state/lease_book.h"

namespace keel::storage {

const LeaseRecord* LeaseBook::Find(LeaseId id) const {
  auto it = leases_.find(id);
  return it == leases_.end() ? nullptr : &it->second;
}

std::vector<LeaseRecord> LeaseBook::All() const {
  std::vector<LeaseRecord> all;
  all.reserve(leases_.size());
  for (const auto& [id, lease] : leases_) all.push_back(lease);
  return all;
}

void LeaseBook::Put(const LeaseRecord& lease) { leases_[lease.id] = lease; }

void LeaseBook::Remove(LeaseId id) {
  leases_.erase(id);
  keys_.erase(id);
}

void LeaseBook::Move(std::string_view key, LeaseId from, LeaseId to) {
  if (from == to) return;
  if (from.value() != 0) {
    auto it = keys_.find(from);
    if (it != keys_.end()) {
      if (auto found = it->second.find(key); found != it->second.end()) it->second.erase(found);
      if (it->second.empty()) keys_.erase(it);
    }
  }
  if (to.value() != 0 && leases_.contains(to)) keys_[to].emplace(key);
}

const LeaseBook::Keys& LeaseBook::KeysOf(LeaseId id) const {
  static const Keys* const kNone = new Keys();
  auto it = keys_.find(id);
  return it == keys_.end() ? *kNone : it->second;
}

}  // namespace keel::storage
