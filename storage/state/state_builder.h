#pragma once

// Makes a state out of changes that happened elsewhere: the way in for another store's data. What it leaves is a
// database like a checkpoint's, for StateStore::Install.

#include <memory>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/state/engine.h"
#include "storage/state/medium.h"
#include "storage/state/record.h"
#include "storage/state/state_store.h"

namespace keel::storage {

// Owned by one thread. Holds every key once in memory, besides the bytes on their way to the disk.
class StateBuilder {
 public:
  // `dir` must not exist.
  static absl::StatusOr<std::unique_ptr<StateBuilder>> Create(const std::string& dir,
                                                              std::shared_ptr<StateMedium> medium = FileMedium());

  // The next change, ascending. `kv` of a tombstone: key and mod_revision only. kDataLoss, without a change: it cannot
  // have happened after what was added before.
  absl::Status Add(ChangeId change, const KeyValueFields& kv);
  void AddLease(const LeaseRecord& lease);

  // Writes the rest and closes. The current revision is that of the last change, or `compact` when that is higher; it
  // is compacted to `compact` (-1: never).
  absl::Status Finish(Revision compact);

  Revision last_revision() const { return last_.revision; }

 private:
  struct Latest {
    ChangeId mod;
    uint32_t stored_bytes = 0;
    Lineage lineage;
  };

  StateBuilder() = default;
  absl::Status WriteOut();

  std::unique_ptr<Engine> engine_;
  std::unique_ptr<EngineBatch> batch_;
  size_t batch_bytes_ = 0;
  RunningHash hash_;  // So that members which were given different files are told apart.
  ChangeId last_{.revision = Revision(1), .sub = 0};
  absl::flat_hash_map<std::string, Latest> latest_;
};

}  // namespace keel::storage
