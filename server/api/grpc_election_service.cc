#include "server/api/grpc_election_service.h"

#include <memory>
#include <utility>

#include "server/api/grpc_call.h"
#include "server/api/grpc_stream.h"
#include "server/apply/request_check.h"

namespace keel::server {
namespace {

using v3electionpb::LeaderResponse;

constexpr RpcName Name(const char* method) { return {"v3electionpb.Election", method}; }

// Takes the next leader when the one before has left, so a slow client skips values instead of gathering them.
class ObserveReactor final : public StreamReactor<grpc::ServerWriteReactor<LeaderResponse>, LeaderResponse> {
 public:
  ObserveReactor(const ApiBase& base, grpc::CallbackServerContext* context)
      : StreamReactor(base.member, base.monitor, context, Name("Observe"), RpcKind::kServerStream),
        admission_(*base.admission) {}

  void Start(ElectionApi* api, const Call& call, const v3electionpb::LeaderRequest& request) {
    if (absl::Status status = admission_.Admit(call); !status.ok()) {
      Open(call.requires_leader);
      return End(std::move(status));
    }
    observation_ = api->Observe(request);
    Open(call.requires_leader);
    SendNext();
  }

 private:
  void SendNext() {
    observation_->Next([this, self = shared_from_this()](absl::StatusOr<LeaderResponse> leader) {
      if (!leader.ok()) return End(leader.status());
      response_ = *std::move(leader);
      Send();
    });
  }
  void OnSent() override { SendNext(); }
  void OnEnding() override {
    if (observation_ != nullptr) observation_->Cancel();
  }

  const Admission& admission_;
  std::shared_ptr<Observation> observation_;  // Null: not admitted.
};

}  // namespace

grpc::ServerUnaryReactor* GrpcElectionService::Campaign(grpc::CallbackServerContext* context,
                                                        const v3electionpb::CampaignRequest* request,
                                                        v3electionpb::CampaignResponse* response) {
  auto* reactor = new PatientReactor(base_->member, Name("Campaign"), *request, response);
  if (auto status = base_->admission->Admit(ReadCall(*context, *base_->member, RpcKind::kUnary)); !status.ok()) {
    reactor->End(status);
    return reactor;
  }
  const int64_t cost = QueueCost(request->name(), request->value(), request->lease());
  if (auto status = base_->admission->AdmitBytes(cost); !status.ok()) {
    reactor->End(AsUnknown(status));
    return reactor;
  }
  reactor->SetPending(api_.Campaign(*request, Answer(reactor, response)));
  return reactor;
}

grpc::ServerUnaryReactor* GrpcElectionService::Proclaim(grpc::CallbackServerContext* context,
                                                        const v3electionpb::ProclaimRequest* request,
                                                        v3electionpb::ProclaimResponse* response) {
  return ServeUnary(*base_->member, Name("Proclaim"), context, *request, response, [&](const Call& call, Done done) {
    if (auto status = base_->admission->Admit(call); !status.ok()) return done(std::move(status));
    etcdserverpb::PutRequest put;
    put.set_key(request->leader().key());
    put.set_value(request->value());
    if (auto status = base_->admission->AdmitBytes(QuotaCost(put)); !status.ok()) return done(AsUnknown(status));
    api_.Proclaim(*request, Fill(response, std::move(done)));
  });
}

grpc::ServerUnaryReactor* GrpcElectionService::Leader(grpc::CallbackServerContext* context,
                                                      const v3electionpb::LeaderRequest* request,
                                                      v3electionpb::LeaderResponse* response) {
  return ServeUnary(*base_->member, Name("Leader"), context, *request, response, [&](const Call& call, Done done) {
    if (auto status = base_->admission->Admit(call); !status.ok()) return done(std::move(status));
    api_.Leader(*request, Fill(response, std::move(done)));
  });
}

grpc::ServerWriteReactor<LeaderResponse>* GrpcElectionService::Observe(grpc::CallbackServerContext* context,
                                                                       const v3electionpb::LeaderRequest* request) {
  auto reactor = std::make_shared<ObserveReactor>(*base_, context);
  reactor->Start(&api_, ReadCall(*context, *base_->member, RpcKind::kServerStream), *request);
  return reactor.get();
}

grpc::ServerUnaryReactor* GrpcElectionService::Resign(grpc::CallbackServerContext* context,
                                                      const v3electionpb::ResignRequest* request,
                                                      v3electionpb::ResignResponse* response) {
  return ServeUnary(*base_->member, Name("Resign"), context, *request, response, [&](const Call& call, Done done) {
    if (auto status = base_->admission->Admit(call); !status.ok()) return done(std::move(status));
    api_.Resign(*request, Fill(response, std::move(done)));
  });
}

}  // namespace keel::server
