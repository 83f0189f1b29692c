#pragma once

// The Election service (rpc.md section 2.13), free of any transport: one leader at a time under a name.

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/election.pb.h"
#include "server/lock/ownership_queue.h"
#include "server/lock/pending_call.h"
#include "server/member.h"

namespace keel::server {

// What an observer of an election sees, one leader at a time. A slow one may miss values in between, never the latest.
// Destroying it ends it like Cancel().
class Observation : public PendingCall {
 public:
  // `done` is called once, with the next item or with the error that ends the observation. At most one may be waiting.
  virtual void Next(absl::AnyInvocable<void(absl::StatusOr<v3electionpb::LeaderResponse>)> done) = 0;
};

// Thread-safe. Completions as in LockApi. kUnknown texts of its own: "election: not leader", "election: no leader",
// "election: session is expired", "\"leader\" field must be provided".
class ElectionApi {
 public:
  // Both outlive it.
  ElectionApi(const Member* member, OwnershipQueue* queue) : member_(member), queue_(queue) {}

  // Waits until this candidate leads. The handle may be dropped; only Cancel() ends the wait early.
  std::shared_ptr<PendingCall> Campaign(const v3electionpb::CampaignRequest& request,
                                        absl::AnyInvocable<void(absl::StatusOr<v3electionpb::CampaignResponse>)> done);

  void Proclaim(const v3electionpb::ProclaimRequest& request,
                absl::AnyInvocable<void(absl::StatusOr<v3electionpb::ProclaimResponse>)> done);
  void Leader(const v3electionpb::LeaderRequest& request,
              absl::AnyInvocable<void(absl::StatusOr<v3electionpb::LeaderResponse>)> done);
  void Resign(const v3electionpb::ResignRequest& request,
              absl::AnyInvocable<void(absl::StatusOr<v3electionpb::ResignResponse>)> done);

  std::shared_ptr<Observation> Observe(const v3electionpb::LeaderRequest& request);

 private:
  const Member* member_;
  OwnershipQueue* queue_;
};

}  // namespace keel::server
