#include "server/api/grpc_lease_service.h"

#include <deque>
#include <memory>
#include <utility>

#include "server/api/grpc_call.h"
#include "server/api/grpc_stream.h"

namespace keel::server {
namespace {

using etcdserverpb::LeaseKeepAliveRequest;
using etcdserverpb::LeaseKeepAliveResponse;

constexpr RpcName Name(const char* method) { return {"etcdserverpb.Lease", method}; }

// Renewals under way on one stream; with that many the next request is not read yet.
constexpr size_t kRenewalsMax = 128;

// Renews while it reads on, so that a client with many leases does not wait a round trip for each, and answers in the
// order of the requests.
class KeepAliveReactor final
    : public StreamReactor<grpc::ServerBidiReactor<LeaseKeepAliveRequest, LeaseKeepAliveResponse>,
                           LeaseKeepAliveResponse> {
 public:
  KeepAliveReactor(const ApiBase& base, const LeaseHandlers& handlers, grpc::CallbackServerContext* context)
      : StreamReactor(base.member, base.monitor, context, Name("LeaseKeepAlive"), RpcKind::kBidiStream),
        base_(base),
        handlers_(handlers) {}

  void Start(const Call& call) {
    Open(call.requires_leader);
    if (absl::Status status = base_.admission->Admit(call); !status.ok()) return End(std::move(status));
    Read(&request_);
  }

 private:
  struct Renewal {
    LeaseKeepAliveResponse response;
    absl::Status status;
    bool done = false;
  };

  void OnReadDone(bool ok) override {
    if (!ok) {
      {
        absl::MutexLock lock(&mu_);
        half_closed_ = true;
      }
      return Advance();
    }
    CountReceived(request_);
    auto renewal = std::make_shared<Renewal>();
    {
      absl::MutexLock lock(&mu_);
      renewals_.push_back(renewal);
    }
    handlers_.KeepAlive(request_, &renewal->response, [this, self = shared_from_this(), renewal](absl::Status status) {
      {
        absl::MutexLock lock(&mu_);
        renewal->status = std::move(status);
        renewal->done = true;
      }
      Advance();
    });
    {
      // Only now: from here on an answer that leaves may start the next read into `request_`.
      absl::MutexLock lock(&mu_);
      read_paused_ = renewals_.size() >= kRenewalsMax;
      if (read_paused_) return;
    }
    Read(&request_);
  }

  // Sends the next answer if it is there and its turn has come.
  void Advance() {
    std::shared_ptr<Renewal> next;
    bool resume_reading = false;
    bool more_follows = false;
    {
      absl::MutexLock lock(&mu_);
      if (sending_) return;
      if (renewals_.empty()) {
        if (!half_closed_) return;
      } else {
        if (!renewals_.front()->done) return;
        next = std::move(renewals_.front());
        renewals_.pop_front();
        sending_ = next->status.ok();
        // Renewals are answered many at a time.
        more_follows = !renewals_.empty() && renewals_.front()->done;
        resume_reading = std::exchange(read_paused_, false);
      }
    }
    if (next == nullptr) return End(absl::OkStatus());
    if (!next->status.ok()) return End(next->status);
    response_ = std::move(next->response);
    Send(more_follows);
    if (resume_reading) Read(&request_);
  }

  void OnSent() override {
    {
      absl::MutexLock lock(&mu_);
      sending_ = false;
    }
    Advance();
  }

  const ApiBase& base_;
  const LeaseHandlers& handlers_;
  LeaseKeepAliveRequest request_;

  absl::Mutex mu_;
  std::deque<std::shared_ptr<Renewal>> renewals_ ABSL_GUARDED_BY(mu_);  // In the order of their requests.
  bool sending_ ABSL_GUARDED_BY(mu_) = false;
  bool read_paused_ ABSL_GUARDED_BY(mu_) = false;
  bool half_closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace

grpc::ServerUnaryReactor* GrpcLeaseService::LeaseGrant(grpc::CallbackServerContext* context,
                                                       const etcdserverpb::LeaseGrantRequest* request,
                                                       etcdserverpb::LeaseGrantResponse* response) {
  return ServeUnary(*base_->member, Name("LeaseGrant"), context, *request, response, [&](const Call& call, Done done) {
    handlers_.LeaseGrant(call, *request, response, std::move(done));
  });
}

grpc::ServerUnaryReactor* GrpcLeaseService::LeaseRevoke(grpc::CallbackServerContext* context,
                                                        const etcdserverpb::LeaseRevokeRequest* request,
                                                        etcdserverpb::LeaseRevokeResponse* response) {
  return ServeUnary(*base_->member, Name("LeaseRevoke"), context, *request, response, [&](const Call& call, Done done) {
    handlers_.LeaseRevoke(call, *request, response, std::move(done));
  });
}

grpc::ServerBidiReactor<LeaseKeepAliveRequest, LeaseKeepAliveResponse>* GrpcLeaseService::LeaseKeepAlive(
    grpc::CallbackServerContext* context) {
  auto reactor = std::make_shared<KeepAliveReactor>(*base_, handlers_, context);
  reactor->Start(ReadCall(*context, *base_->member, RpcKind::kBidiStream));
  return reactor.get();
}

grpc::ServerUnaryReactor* GrpcLeaseService::LeaseTimeToLive(grpc::CallbackServerContext* context,
                                                            const etcdserverpb::LeaseTimeToLiveRequest* request,
                                                            etcdserverpb::LeaseTimeToLiveResponse* response) {
  return ServeUnary(
      *base_->member, Name("LeaseTimeToLive"), context, *request, response,
      [&](const Call& call, Done done) { handlers_.LeaseTimeToLive(call, *request, response, std::move(done)); });
}

grpc::ServerUnaryReactor* GrpcLeaseService::LeaseLeases(grpc::CallbackServerContext* context,
                                                        const etcdserverpb::LeaseLeasesRequest* request,
                                                        etcdserverpb::LeaseLeasesResponse* response) {
  return ServeUnary(*base_->member, Name("LeaseLeases"), context, *request, response, [&](const Call& call, Done done) {
    handlers_.LeaseLeases(call, *request, response, std::move(done));
  });
}

}  // namespace keel::server
