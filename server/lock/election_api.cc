#include "server/lock/election_api.h"

#include <utility>

namespace keel::server {
namespace {

using v3electionpb::LeaderKey;

absl::Status MissingLeader() { return absl::UnknownError("\"leader\" field must be provided"); }

v3electionpb::LeaderResponse ToResponse(const Member& member, OwnershipQueue::Follower::Item item) {
  v3electionpb::LeaderResponse response;
  member.FillHeader(item.revision.value(), response.mutable_header());
  *response.mutable_kv() = std::move(item.kv);
  return response;
}

// A transaction that runs only while `leader` stands. `done` gets its result when it was applied.
void SubmitWhileLeading(const Member* member, const LeaderKey& leader, etcdserverpb::RequestOp op,
                        absl::AnyInvocable<void(absl::StatusOr<ApplyResult>)> done) {
  command::Command command;
  etcdserverpb::TxnRequest* txn = command.mutable_txn();
  etcdserverpb::Compare* compare = txn->add_compare();
  compare->set_key(leader.key());
  compare->set_target(etcdserverpb::Compare::CREATE);
  compare->set_result(etcdserverpb::Compare::EQUAL);
  compare->set_create_revision(leader.rev());
  *txn->add_success() = std::move(op);
  member->proposer->Submit(std::move(command), member->clock->Now() + member->limits.request_timeout,
                           [done = std::move(done)](absl::StatusOr<ApplyResult> result) mutable {
                             const absl::Status status = result.ok() ? result->status : result.status();
                             if (status.ok()) {
                               done(std::move(result));
                             } else {
                               done(AsUnknown(status));
                             }
                           });
}

bool Succeeded(const ApplyResult& result) {
  const auto* txn = std::get_if<etcdserverpb::TxnResponse>(&result.response);
  return txn != nullptr && txn->succeeded();
}

class ElectionObservation final : public Observation {
 public:
  ElectionObservation(const Member* member, std::shared_ptr<OwnershipQueue::Follower> follower)
      : member_(member), follower_(std::move(follower)) {}

  void Cancel() override { follower_->Cancel(); }

  void Next(absl::AnyInvocable<void(absl::StatusOr<v3electionpb::LeaderResponse>)> done) override {
    follower_->Next(
        [member = member_, done = std::move(done)](absl::StatusOr<OwnershipQueue::Follower::Item> item) mutable {
          if (item.ok()) {
            done(ToResponse(*member, *std::move(item)));
          } else {
            done(item.status());
          }
        });
  }

 private:
  const Member* const member_;
  const std::shared_ptr<OwnershipQueue::Follower> follower_;
};

}  // namespace

std::shared_ptr<PendingCall> ElectionApi::Campaign(
    const v3electionpb::CampaignRequest& request,
    absl::AnyInvocable<void(absl::StatusOr<v3electionpb::CampaignResponse>)> done) {
  return queue_->AwaitTurn(
      {.prefix = request.name() + "/",
       .lease = request.lease(),
       .value = request.value(),
       .on_existing = TurnRequest::OnExisting::kReplaceValue,
       .gone_text = "election: session is expired"},
      [member = member_, name = request.name(), done = std::move(done)](absl::StatusOr<Turn> turn) mutable {
        if (!turn.ok()) {
          done(turn.status());
          return;
        }
        v3electionpb::CampaignResponse response;
        member->FillHeader(turn->queued_at.value(), response.mutable_header());
        LeaderKey* leader = response.mutable_leader();
        leader->set_name(name);
        leader->set_key(turn->key);
        leader->set_rev(turn->create.value());
        leader->set_lease(turn->lease);
        done(std::move(response));
      });
}

void ElectionApi::Proclaim(const v3electionpb::ProclaimRequest& request,
                           absl::AnyInvocable<void(absl::StatusOr<v3electionpb::ProclaimResponse>)> done) {
  if (!request.has_leader()) {
    done(MissingLeader());
    return;
  }
  etcdserverpb::RequestOp op;
  etcdserverpb::PutRequest* put = op.mutable_request_put();
  put->set_key(request.leader().key());
  put->set_value(request.value());
  // A leader key that names no lease keeps the one it has: without any it would never end.
  put->set_lease(request.leader().lease());
  put->set_ignore_lease(request.leader().lease() == 0);
  SubmitWhileLeading(member_, request.leader(), std::move(op),
                     [member = member_, done = std::move(done)](absl::StatusOr<ApplyResult> result) mutable {
                       if (!result.ok()) {
                         done(result.status());
                       } else if (!Succeeded(*result)) {
                         done(absl::UnknownError("election: not leader"));
                       } else {
                         v3electionpb::ProclaimResponse response;
                         member->FillHeader(result->revision, response.mutable_header());
                         done(std::move(response));
                       }
                     });
}

void ElectionApi::Leader(const v3electionpb::LeaderRequest& request,
                         absl::AnyInvocable<void(absl::StatusOr<v3electionpb::LeaderResponse>)> done) {
  queue_->ReadOldest(request.name() + "/", [member = member_, done = std::move(done)](
                                               absl::StatusOr<OwnershipQueue::Follower::Item> item) mutable {
    if (item.ok()) {
      done(ToResponse(*member, *std::move(item)));
    } else if (absl::IsNotFound(item.status())) {
      done(absl::UnknownError("election: no leader"));
    } else {
      done(item.status());
    }
  });
}

void ElectionApi::Resign(const v3electionpb::ResignRequest& request,
                         absl::AnyInvocable<void(absl::StatusOr<v3electionpb::ResignResponse>)> done) {
  if (!request.has_leader()) {
    done(MissingLeader());
    return;
  }
  etcdserverpb::RequestOp op;
  op.mutable_request_delete_range()->set_key(request.leader().key());
  SubmitWhileLeading(member_, request.leader(), std::move(op),
                     [member = member_, done = std::move(done)](absl::StatusOr<ApplyResult> result) mutable {
                       if (!result.ok()) {
                         done(result.status());
                         return;
                       }
                       v3electionpb::ResignResponse response;
                       member->FillHeader(result->revision, response.mutable_header());
                       done(std::move(response));
                     });
}

std::shared_ptr<Observation> ElectionApi::Observe(const v3electionpb::LeaderRequest& request) {
  return std::make_shared<ElectionObservation>(member_, queue_->Follow(request.name() + "/"));
}

}  // namespace keel::server
