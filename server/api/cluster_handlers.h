#pragma once

// The Cluster service, free of any transport (rpc.md section 2.10). The membership of this release is the one the
// cluster was started with: its changes are refused here, where they will be checked and proposed.

#include "proto/etcdserver_cluster.pb.h"
#include "server/api/api_base.h"

namespace keel::server {

// Thread-safe.
class ClusterHandlers {
 public:
  // `base` outlives it and every call.
  explicit ClusterHandlers(const ApiBase* base) : base_(base) {}

  void MemberList(const Call& call, const etcdserverpb::MemberListRequest& request,
                  etcdserverpb::MemberListResponse* response, Done done) const;

  // kUnimplemented, all four.
  void MemberAdd(const Call& call, const etcdserverpb::MemberAddRequest& request,
                 etcdserverpb::MemberAddResponse* response, Done done) const;
  void MemberRemove(const Call& call, const etcdserverpb::MemberRemoveRequest& request,
                    etcdserverpb::MemberRemoveResponse* response, Done done) const;
  void MemberUpdate(const Call& call, const etcdserverpb::MemberUpdateRequest& request,
                    etcdserverpb::MemberUpdateResponse* response, Done done) const;
  void MemberPromote(const Call& call, const etcdserverpb::MemberPromoteRequest& request,
                     etcdserverpb::MemberPromoteResponse* response, Done done) const;

 private:
  absl::Status AdmitChange(const Call& call) const;

  const ApiBase* const base_;
};

}  // namespace keel::server
