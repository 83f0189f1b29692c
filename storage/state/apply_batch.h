#pragma once

// One step of the state machine: the changes of a group of log entries, gathered, then written as ONE atomic RocksDB
// batch together with the applied position, then made visible to readers at once.
//
// Everything here is a pure function of state and entry: no clock, randomness or thread. Errors of a request (unknown
// lease, ...) are results and change nothing; a failed Commit is final.

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_maintenance.pb.h"
#include "storage/event.h"
#include "storage/revision.h"
#include "storage/state/read_view.h"
#include "storage/state/state_store.h"

namespace keel::storage {

// Owned by the apply thread. Reads through it (it is a KeyspaceReader) see the batch's own changes, those of the entry
// in progress included; revision() is the revision before the entry in progress, plus one once that entry has changed
// something. At most one batch exists at a time.
class ApplyBatch final : public KeyspaceReader {
 public:
  class Impl;
  explicit ApplyBatch(std::unique_ptr<Impl> impl);
  ApplyBatch(ApplyBatch&&) noexcept;
  ~ApplyBatch() override;

  // Every entry of the log passes here, no-ops too, in order. All changes between Begin and End share one revision.
  void BeginEntry(AppliedPosition position);
  void EndEntry();

  // Says which keys the next entries will be about, in their order, as far as that is known: they are looked up
  // together, which takes a fraction of the time. No result depends on it. Once, before the first of them; the bytes of
  // the keys must stay until Commit() returns.
  void Expect(std::span<const std::string_view> keys);

  // --- Keys. The exact v3 errors: kNotFound "etcdserver: requested lease not found", kInvalidArgument
  // "etcdserver: key not found". Checks come before changes, so an error changes nothing.
  absl::Status Put(const etcdserverpb::PutRequest& request, etcdserverpb::PutResponse* response);
  absl::Status DeleteRange(const etcdserverpb::DeleteRangeRequest& request,
                           etcdserverpb::DeleteRangeResponse* response);

  // --- Leases.
  bool LeaseExists(LeaseId id) const;
  std::optional<LeaseRecord> Lease(LeaseId id) const;
  // kFailedPrecondition "etcdserver: lease already exists". TTL in seconds, already within its limits.
  absl::Status LeaseGrant(LeaseId id, int64_t ttl);
  // Deletes the attached keys, ascending, in the entry's revision. kNotFound "etcdserver: requested lease not found".
  absl::Status LeaseRevoke(LeaseId id);
  // No effect when unknown.
  void LeaseCheckpoint(LeaseId id, int64_t remaining_ttl);

  // --- The rest.
  // kOutOfRange with the exact v3 texts: already compacted, or in the future.
  absl::Status Compact(Revision revision);
  // False when nothing changed.
  bool RaiseAlarm(uint64_t member_id, etcdserverpb::AlarmType alarm);
  bool DisarmAlarm(uint64_t member_id, etcdserverpb::AlarmType alarm);

  // --- Members.
  std::optional<MemberRecord> Member(uint64_t id) const;
  // The membership that this entry brings; its index is the entry's. Of `upserts`, which it must hold, the peer URLs
  // count, of new members and new ones of old members, and `learner`: one that is not, but has no vote yet, awaits it.
  // Who is in it no more is removed and its id never returns.
  void SetMembership(StoredMembership membership, const std::vector<MemberRecord>& upserts);
  // What a member says of itself. kNotFound "etcdserver: member not found". kFailedPrecondition: `directory` is not the
  // one the member keeps its promises in, or an older copy of it; the text says what to do.
  absl::Status SetMemberAttributes(uint64_t member_id, std::string_view name, std::vector<std::string> client_urls,
                                   const DirectoryRecord& directory = {});

  // --- Reads.
  absl::StatusOr<RangeTotals> ReadRange(const etcdserverpb::RangeRequest& request, RangeSink* sink) const override;
  absl::StatusOr<std::optional<KeyFacts>> Find(std::string_view key) const override;
  absl::StatusOr<std::string> Value(std::string_view key) const override;
  absl::Status ForEach(std::string_view key, std::string_view range_end,
                       const std::function<bool(std::string_view key, const KeyFacts& facts)>& visit) const override;
  Revision revision() const override;
  Revision compact_revision() const;

  // Writes and publishes; what changed, by revision, for watchers. The batch is spent.
  absl::StatusOr<std::vector<RevisionEventsPtr>> Commit();

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace keel::storage
