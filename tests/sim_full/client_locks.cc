// Clients take locks and stand for election.

#include "tests/sim_full/client_call.h"

namespace keel::sim {

void Client::DoLock() {
  if (leases_.empty() || lock_.has_value()) return Finish();
  v3lockpb::LockRequest request;
  request.set_name(absl::StrCat("lock", random_.Below(2)));
  request.set_lease(leases_.back().id);
  CallApi<v3lockpb::LockRequest, v3lockpb::LockResponse>(
      std::move(request),
      [](Replica& replica, const v3lockpb::LockRequest& lock, auto done) {
        return replica.lock().Lock(lock, std::move(done));
      },
      [this](auto& op, const absl::Status& status) {
        if (!status.ok()) return;
        const std::string prefix = op.request.name() + "/";
        int64_t create = 0;
        lock_held_.Require(WasFirst(prefix, op.response.key(), op.response.header().revision(), &create), [&] {
          return absl::StrCat("lock ", op.response.key(), " was answered as of ", op.response.header().revision(),
                              " but was never first from there on");
        });
        CheckHeader(op.response.header(), op.begun);
        lock_ =
            Holding{.name = op.request.name(), .key = op.response.key(), .create = create, .lease = op.request.lease()};
      });
}

void Client::DoGuardedWrite() {
  if (!lock_.has_value()) return Finish();
  etcdserverpb::TxnRequest txn;
  etcdserverpb::Compare* compare = txn.add_compare();
  compare->set_key(lock_->key);
  compare->set_target(etcdserverpb::Compare::CREATE);
  compare->set_create_revision(lock_->create);
  etcdserverpb::PutRequest* put = txn.add_success()->mutable_request_put();
  put->set_key(absl::StrCat("fence/", lock_->name));
  put->set_value(absl::StrCat(lock_->create));
  Call<etcdserverpb::TxnRequest, etcdserverpb::TxnResponse>(
      std::move(txn),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        replica.kv().Txn(call, op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) {
        CheckWrite(op.begun, status, op.response);
        if (status.ok() && !op.response.succeeded()) lock_.reset();
      });
}

void Client::DoUnlock() {
  if (!lock_.has_value()) return Finish();
  v3lockpb::UnlockRequest request;
  request.set_key(lock_->key);
  lock_.reset();
  CallApi<v3lockpb::UnlockRequest, v3lockpb::UnlockResponse>(
      std::move(request),
      [](Replica& replica, const v3lockpb::UnlockRequest& unlock, auto done) {
        replica.lock().Unlock(unlock, std::move(done));
        return nullptr;
      },
      [this](auto& op, const absl::Status& status) {
        if (status.ok()) CheckHeader(op.response.header(), op.begun);
      });
}

void Client::DoCampaign() {
  if (leases_.empty() || leadership_.has_value()) return Finish();
  v3electionpb::CampaignRequest request;
  request.set_name("vote");
  request.set_lease(leases_.back().id);
  request.set_value(FreshValue());
  CallApi<v3electionpb::CampaignRequest, v3electionpb::CampaignResponse>(
      std::move(request),
      [](Replica& replica, const v3electionpb::CampaignRequest& campaign, auto done) {
        return replica.election().Campaign(campaign, std::move(done));
      },
      [this](auto& op, const absl::Status& status) {
        if (!status.ok()) return;
        const v3electionpb::LeaderKey& leader = op.response.leader();
        int64_t create = 0;
        lock_held_.Require(WasFirst("vote/", leader.key(), leader.rev(), &create) && create == leader.rev(),
                           [&] { return absl::StrCat(leader.ShortDebugString(), " never led"); });
        CheckHeader(op.response.header(), op.begun);
        leadership_ = leader;
      });
}

void Client::DoProclaim() {
  if (!leadership_.has_value()) return Finish();
  v3electionpb::ProclaimRequest request;
  *request.mutable_leader() = *leadership_;
  request.set_value(FreshValue());
  CallApi<v3electionpb::ProclaimRequest, v3electionpb::ProclaimResponse>(
      std::move(request),
      [](Replica& replica, const v3electionpb::ProclaimRequest& proclaim, auto done) {
        replica.election().Proclaim(proclaim, std::move(done));
        return nullptr;
      },
      [this](auto& op, const absl::Status& status) {
        if (!status.ok()) {
          if (status.message() == "election: not leader") leadership_.reset();
          return;
        }
        const v3electionpb::LeaderKey& leader = op.request.leader();
        const auto pair = oracle_.model().PairAt(leader.key(), op.response.header().revision());
        leader_is_oldest_.Require(pair.has_value() && pair->create == leader.rev() && pair->value == op.request.value(),
                                  [&] { return absl::StrCat("a proclamation of ", leader.key(), " is not there"); });
        CheckHeader(op.response.header(), op.begun);
      });
}

void Client::DoLeader() {
  v3electionpb::LeaderRequest request;
  request.set_name("vote");
  CallApi<v3electionpb::LeaderRequest, v3electionpb::LeaderResponse>(
      std::move(request),
      [](Replica& replica, const v3electionpb::LeaderRequest& leader, auto done) {
        replica.election().Leader(leader, std::move(done));
        return nullptr;
      },
      [this](auto& op, const absl::Status& status) {
        if (!status.ok()) return;
        const int64_t at = op.response.header().revision();
        const auto oldest = oracle_.model().OldestUnder("vote/", at);
        mvccpb::KeyValue expected;
        if (oldest.has_value()) Model::Fill(oldest->first, oldest->second, &expected);
        leader_is_oldest_.Require(
            at >= op.begun.revision && expected.SerializeAsString() == op.response.kv().SerializeAsString(), [&] {
              return absl::StrCat("leader ", op.response.ShortDebugString(), " instead of ",
                                  expected.ShortDebugString());
            });
        CheckHeader(op.response.header(), op.begun);
      });
}

void Client::DoResign() {
  if (!leadership_.has_value()) return Finish();
  v3electionpb::ResignRequest request;
  *request.mutable_leader() = *leadership_;
  leadership_.reset();
  CallApi<v3electionpb::ResignRequest, v3electionpb::ResignResponse>(
      std::move(request),
      [](Replica& replica, const v3electionpb::ResignRequest& resign, auto done) {
        replica.election().Resign(resign, std::move(done));
        return nullptr;
      },
      [this](auto& op, const absl::Status& status) {
        if (!status.ok()) return;
        const v3electionpb::LeaderKey& leader = op.request.leader();
        const auto pair = oracle_.model().PairAt(leader.key(), op.response.header().revision());
        leader_is_oldest_.Require(!pair.has_value() || pair->create != leader.rev(),
                                  [&] { return absl::StrCat(leader.key(), " resigned, and is still there"); });
        CheckHeader(op.response.header(), op.begun);
      });
}

}  // namespace keel::sim
