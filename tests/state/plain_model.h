#pragma once

// The state machine once more, as plainly as it can be said: a whole map per revision, scans for everything. Shares no
// code with the store; the tests compare the two.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "proto/etcdserver_kv.pb.h"
#include "storage/state/apply_batch.h"

namespace keel::storage {

struct ModelOp {
  enum class Kind { kPut, kDelete, kGrant, kRevoke, kCompact };
  Kind kind = Kind::kPut;
  std::string key;
  std::string end;
  std::string value;
  int64_t lease = 0;
  int64_t revision = 0;
};

using ModelEntry = std::vector<ModelOp>;

struct ModelPair {
  int64_t create = 0;
  int64_t mod = 0;
  int64_t version = 0;
  std::string value;
  int64_t lease = 0;

  friend bool operator==(const ModelPair&, const ModelPair&) = default;
};

struct ModelEvent {
  std::string key;
  std::optional<ModelPair> pair;  // nullopt: deleted.
  int64_t previous = 0;           // Revision of the pair before; 0: none.
};

class PlainModel {
 public:
  using Keys = std::map<std::string, ModelPair>;

  PlainModel();

  void Apply(const ModelEntry& entry);

  int64_t revision() const { return static_cast<int64_t>(by_revision_.size()) - 1; }
  int64_t compact_revision() const { return compact_; }
  const Keys& KeysAt(int64_t revision) const { return by_revision_[static_cast<size_t>(revision)]; }
  const std::vector<ModelEvent>& EventsOf(int64_t revision) const { return events_[static_cast<size_t>(revision)]; }
  const std::set<int64_t>& leases() const { return leases_; }

  // For revisions from the compact one to the current one.
  etcdserverpb::RangeResponse Range(const etcdserverpb::RangeRequest& request, int64_t at) const;

 private:
  static bool Inside(const std::string& key, const std::string& first, const std::string& end);
  void DeleteKey(const std::string& key, Keys* keys, std::vector<ModelEvent>* events);

  std::vector<Keys> by_revision_;                // Indexed by revision; 0 is unused.
  std::vector<std::vector<ModelEvent>> events_;  // Likewise.
  std::set<int64_t> leases_;
  int64_t compact_ = -1;
};

// A random entry of 1 to 4 operations on few keys; may compact when `model` allows it.
ModelEntry RandomEntry(const PlainModel& model, Random* random);
// The same operations on the store; results are those of the model when the states agree.
void Execute(const ModelEntry& entry, uint64_t index, ApplyBatch* batch);
// Any interval, limit, order, filter and kind of answer, at a readable revision of a reader at `at`.
etcdserverpb::RangeRequest RandomRange(int64_t compact, int64_t at, Random* random);

}  // namespace keel::storage
