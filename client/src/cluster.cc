#include "keel/cluster.h"

#include <utility>

#include "client/src/convert.h"
#include "client/src/unary_call.h"

namespace keel {
namespace {

using client::Connection;

// All five answers have the same shape; only Add's also names the new member.
template <typename ResponsePb>
MembersResponse ToMembers(ResponsePb& r) {
  MembersResponse out{.header = client::FromProto(r.header())};
  for (const etcdserverpb::Member& member : r.members()) out.members.push_back(client::FromProto(member));
  if constexpr (requires { r.member(); }) {
    if (r.has_member()) out.member = client::FromProto(r.member());
  }
  return out;
}

template <auto kRpc, auto kStub = &Connection::cluster, typename Fill>
absl::StatusOr<MembersResponse> CallCluster(client::Core& core, const client::CallTraits& traits,
                                            const CallOptions& options, Fill fill) {
  return client::Await<MembersResponse>([&](auto done) {
    client::StartCall<kStub, kRpc, MembersResponse>(
        core, traits, options,
        [&](auto* request) {
          fill(request);
          return absl::OkStatus();
        },
        [](auto& r) { return ToMembers(r); }, std::move(done));
  });
}

using Stub = etcdserverpb::Cluster::Stub;

}  // namespace

absl::StatusOr<MembersResponse> Cluster::List(const MemberListOptions& options, const CallOptions& call) {
  return CallCluster<&Stub::AsyncMemberList>(core_, client::kRead, call, [&](etcdserverpb::MemberListRequest* r) {
    r->set_linearizable(options.linearizable);
  });
}

absl::StatusOr<MembersResponse> Cluster::Add(const std::vector<std::string>& peer_urls, const MemberAddOptions& options,
                                             const CallOptions& call) {
  return CallCluster<&Stub::AsyncMemberAdd>(core_, client::kWrite, call, [&](etcdserverpb::MemberAddRequest* r) {
    for (const std::string& url : peer_urls) r->add_peerurls(url);
    r->set_islearner(options.learner);
  });
}

absl::StatusOr<MembersResponse> Cluster::Remove(uint64_t id, const CallOptions& call) {
  return CallCluster<&Stub::AsyncMemberRemove>(core_, client::kWrite, call,
                                               [&](etcdserverpb::MemberRemoveRequest* r) { r->set_id(id); });
}

absl::StatusOr<MembersResponse> Cluster::Update(uint64_t id, const std::vector<std::string>& peer_urls,
                                                const CallOptions& call) {
  return CallCluster<&Stub::AsyncMemberUpdate>(core_, client::kWrite, call, [&](etcdserverpb::MemberUpdateRequest* r) {
    r->set_id(id);
    for (const std::string& url : peer_urls) r->add_peerurls(url);
  });
}

absl::StatusOr<MembersResponse> Cluster::Promote(uint64_t id, const CallOptions& call) {
  return CallCluster<&Stub::AsyncMemberPromote>(core_, client::kWrite, call,
                                                [&](etcdserverpb::MemberPromoteRequest* r) { r->set_id(id); });
}

absl::StatusOr<MembersResponse> Cluster::Replace(uint64_t id, const std::vector<std::string>& peer_urls,
                                                 const CallOptions& call) {
  return CallCluster<&api::Cluster::Stub::AsyncMemberReplace, &Connection::keel_cluster>(
      core_, client::kWrite, call, [&](api::MemberReplaceRequest* r) {
        r->set_id(id);
        for (const std::string& url : peer_urls) r->add_peer_urls(url);
      });
}

}  // namespace keel
