#include "server/peer/lease_forward.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "base/grpc_status.h"

namespace keel::server {
namespace {

absl::Status CheckCluster(uint64_t theirs, uint64_t ours) {
  if (theirs == ours) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrFormat("cluster ID mismatch: caller is of cluster %x, this member of %x", theirs, ours));
}

absl::Status NotReady() { return absl::UnavailableError("etcdserver: not leader"); }

}  // namespace

grpc::ServerUnaryReactor* LeaseForwardService::Renew(grpc::CallbackServerContext* context,
                                                     const peer::RenewRequest* request, peer::RenewResponse* response) {
  auto* call = new ForwardedCall;
  const auto ending = call->ending();
  const absl::Status status = CheckCluster(request->cluster_id(), cluster_id_);
  if (!status.ok()) {
    ending->End(status);
    return call;
  }
  std::vector<storage::LeaseId> ids;
  ids.reserve(request->lease_ids_size());
  for (int64_t id : request->lease_ids()) ids.emplace_back(id);
  const absl::Time deadline = FromGrpcDeadline(context->deadline());
  const bool asked = delivery_.WithLeases([&](LeaseKeeper& leases) {
    leases.RenewAsLeader(std::move(ids), deadline, [ending, response](absl::StatusOr<std::vector<int64_t>> ttls) {
      ending->End(ttls.status(), [&] {
        if (ttls.ok()) response->mutable_ttls()->Add(ttls->begin(), ttls->end());
      });
    });
  });
  if (!asked) ending->End(NotReady());
  return call;
}

grpc::ServerUnaryReactor* LeaseForwardService::TimeToLive(grpc::CallbackServerContext* context,
                                                          const peer::TimeToLiveRequest* request,
                                                          peer::TimeToLiveResponse* response) {
  auto* call = new ForwardedCall;
  const auto ending = call->ending();
  const absl::Status status = CheckCluster(request->cluster_id(), cluster_id_);
  if (!status.ok()) {
    ending->End(status);
    return call;
  }
  const storage::LeaseId id(request->lease_id());
  const absl::Time deadline = FromGrpcDeadline(context->deadline());
  const bool asked = delivery_.WithLeases([&](LeaseKeeper& leases) {
    leases.TimeToLiveAsLeader(id, deadline, [ending, response](absl::StatusOr<LeaseTimeToLive> ttl) {
      ending->End(ttl.status(), [&] {
        if (!ttl.ok()) return;
        response->set_ttl(ttl->ttl);
        response->set_granted_ttl(ttl->granted_ttl);
      });
    });
  });
  if (!asked) ending->End(NotReady());
  return call;
}

template <typename Request, typename Response>
struct LeaseForwardClient::Call {
  std::unique_ptr<peer::LeaseForward::Stub> stub;
  grpc::ClientContext context;
  Request request;
  Response response;
};

void LeaseForwardClient::Renew(std::shared_ptr<PeerChannels> channels, std::vector<storage::LeaseId> ids,
                               absl::Time deadline,
                               absl::AnyInvocable<void(absl::StatusOr<std::vector<int64_t>>)> done) {
  auto call = std::make_shared<Call<peer::RenewRequest, peer::RenewResponse>>();
  if (!calls_.Add(&call->context)) {
    done(absl::UnavailableError("stopping"));
    return;
  }
  const size_t asked = ids.size();
  call->stub = peer::LeaseForward::NewStub(channels->current());
  call->context.set_deadline(ToGrpcDeadline(deadline));
  call->request.set_cluster_id(cluster_id_);
  for (storage::LeaseId id : ids) call->request.add_lease_ids(id.value());
  // std::function wants what it holds to be copyable.
  auto shared_done = std::make_shared<decltype(done)>(std::move(done));
  call->stub->async()->Renew(
      &call->context, &call->request, &call->response,
      [this, call, channels, asked, shared_done](const grpc::Status& status) {
        if (status.error_code() == grpc::StatusCode::UNAVAILABLE) channels->Rotate();
        if (!status.ok()) {
          (*shared_done)(FromGrpc(status));
        } else if (static_cast<size_t>(call->response.ttls_size()) != asked) {
          (*shared_done)(absl::InternalError("the leader answered for other leases"));
        } else {
          (*shared_done)(std::vector<int64_t>(call->response.ttls().begin(), call->response.ttls().end()));
        }
        calls_.Remove(&call->context);
      });
}

void LeaseForwardClient::TimeToLive(std::shared_ptr<PeerChannels> channels, storage::LeaseId id, absl::Time deadline,
                                    absl::AnyInvocable<void(absl::StatusOr<LeaseTimeToLive>)> done) {
  auto call = std::make_shared<Call<peer::TimeToLiveRequest, peer::TimeToLiveResponse>>();
  if (!calls_.Add(&call->context)) {
    done(absl::UnavailableError("stopping"));
    return;
  }
  call->stub = peer::LeaseForward::NewStub(channels->current());
  call->context.set_deadline(ToGrpcDeadline(deadline));
  call->request.set_cluster_id(cluster_id_);
  call->request.set_lease_id(id.value());
  auto shared_done = std::make_shared<decltype(done)>(std::move(done));
  call->stub->async()->TimeToLive(
      &call->context, &call->request, &call->response, [this, call, channels, shared_done](const grpc::Status& status) {
        if (status.error_code() == grpc::StatusCode::UNAVAILABLE) channels->Rotate();
        if (status.ok()) {
          (*shared_done)(LeaseTimeToLive{.ttl = call->response.ttl(), .granted_ttl = call->response.granted_ttl()});
        } else {
          (*shared_done)(FromGrpc(status));
        }
        calls_.Remove(&call->context);
      });
}

}  // namespace keel::server
