#include "server/rpc_catalogue.h"

namespace keel::server {
namespace {

constexpr RpcMethod kMethods[] = {
    {"etcdserverpb.KV", "Range", RpcKind::kUnary},
    {"etcdserverpb.KV", "Put", RpcKind::kUnary},
    {"etcdserverpb.KV", "DeleteRange", RpcKind::kUnary},
    {"etcdserverpb.KV", "Txn", RpcKind::kUnary},
    {"etcdserverpb.KV", "Compact", RpcKind::kUnary},
    {"etcdserverpb.KV", "RangeStream", RpcKind::kServerStream},
    {"etcdserverpb.Watch", "Watch", RpcKind::kBidiStream},
    {"etcdserverpb.Lease", "LeaseGrant", RpcKind::kUnary},
    {"etcdserverpb.Lease", "LeaseRevoke", RpcKind::kUnary},
    {"etcdserverpb.Lease", "LeaseKeepAlive", RpcKind::kBidiStream},
    {"etcdserverpb.Lease", "LeaseTimeToLive", RpcKind::kUnary},
    {"etcdserverpb.Lease", "LeaseLeases", RpcKind::kUnary},
    {"etcdserverpb.Cluster", "MemberAdd", RpcKind::kUnary},
    {"etcdserverpb.Cluster", "MemberRemove", RpcKind::kUnary},
    {"etcdserverpb.Cluster", "MemberUpdate", RpcKind::kUnary},
    {"etcdserverpb.Cluster", "MemberList", RpcKind::kUnary},
    {"etcdserverpb.Cluster", "MemberPromote", RpcKind::kUnary},
    {"etcdserverpb.Maintenance", "Alarm", RpcKind::kUnary},
    {"etcdserverpb.Maintenance", "Status", RpcKind::kUnary},
    {"etcdserverpb.Maintenance", "Defragment", RpcKind::kUnary},
    {"etcdserverpb.Maintenance", "Hash", RpcKind::kUnary},
    {"etcdserverpb.Maintenance", "HashKV", RpcKind::kUnary},
    {"etcdserverpb.Maintenance", "Snapshot", RpcKind::kServerStream},
    {"etcdserverpb.Maintenance", "MoveLeader", RpcKind::kUnary},
    {"etcdserverpb.Maintenance", "Downgrade", RpcKind::kUnary},
    {"etcdserverpb.Auth", "AuthEnable", RpcKind::kUnary},
    {"etcdserverpb.Auth", "AuthDisable", RpcKind::kUnary},
    {"etcdserverpb.Auth", "AuthStatus", RpcKind::kUnary},
    {"etcdserverpb.Auth", "Authenticate", RpcKind::kUnary},
    {"etcdserverpb.Auth", "UserAdd", RpcKind::kUnary},
    {"etcdserverpb.Auth", "UserGet", RpcKind::kUnary},
    {"etcdserverpb.Auth", "UserList", RpcKind::kUnary},
    {"etcdserverpb.Auth", "UserDelete", RpcKind::kUnary},
    {"etcdserverpb.Auth", "UserChangePassword", RpcKind::kUnary},
    {"etcdserverpb.Auth", "UserGrantRole", RpcKind::kUnary},
    {"etcdserverpb.Auth", "UserRevokeRole", RpcKind::kUnary},
    {"etcdserverpb.Auth", "RoleAdd", RpcKind::kUnary},
    {"etcdserverpb.Auth", "RoleGet", RpcKind::kUnary},
    {"etcdserverpb.Auth", "RoleList", RpcKind::kUnary},
    {"etcdserverpb.Auth", "RoleDelete", RpcKind::kUnary},
    {"etcdserverpb.Auth", "RoleGrantPermission", RpcKind::kUnary},
    {"etcdserverpb.Auth", "RoleRevokePermission", RpcKind::kUnary},
    {"v3lockpb.Lock", "Lock", RpcKind::kUnary},
    {"v3lockpb.Lock", "Unlock", RpcKind::kUnary},
    {"v3electionpb.Election", "Campaign", RpcKind::kUnary},
    {"v3electionpb.Election", "Proclaim", RpcKind::kUnary},
    {"v3electionpb.Election", "Leader", RpcKind::kUnary},
    {"v3electionpb.Election", "Observe", RpcKind::kServerStream},
    {"v3electionpb.Election", "Resign", RpcKind::kUnary},
    {"grpc.health.v1.Health", "Check", RpcKind::kUnary},
    {"grpc.health.v1.Health", "List", RpcKind::kUnary},
    {"grpc.health.v1.Health", "Watch", RpcKind::kServerStream},
};

}  // namespace

std::span<const RpcMethod> RpcCatalogue() { return kMethods; }

}  // namespace keel::server
