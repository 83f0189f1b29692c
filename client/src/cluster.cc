#include "keel/cluster.h"

#include <utility>

#include "client/src/convert.h"
#include "client/src/unary_call.h"

namespace keel {
namespace {

using client::Await;
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
void CallCluster(client::Core& core, const client::CallTraits& traits, const CallOptions& options, Fill fill,
                 Callback<MembersResponse> done) {
  client::StartCall<kStub, kRpc, MembersResponse>(
      core, traits, options,
      [&](auto* request) {
        fill(request);
        return absl::OkStatus();
      },
      [](auto& r) { return ToMembers(r); }, std::move(done));
}

using Stub = etcdserverpb::Cluster::Stub;

}  // namespace

void Cluster::ListAsync(const MemberListOptions& options, const CallOptions& call, Callback<MembersResponse> done) {
  CallCluster<&Stub::AsyncMemberList>(
      core_, client::kRead, call,
      [&](etcdserverpb::MemberListRequest* r) { r->set_linearizable(options.linearizable); }, std::move(done));
}

void Cluster::AddAsync(const std::vector<std::string>& peer_urls, const MemberAddOptions& options,
                       const CallOptions& call, Callback<MembersResponse> done) {
  CallCluster<&Stub::AsyncMemberAdd>(
      core_, client::kWrite, call,
      [&](etcdserverpb::MemberAddRequest* r) {
        for (const std::string& url : peer_urls) r->add_peerurls(url);
        r->set_islearner(options.learner);
      },
      std::move(done));
}

void Cluster::RemoveAsync(uint64_t id, const CallOptions& call, Callback<MembersResponse> done) {
  CallCluster<&Stub::AsyncMemberRemove>(
      core_, client::kWrite, call, [&](etcdserverpb::MemberRemoveRequest* r) { r->set_id(id); }, std::move(done));
}

void Cluster::UpdateAsync(uint64_t id, const std::vector<std::string>& peer_urls, const CallOptions& call,
                          Callback<MembersResponse> done) {
  CallCluster<&Stub::AsyncMemberUpdate>(
      core_, client::kWrite, call,
      [&](etcdserverpb::MemberUpdateRequest* r) {
        r->set_id(id);
        for (const std::string& url : peer_urls) r->add_peerurls(url);
      },
      std::move(done));
}

void Cluster::PromoteAsync(uint64_t id, const CallOptions& call, Callback<MembersResponse> done) {
  CallCluster<&Stub::AsyncMemberPromote>(
      core_, client::kWrite, call, [&](etcdserverpb::MemberPromoteRequest* r) { r->set_id(id); }, std::move(done));
}

void Cluster::ReplaceAsync(uint64_t id, const std::vector<std::string>& peer_urls, const CallOptions& call,
                           Callback<MembersResponse> done) {
  CallCluster<&api::Cluster::Stub::AsyncMemberReplace, &Connection::keel_cluster>(
      core_, client::kWrite, call,
      [&](api::MemberReplaceRequest* r) {
        r->set_id(id);
        for (const std::string& url : peer_urls) r->add_peer_urls(url);
      },
      std::move(done));
}

absl::StatusOr<MembersResponse> Cluster::List(const MemberListOptions& options, const CallOptions& call) {
  return Await<MembersResponse>([&](auto done) { ListAsync(options, call, std::move(done)); });
}

absl::StatusOr<MembersResponse> Cluster::Add(const std::vector<std::string>& peer_urls, const MemberAddOptions& options,
                                             const CallOptions& call) {
  return Await<MembersResponse>([&](auto done) { AddAsync(peer_urls, options, call, std::move(done)); });
}

absl::StatusOr<MembersResponse> Cluster::Remove(uint64_t id, const CallOptions& call) {
  return Await<MembersResponse>([&](auto done) { RemoveAsync(id, call, std::move(done)); });
}

absl::StatusOr<MembersResponse> Cluster::Update(uint64_t id, const std::vector<std::string>& peer_urls,
                                                const CallOptions& call) {
  return Await<MembersResponse>([&](auto done) { UpdateAsync(id, peer_urls, call, std::move(done)); });
}

absl::StatusOr<MembersResponse> Cluster::Promote(uint64_t id, const CallOptions& call) {
  return Await<MembersResponse>([&](auto done) { PromoteAsync(id, call, std::move(done)); });
}

absl::StatusOr<MembersResponse> Cluster::Replace(uint64_t id, const std::vector<std::string>& peer_urls,
                                                 const CallOptions& call) {
  return Await<MembersResponse>([&](auto done) { ReplaceAsync(id, peer_urls, call, std::move(done)); });
}

}  // namespace keel
