#include "server/api/cluster_handlers.h"

#include <utility>

#include "server/member_changer.h"

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

template <typename Response>
void ClusterHandlers::Change(const Call& call, peer::ChangeRequest change, Response* response, Done done) const {
  if (auto status = base_->admission->Admit(call); !status.ok()) return done(std::move(status));
  base_->member->changer->Change(
      std::move(change), call,
      [member = base_->member, response, done = std::move(done)](absl::StatusOr<peer::ChangeResponse> changed) mutable {
        if (!changed.ok()) return done(std::move(changed).status());
        *response->mutable_members() = std::move(*changed->mutable_members());
        if constexpr (requires { response->mutable_member(); }) {
          *response->mutable_member() = std::move(*changed->mutable_member());
        }
        member->FillHeader(/*revision=*/0, response->mutable_header());
        done(absl::OkStatus());
      });
}

void ClusterHandlers::MemberAdd(const Call& call, const etcdserverpb::MemberAddRequest& request,
                                etcdserverpb::MemberAddResponse* response, Done done) const {
  peer::ChangeRequest change;
  *change.mutable_add() = request;
  Change(call, std::move(change), response, std::move(done));
}

void ClusterHandlers::MemberRemove(const Call& call, const etcdserverpb::MemberRemoveRequest& request,
                                   etcdserverpb::MemberRemoveResponse* response, Done done) const {
  peer::ChangeRequest change;
  *change.mutable_remove() = request;
  Change(call, std::move(change), response, std::move(done));
}

void ClusterHandlers::MemberUpdate(const Call& call, const etcdserverpb::MemberUpdateRequest& request,
                                   etcdserverpb::MemberUpdateResponse* response, Done done) const {
  peer::ChangeRequest change;
  *change.mutable_update() = request;
  Change(call, std::move(change), response, std::move(done));
}

void ClusterHandlers::MemberPromote(const Call& call, const etcdserverpb::MemberPromoteRequest& request,
                                    etcdserverpb::MemberPromoteResponse* response, Done done) const {
  peer::ChangeRequest change;
  *change.mutable_promote() = request;
  Change(call, std::move(change), response, std::move(done));
}

void ClusterHandlers::MemberReplace(const Call& call, const api::MemberReplaceRequest& request,
                                    api::MemberReplaceResponse* response, Done done) const {
  peer::ChangeRequest change;
  *change.mutable_replace() = request;
  Change(call, std::move(change), response, std::move(done));
}

}  // namespace keel::server
