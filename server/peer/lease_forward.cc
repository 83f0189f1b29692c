#include "server/peer/lease_forward.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "base/grpc_status.h"

namespace keel::server {
namespace {

// gRPC's deadlines are wall time, ours the monotonic clock's; what travels is the time left.
std::chrono::system_clock::time_point ToGrpcDeadline(absl::Time deadline) {
  const absl::Duration left = std::min(std::max(deadline - Clock::Real().Now(), absl::ZeroDuration()), absl::Hours(1));
  return std::chrono::system_clock::now() + absl::ToChronoMicroseconds(left);
}

absl::Time FromGrpcDeadline(std::chrono::system_clock::time_point deadline) {
  const auto now = std::chrono::system_clock::now();
  if (deadline - now > std::chrono::hours(1)) return Clock::Real().Now() + absl::Hours(1);
  return Clock::Real().Now() + absl::FromChrono(deadline - now);
}

absl::Status CheckCluster(uint64_t theirs, uint64_t ours) {
  if (theirs == ours) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrFormat("cluster ID mismatch: caller is of cluster %x, this member of %x", theirs, ours));
}

absl::Status NotReady() { return absl::UnavailableError("etcdserver: not leader"); }

}  // namespace

// One call from a peer. Whoever comes first ends it: the lease keeper's answer, or the call's cancellation, so that a
// stopping server need not wait for an answer. Deletes itself.
class ForwardedCall final : public grpc::ServerUnaryReactor {
 public:
  // What the answer holds on to; it may come when the call is long gone.
  class Ending {
   public:
    explicit Ending(ForwardedCall* call) : call_(call) {}
    // `fill` is run only when the response is still there.
    void End(const absl::Status& status, const std::function<void()>& fill = nullptr) {
      absl::MutexLock lock(&mu_);
      if (call_ == nullptr) return;
      if (fill) fill();
      std::exchange(call_, nullptr)->Finish(ToGrpc(status));
    }

   private:
    absl::Mutex mu_;
    ForwardedCall* call_ ABSL_GUARDED_BY(mu_);
  };

  const std::shared_ptr<Ending>& ending() const { return ending_; }

 private:
  void OnCancel() override { ending_->End(absl::CancelledError("cancelled")); }
  void OnDone() override { delete this; }

  const std::shared_ptr<Ending> ending_ = std::make_shared<Ending>(this);
};

grpc::ServerUnaryReactor* LeaseForwardService::Renew(grpc::CallbackServerContext* context,
                                                     const peer::RenewRequest* request, peer::RenewResponse* response) {
  auto* call = new ForwardedCall;
  const auto ending = call->ending();  // The call may be gone as soon as it has been ended.
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

bool LeaseForwardClient::Register(grpc::ClientContext* context) {
  absl::MutexLock lock(&mu_);
  if (stopped_) return false;
  calls_.insert(context);
  return true;
}

void LeaseForwardClient::Unregister(grpc::ClientContext* context) {
  absl::MutexLock lock(&mu_);
  calls_.erase(context);
}

void LeaseForwardClient::Renew(std::shared_ptr<PeerChannels> channels, std::vector<storage::LeaseId> ids,
                               absl::Time deadline,
                               absl::AnyInvocable<void(absl::StatusOr<std::vector<int64_t>>)> done) {
  auto call = std::make_shared<Call<peer::RenewRequest, peer::RenewResponse>>();
  if (!Register(&call->context)) {
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
        Unregister(&call->context);
      });
}

void LeaseForwardClient::TimeToLive(std::shared_ptr<PeerChannels> channels, storage::LeaseId id, absl::Time deadline,
                                    absl::AnyInvocable<void(absl::StatusOr<LeaseTimeToLive>)> done) {
  auto call = std::make_shared<Call<peer::TimeToLiveRequest, peer::TimeToLiveResponse>>();
  if (!Register(&call->context)) {
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
        Unregister(&call->context);
      });
}

void LeaseForwardClient::Stop() {
  absl::MutexLock lock(&mu_);
  stopped_ = true;
  for (grpc::ClientContext* context : calls_) context->TryCancel();
  auto quiet = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return calls_.empty(); };
  mu_.Await(absl::Condition(&quiet));
}

}  // namespace keel::server
