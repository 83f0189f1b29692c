#include "server/gateway/routes.h"

#include "absl/strings/str_cat.h"
#include "base/string_view.h"
#include "proto/election.pb.h"
#include "proto/etcdserver_cluster.pb.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_lease.pb.h"
#include "proto/etcdserver_maintenance.pb.h"
#include "proto/etcdserver_watch.pb.h"
#include "proto/lock.pb.h"
#include "server/http/http_handler.h"

namespace keel::server {
namespace {

struct Entry {
  const char* path;
  const char* service;
  const char* method;
};

constexpr Entry kEntries[] = {
    {"kv/range", "etcdserverpb.KV", "Range"},
    {"kv/put", "etcdserverpb.KV", "Put"},
    {"kv/deleterange", "etcdserverpb.KV", "DeleteRange"},
    {"kv/txn", "etcdserverpb.KV", "Txn"},
    {"kv/compaction", "etcdserverpb.KV", "Compact"},
    {"watch", "etcdserverpb.Watch", "Watch"},
    {"lease/grant", "etcdserverpb.Lease", "LeaseGrant"},
    {"lease/keepalive", "etcdserverpb.Lease", "LeaseKeepAlive"},
    {"lease/revoke", "etcdserverpb.Lease", "LeaseRevoke"},
    {"lease/timetolive", "etcdserverpb.Lease", "LeaseTimeToLive"},
    {"lease/leases", "etcdserverpb.Lease", "LeaseLeases"},
    {"kv/lease/revoke", "etcdserverpb.Lease", "LeaseRevoke"},
    {"kv/lease/timetolive", "etcdserverpb.Lease", "LeaseTimeToLive"},
    {"kv/lease/leases", "etcdserverpb.Lease", "LeaseLeases"},
    {"cluster/member/add", "etcdserverpb.Cluster", "MemberAdd"},
    {"cluster/member/remove", "etcdserverpb.Cluster", "MemberRemove"},
    {"cluster/member/update", "etcdserverpb.Cluster", "MemberUpdate"},
    {"cluster/member/list", "etcdserverpb.Cluster", "MemberList"},
    {"cluster/member/promote", "etcdserverpb.Cluster", "MemberPromote"},
    {"maintenance/alarm", "etcdserverpb.Maintenance", "Alarm"},
    {"maintenance/status", "etcdserverpb.Maintenance", "Status"},
    {"maintenance/defragment", "etcdserverpb.Maintenance", "Defragment"},
    {"maintenance/hash", "etcdserverpb.Maintenance", "Hash"},
    {"maintenance/hashkv", "etcdserverpb.Maintenance", "HashKV"},
    {"maintenance/snapshot", "etcdserverpb.Maintenance", "Snapshot"},
    {"maintenance/transfer-leadership", "etcdserverpb.Maintenance", "MoveLeader"},
    {"maintenance/downgrade", "etcdserverpb.Maintenance", "Downgrade"},
    {"auth/enable", "etcdserverpb.Auth", "AuthEnable"},
    {"auth/disable", "etcdserverpb.Auth", "AuthDisable"},
    {"auth/status", "etcdserverpb.Auth", "AuthStatus"},
    {"auth/authenticate", "etcdserverpb.Auth", "Authenticate"},
    {"auth/user/add", "etcdserverpb.Auth", "UserAdd"},
    {"auth/user/get", "etcdserverpb.Auth", "UserGet"},
    {"auth/user/list", "etcdserverpb.Auth", "UserList"},
    {"auth/user/delete", "etcdserverpb.Auth", "UserDelete"},
    {"auth/user/changepw", "etcdserverpb.Auth", "UserChangePassword"},
    {"auth/user/grant", "etcdserverpb.Auth", "UserGrantRole"},
    {"auth/user/revoke", "etcdserverpb.Auth", "UserRevokeRole"},
    {"auth/role/add", "etcdserverpb.Auth", "RoleAdd"},
    {"auth/role/get", "etcdserverpb.Auth", "RoleGet"},
    {"auth/role/list", "etcdserverpb.Auth", "RoleList"},
    {"auth/role/delete", "etcdserverpb.Auth", "RoleDelete"},
    {"auth/role/grant", "etcdserverpb.Auth", "RoleGrantPermission"},
    {"auth/role/revoke", "etcdserverpb.Auth", "RoleRevokePermission"},
    {"lock/lock", "v3lockpb.Lock", "Lock"},
    {"lock/unlock", "v3lockpb.Lock", "Unlock"},
    {"election/campaign", "v3electionpb.Election", "Campaign"},
    {"election/proclaim", "v3electionpb.Election", "Proclaim"},
    {"election/leader", "v3electionpb.Election", "Leader"},
    {"election/observe", "v3electionpb.Election", "Observe"},
    {"election/resign", "v3electionpb.Election", "Resign"},
};

// The pool knows only what is linked in, and linked in is what somebody mentions.
void LinkDescriptors() {
  etcdserverpb::PutRequest::descriptor();
  etcdserverpb::WatchRequest::descriptor();
  etcdserverpb::LeaseGrantRequest::descriptor();
  etcdserverpb::MemberListRequest::descriptor();
  etcdserverpb::StatusRequest::descriptor();
  v3lockpb::LockRequest::descriptor();
  v3electionpb::LeaderRequest::descriptor();
}

}  // namespace

Routes::Routes() {
  LinkDescriptors();
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  for (const Entry& entry : kEntries) {
    routes_.emplace(entry.path,
                    Route{.service = entry.service,
                          .method = absl::StrCat("/", entry.service, "/", entry.method),
                          .descriptor = pool->FindMethodByName(absl::StrCat(entry.service, ".", entry.method))});
  }
}

const Route* Routes::Find(std::string_view path) const {
  if (!IsGatewayPath(path)) return nullptr;
  path.remove_prefix(path.starts_with(kGatewayRoot) ? kGatewayRoot.size() : kOldGatewayRoot.size());
  const auto found = routes_.find(ToAbsl(path));
  return found == routes_.end() ? nullptr : &found->second;
}

}  // namespace keel::server
