#pragma once

// The cluster's members as the log has made them: who they are, who votes, and whose ids are spent. A value: an apply
// batch changes a copy, which becomes the published one with the batch.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "storage/state/engine.h"
#include "storage/state/state_store.h"

namespace keel::storage {

// An entry of column family `meta` to write; nullopt: to delete.
struct MetaWrite {
  std::string key;
  std::optional<std::string> value;
};

void AddWrites(const std::vector<MetaWrite>& writes, EngineBatch* batch);

// Not thread-safe. Each change says what to write so that Load() comes back to it.
class MemberBook {
 public:
  // A cluster at its beginning, `index` being the log position that stands for it.
  static MemberBook Found(const Founding& founding, uint64_t index);

  // Takes in one stored entry; nullopt: not an entry of a member book. False: damaged.
  std::optional<bool> Load(std::string_view key, std::string_view value);
  // Everything, and `cluster_id`; what `before` had and this has not is deleted.
  std::vector<MetaWrite> WritesAfter(const MemberBook& before) const;

  std::optional<uint64_t> cluster_id() const { return cluster_id_; }
  const StoredMembership& membership() const { return membership_; }
  const std::set<uint64_t>& removed() const { return removed_; }
  std::vector<MemberRecord> All() const;  // By id, ascending.
  std::optional<MemberRecord> Find(uint64_t id) const;

  // A new membership. Of `upserts`, which the membership must hold, the peer URLs count, and `learner`: one that is not
  // but has no vote in the membership awaits it. Members that it does not hold any more are removed, for ever.
  void SetMembership(const StoredMembership& membership, const std::vector<MemberRecord>& upserts,
                     std::vector<MetaWrite>* writes);
  // What a member says of itself when it starts. kNotFound "etcdserver: member not found". kFailedPrecondition: it
  // speaks from another data directory than the member had, or from an older copy of it.
  absl::Status SetAttributes(uint64_t id, std::string_view name, std::vector<std::string> client_urls,
                             const DirectoryRecord& directory, std::vector<MetaWrite>* writes);

  friend bool operator==(const MemberBook&, const MemberBook&) = default;

 private:
  std::map<std::string, std::string> Entries() const;
  MemberRecord Complete(MemberRecord member) const;
  void Put(const MemberRecord& member, std::vector<MetaWrite>* writes);

  std::optional<uint64_t> cluster_id_;
  std::map<uint64_t, MemberRecord> members_;  // `learner` and `awaits_vote` are not kept up.
  std::set<uint64_t> awaiting_;               // Learners that are to become voters.
  StoredMembership membership_;
  std::set<uint64_t> removed_;
};

}  // namespace keel::storage
