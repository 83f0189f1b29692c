#include "tests/differential/method.h"

#include "proto/election.pb.h"
#include "proto/etcdserver_cluster.pb.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_lease.pb.h"
#include "proto/etcdserver_maintenance.pb.h"
#include "proto/etcdserver_watch.pb.h"
#include "proto/lock.pb.h"

namespace keel::differential {
namespace {

template <typename Request, typename Response>
Method Entry(const char* word, const char* path, Shape shape = Shape::kUnary) {
  return {word, path, &Request::default_instance(), &Response::default_instance(), shape};
}

std::vector<Method> Table() {
  using namespace etcdserverpb;  // NOLINT: the table below is nothing but its names.
  std::vector<Method> methods = {
      Entry<RangeRequest, RangeResponse>("range", "/etcdserverpb.KV/Range"),
      Entry<RangeRequest, RangeStreamResponse>("rangestream", "/etcdserverpb.KV/RangeStream", Shape::kServerStream),
      Entry<PutRequest, PutResponse>("put", "/etcdserverpb.KV/Put"),
      Entry<DeleteRangeRequest, DeleteRangeResponse>("delete", "/etcdserverpb.KV/DeleteRange"),
      Entry<TxnRequest, TxnResponse>("txn", "/etcdserverpb.KV/Txn"),
      Entry<CompactionRequest, CompactionResponse>("compact", "/etcdserverpb.KV/Compact"),
      Entry<LeaseGrantRequest, LeaseGrantResponse>("grant", "/etcdserverpb.Lease/LeaseGrant"),
      Entry<LeaseRevokeRequest, LeaseRevokeResponse>("revoke", "/etcdserverpb.Lease/LeaseRevoke"),
      Entry<LeaseTimeToLiveRequest, LeaseTimeToLiveResponse>("timetolive", "/etcdserverpb.Lease/LeaseTimeToLive"),
      Entry<LeaseLeasesRequest, LeaseLeasesResponse>("leases", "/etcdserverpb.Lease/LeaseLeases"),
      Entry<LeaseKeepAliveRequest, LeaseKeepAliveResponse>("keepalive", "/etcdserverpb.Lease/LeaseKeepAlive",
                                                           Shape::kKeepAlive),
      Entry<WatchRequest, WatchResponse>("watch", "/etcdserverpb.Watch/Watch", Shape::kWatch),
      Entry<RangeRequest, RangeResponse>("gone", "/etcdserverpb.KV/Range", Shape::kGone),
      Entry<MemberListRequest, MemberListResponse>("members", "/etcdserverpb.Cluster/MemberList"),
      Entry<MemberAddRequest, MemberAddResponse>("member_add", "/etcdserverpb.Cluster/MemberAdd"),
      Entry<MemberRemoveRequest, MemberRemoveResponse>("member_remove", "/etcdserverpb.Cluster/MemberRemove"),
      Entry<MemberUpdateRequest, MemberUpdateResponse>("member_update", "/etcdserverpb.Cluster/MemberUpdate"),
      Entry<MemberPromoteRequest, MemberPromoteResponse>("member_promote", "/etcdserverpb.Cluster/MemberPromote"),
      Entry<AlarmRequest, AlarmResponse>("alarm", "/etcdserverpb.Maintenance/Alarm"),
      Entry<StatusRequest, StatusResponse>("status", "/etcdserverpb.Maintenance/Status"),
      Entry<DefragmentRequest, DefragmentResponse>("defragment", "/etcdserverpb.Maintenance/Defragment"),
      Entry<HashRequest, HashResponse>("hash", "/etcdserverpb.Maintenance/Hash"),
      Entry<HashKVRequest, HashKVResponse>("hashkv", "/etcdserverpb.Maintenance/HashKV"),
      Entry<MoveLeaderRequest, MoveLeaderResponse>("move_leader", "/etcdserverpb.Maintenance/MoveLeader"),
      Entry<DowngradeRequest, DowngradeResponse>("downgrade", "/etcdserverpb.Maintenance/Downgrade"),
      Entry<SnapshotRequest, SnapshotResponse>("snapshot", "/etcdserverpb.Maintenance/Snapshot", Shape::kServerStream),
      Entry<v3electionpb::LeaderRequest, v3electionpb::LeaderResponse>("observe", "/v3electionpb.Election/Observe",
                                                                       Shape::kServerStream),
      Entry<v3lockpb::LockRequest, v3lockpb::LockResponse>("lock", "/v3lockpb.Lock/Lock"),
      Entry<v3lockpb::UnlockRequest, v3lockpb::UnlockResponse>("unlock", "/v3lockpb.Lock/Unlock"),
      Entry<v3electionpb::CampaignRequest, v3electionpb::CampaignResponse>("campaign",
                                                                           "/v3electionpb.Election/Campaign"),
      Entry<v3electionpb::ProclaimRequest, v3electionpb::ProclaimResponse>("proclaim",
                                                                           "/v3electionpb.Election/Proclaim"),
      Entry<v3electionpb::LeaderRequest, v3electionpb::LeaderResponse>("leader", "/v3electionpb.Election/Leader"),
      Entry<v3electionpb::ResignRequest, v3electionpb::ResignResponse>("resign", "/v3electionpb.Election/Resign"),
  };
  const size_t real = methods.size();
  for (size_t i = 0; i < real; ++i) {
    if (methods[i].shape != Shape::kUnary) continue;
    Method raw = methods[i];
    raw.word = "raw/" + raw.word;
    raw.shape = Shape::kRaw;
    methods.push_back(std::move(raw));
  }
  return methods;
}

}  // namespace

const Method* FindMethod(std::string_view word) {
  static const std::vector<Method>* const methods = new std::vector<Method>(Table());
  for (const Method& method : *methods) {
    if (method.word == word) return &method;
  }
  return nullptr;
}

}  // namespace keel::differential
