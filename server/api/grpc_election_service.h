#pragma once

#include "proto/election.grpc.pb.h"
#include "server/api/api_base.h"
#include "server/lock/election_api.h"

namespace keel::server {

// v3electionpb.Election over ElectionApi. `base` and `queue` outlive it.
class GrpcElectionService final : public v3electionpb::Election::CallbackService {
 public:
  GrpcElectionService(const ApiBase* base, OwnershipQueue* queue) : base_(base), api_(base->member, queue) {}

  grpc::ServerUnaryReactor* Campaign(grpc::CallbackServerContext* context, const v3electionpb::CampaignRequest* request,
                                     v3electionpb::CampaignResponse* response) override;
  grpc::ServerUnaryReactor* Proclaim(grpc::CallbackServerContext* context, const v3electionpb::ProclaimRequest* request,
                                     v3electionpb::ProclaimResponse* response) override;
  grpc::ServerUnaryReactor* Leader(grpc::CallbackServerContext* context, const v3electionpb::LeaderRequest* request,
                                   v3electionpb::LeaderResponse* response) override;
  grpc::ServerWriteReactor<v3electionpb::LeaderResponse>* Observe(grpc::CallbackServerContext* context,
                                                                  const v3electionpb::LeaderRequest* request) override;
  grpc::ServerUnaryReactor* Resign(grpc::CallbackServerContext* context, const v3electionpb::ResignRequest* request,
                                   v3electionpb::ResignResponse* response) override;

 private:
  const ApiBase* const base_;
  ElectionApi api_;
};

}  // namespace keel::server
