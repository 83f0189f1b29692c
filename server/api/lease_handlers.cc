#include "server/api/lease_handlers.h"

#include <utility>

#include "server/apply/request_check.h"

namespace keel::server {

void LeaseHandlers::LeaseGrant(const Call& call, const etcdserverpb::LeaseGrantRequest& request,
                               etcdserverpb::LeaseGrantResponse* response, Done done) {
  if (auto status = base_->admission->Admit(call); !status.ok()) return done(std::move(status));
  if (auto status = base_->admission->AdmitBytes(QuotaCost(request)); !status.ok()) return done(std::move(status));
  // The TTL is checked when the command is applied: an alarm comes first.
  command::Command command;
  *command.mutable_lease_grant() = request;
  {
    absl::MutexLock lock(&mu_);
    ChooseLease(base_->member->leases->minimum_ttl(), &random_, command.mutable_lease_grant());
  }
  Propose(*base_->member, call, std::move(command), response, std::move(done));
}

void LeaseHandlers::LeaseRevoke(const Call& call, const etcdserverpb::LeaseRevokeRequest& request,
                                etcdserverpb::LeaseRevokeResponse* response, Done done) const {
  if (auto status = base_->admission->Admit(call); !status.ok()) return done(std::move(status));
  command::Command command;
  *command.mutable_lease_revoke() = request;
  Propose(*base_->member, call, std::move(command), response, std::move(done));
}

void LeaseHandlers::LeaseTimeToLive(const Call& call, const etcdserverpb::LeaseTimeToLiveRequest& request,
                                    etcdserverpb::LeaseTimeToLiveResponse* response, Done done) const {
  if (auto status = base_->admission->Admit(call); !status.ok()) return done(std::move(status));
  const Member* member = base_->member;
  const storage::LeaseId id{request.id()};
  member->leases->TimeToLive(id, call.deadline,
                             [member, id, keys = request.keys(), response,
                              done = std::move(done)](absl::StatusOr<server::LeaseTimeToLive> lease) mutable {
                               if (!lease.ok()) return done(std::move(lease).status());
                               response->set_id(id.value());
                               response->set_ttl(lease->ttl);
                               response->set_grantedttl(lease->granted_ttl);
                               if (keys) {
                                 for (std::string& key : member->store->LeaseKeys(id))
                                   response->add_keys(std::move(key));
                               }
                               member->FillHeader(member->store->current_revision().value(),
                                                  response->mutable_header());
                               done(absl::OkStatus());
                             });
}

void LeaseHandlers::LeaseLeases(const Call& call, const etcdserverpb::LeaseLeasesRequest&,
                                etcdserverpb::LeaseLeasesResponse* response, Done done) const {
  if (auto status = base_->admission->Admit(call); !status.ok()) return done(std::move(status));
  for (const storage::LeaseId id : base_->member->leases->Leases()) response->add_leases()->set_id(id.value());
  base_->member->FillHeader(base_->member->store->current_revision().value(), response->mutable_header());
  done(absl::OkStatus());
}

void LeaseHandlers::KeepAlive(const etcdserverpb::LeaseKeepAliveRequest& request,
                              etcdserverpb::LeaseKeepAliveResponse* response, Done done) const {
  const Member* member = base_->member;
  member->FillHeader(member->store->current_revision().value(), response->mutable_header());
  response->set_id(request.id());
  member->leases->Renew(storage::LeaseId{request.id()}, member->clock->Now() + member->limits.request_timeout,
                        [response, done = std::move(done)](absl::StatusOr<int64_t> ttl) mutable {
                          if (!ttl.ok()) return done(std::move(ttl).status());
                          response->set_ttl(*ttl);
                          done(absl::OkStatus());
                        });
}

}  // namespace keel::server
