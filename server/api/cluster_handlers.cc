#include "server/api/cluster_handlers.h"

#include <utility>

namespace keel::server {

void ClusterHandlers::MemberList(const Call& call, const etcdserverpb::MemberListRequest& request,
                                 etcdserverpb::MemberListResponse* response, Done done) const {
  if (auto status = base_->admission->Admit(call); !status.ok()) return done(std::move(status));
  auto list = [member = base_->member, response, done = std::move(done)](absl::Status readable) mutable {
    if (!readable.ok()) return done(std::move(readable));
    for (storage::MemberRecord& record : member->store->members()) {
      etcdserverpb::Member* listed = response->add_members();
      listed->set_id(record.id);
      listed->set_name(std::move(record.name));
      for (std::string& url : record.peer_urls) listed->add_peerurls(std::move(url));
      for (std::string& url : record.client_urls) listed->add_clienturls(std::move(url));
      listed->set_islearner(record.learner);
    }
    member->FillHeader(/*revision=*/0, response->mutable_header());
    done(absl::OkStatus());
  };
  if (!request.linearizable()) return list(absl::OkStatus());
  AwaitReadable(*base_->member, call, std::move(list));
}

absl::Status ClusterHandlers::AdmitChange(const Call& call) const {
  if (auto status = base_->admission->Admit(call); !status.ok()) return status;
  return absl::UnimplementedError("etcdserver: membership changes are not supported by this release");
}

void ClusterHandlers::MemberAdd(const Call& call, const etcdserverpb::MemberAddRequest&,
                                etcdserverpb::MemberAddResponse*, Done done) const {
  done(AdmitChange(call));
}

void ClusterHandlers::MemberRemove(const Call& call, const etcdserverpb::MemberRemoveRequest&,
                                   etcdserverpb::MemberRemoveResponse*, Done done) const {
  done(AdmitChange(call));
}

void ClusterHandlers::MemberUpdate(const Call& call, const etcdserverpb::MemberUpdateRequest&,
                                   etcdserverpb::MemberUpdateResponse*, Done done) const {
  done(AdmitChange(call));
}

void ClusterHandlers::MemberPromote(const Call& call, const etcdserverpb::MemberPromoteRequest&,
                                    etcdserverpb::MemberPromoteResponse*, Done done) const {
  done(AdmitChange(call));
}

}  // namespace keel::server
