#pragma once

// The Cluster service, free of any transport (rpc.md section 2.10), and what Keel offers beyond it.

#include "proto/etcdserver_cluster.pb.h"
#include "proto/keel_cluster.pb.h"
#include "proto/peer.pb.h"
#include "server/api/api_base.h"

namespace keel::server {

// Thread-safe. The rules of changes are the leader's (server/member_rules.h).
class ClusterHandlers {
 public:
  // `base` outlives it and every call.
  explicit ClusterHandlers(const ApiBase* base) : base_(base) {}

  void MemberList(const Call& call, const etcdserverpb::MemberListRequest& request,
                  etcdserverpb::MemberListResponse* response, Done done) const;
  void MemberAdd(const Call& call, const etcdserverpb::MemberAddRequest& request,
                 etcdserverpb::MemberAddResponse* response, Done done) const;
  void MemberRemove(const Call& call, const etcdserverpb::MemberRemoveRequest& request,
                    etcdserverpb::MemberRemoveResponse* response, Done done) const;
  void MemberUpdate(const Call& call, const etcdserverpb::MemberUpdateRequest& request,
                    etcdserverpb::MemberUpdateResponse* response, Done done) const;
  void MemberPromote(const Call& call, const etcdserverpb::MemberPromoteRequest& request,
                     etcdserverpb::MemberPromoteResponse* response, Done done) const;
  void MemberReplace(const Call& call, const api::MemberReplaceRequest& request, api::MemberReplaceResponse* response,
                     Done done) const;

 private:
  template <typename Response>
  void Change(const Call& call, peer::ChangeRequest change, Response* response, Done done) const;

  const ApiBase* const base_;
};

}  // namespace keel::server
