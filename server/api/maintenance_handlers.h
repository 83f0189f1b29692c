#pragma once

// The Maintenance service, free of any transport (rpc.md section 2.11).

#include <memory>

#include "absl/status/statusor.h"
#include "proto/etcdserver_maintenance.pb.h"
#include "server/api/api_base.h"
#include "server/api/snapshot_pager.h"

namespace keel::server {

// Thread-safe.
class MaintenanceHandlers {
 public:
  // `base` outlives it and every call.
  explicit MaintenanceHandlers(const ApiBase* base) : base_(base) {}

  // GET reads linearizably and leaves no entry in the log.
  void Alarm(const Call& call, const etcdserverpb::AlarmRequest& request, etcdserverpb::AlarmResponse* response,
             Done done) const;
  // Local: works without a leader.
  void Status(const Call& call, const etcdserverpb::StatusRequest& request, etcdserverpb::StatusResponse* response,
              Done done) const;
  // Answers at once: space comes back by itself, nothing has to be defragmented.
  void Defragment(const Call& call, const etcdserverpb::DefragmentRequest& request,
                  etcdserverpb::DefragmentResponse* response, Done done) const;
  // Of everything up to the current revision; for tests.
  void Hash(const Call& call, const etcdserverpb::HashRequest& request, etcdserverpb::HashResponse* response,
            Done done) const;
  void HashKV(const Call& call, const etcdserverpb::HashKVRequest& request, etcdserverpb::HashKVResponse* response,
              Done done) const;

  // Of this member's state, whether or not there is a leader. kResourceExhausted "etcdserver: too many requests" when
  // too many are being sent.
  absl::StatusOr<std::shared_ptr<SnapshotPager>> Snapshot(const Call& call,
                                                          const etcdserverpb::SnapshotRequest& request) const;

  // On the leader only; a target that has no vote is refused.
  void MoveLeader(const Call& call, const etcdserverpb::MoveLeaderRequest& request,
                  etcdserverpb::MoveLeaderResponse* response, Done done) const;
  void Downgrade(const Call& call, const etcdserverpb::DowngradeRequest& request,
                 etcdserverpb::DowngradeResponse* response, Done done) const;

 private:
  const ApiBase* const base_;
  const std::shared_ptr<SnapshotPager::Slots> snapshot_slots_ = std::make_shared<SnapshotPager::Slots>();
};

}  // namespace keel::server
