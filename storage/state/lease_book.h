#pragma once

// The leases and the keys attached to each. The leases are on disk one by one; the attachments are rebuilt from the
// keys' own lease fields.
//
// Thread-compatible; guarded by its owner.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "storage/revision.h"
#include "storage/state/state_store.h"

namespace keel::storage {

class LeaseBook {
 public:
  using Keys = absl::btree_set<std::string, std::less<>>;

  // Nullptr when unknown; valid until the next change.
  const LeaseRecord* Find(LeaseId id) const;
  std::vector<LeaseRecord> All() const;  // By id, ascending.

  void Put(const LeaseRecord& lease);
  void Remove(LeaseId id);

  // Moves `key` from one lease to another; LeaseId 0 stands for none. Keys of a lease that is not in the book are not
  // kept: nothing can ever revoke it.
  void Move(std::string_view key, LeaseId from, LeaseId to);
  // Ascending; an empty set when there are none.
  const Keys& KeysOf(LeaseId id) const;

 private:
  std::map<LeaseId, LeaseRecord> leases_;
  absl::flat_hash_map<LeaseId, Keys> keys_;
};

}  // namespace keel::storage
