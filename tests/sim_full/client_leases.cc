// Clients keep leases.

#include "tests/sim_full/client_call.h"

namespace keel::sim {

void Client::DoGrant() {
  etcdserverpb::LeaseGrantRequest request;
  request.set_ttl(random_.Between(1, 8));
  if (random_.Chance(0.7)) request.set_id(id_ * 1000000 + static_cast<int64_t>(++lease_ids_));
  Call<etcdserverpb::LeaseGrantRequest, etcdserverpb::LeaseGrantResponse>(
      std::move(request),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        replica.leases().LeaseGrant(call, op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) {
        CheckWrite(op.begun, status, op.response);
        if (!status.ok()) return;
        oracle_.OnLeaseHeld(op.response.id(), op.response.ttl(), op.begun.at, shared_.options.max_clock_rate());
        leases_.push_back({.id = op.response.id(), .ttl = op.response.ttl()});
        if (leases_.size() > 4) leases_.erase(leases_.begin());
      });
}

void Client::DoKeepAlive() {
  if (leases_.empty()) return Finish();
  etcdserverpb::LeaseKeepAliveRequest request;
  request.set_id(leases_[random_.Below(leases_.size())].id);
  Call<etcdserverpb::LeaseKeepAliveRequest, etcdserverpb::LeaseKeepAliveResponse>(
      std::move(request),
      [](Replica& replica, const server::Call&, auto& op, server::Done done) {
        replica.leases().KeepAlive(op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) {
        if (!status.ok()) return;
        const int64_t id = op.request.id();
        const SimTime gone = oracle_.LeaseGoneSince(id);
        if (op.response.ttl() > 0) {
          keep_alive_.Require(gone == 0 || gone >= op.begun.at, [&] {
            return absl::StrCat("lease ", id, " was renewed by a call of ", FormatTime(op.begun.at),
                                " although it was gone by ", FormatTime(gone));
          });
          oracle_.OnLeaseHeld(id, op.response.ttl(), op.begun.at, shared_.options.max_clock_rate());
        } else {
          keep_alive_.Require(gone != 0, [&] { return absl::StrCat("lease ", id, " was said to be gone, but lives"); });
          std::erase_if(leases_, [id](const LeaseHeld& lease) { return lease.id == id; });
        }
      });
}

void Client::DoRevoke() {
  if (leases_.empty()) return Finish();
  etcdserverpb::LeaseRevokeRequest request;
  request.set_id(leases_[random_.Below(leases_.size())].id);
  Call<etcdserverpb::LeaseRevokeRequest, etcdserverpb::LeaseRevokeResponse>(
      std::move(request),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        replica.leases().LeaseRevoke(call, op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) { CheckWrite(op.begun, status, op.response); });
}

void Client::DoTimeToLive() {
  if (leases_.empty()) return Finish();
  etcdserverpb::LeaseTimeToLiveRequest request;
  request.set_id(leases_[random_.Below(leases_.size())].id);
  Call<etcdserverpb::LeaseTimeToLiveRequest, etcdserverpb::LeaseTimeToLiveResponse>(
      std::move(request),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        replica.leases().LeaseTimeToLive(call, op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) {
        if (!status.ok()) return;
        const SimTime gone = oracle_.LeaseGoneSince(op.request.id());
        keep_alive_.Require(op.response.ttl() <= op.response.grantedttl() &&
                                (op.response.ttl() >= 0 ? gone == 0 || gone >= op.begun.at : gone != 0),
                            [&] {
                              return absl::StrCat("lease ", op.request.id(), ": ", op.response.ShortDebugString(),
                                                  ", gone since ", FormatTime(gone));
                            });
      });
}

}  // namespace keel::sim
