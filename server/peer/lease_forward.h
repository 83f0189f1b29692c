#pragma once

#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/peer.grpc.pb.h"
#include "server/lease/lease_keeper.h"
#include "server/peer/delivery.h"
#include "server/peer/forwarded_call.h"
#include "server/peer/peer_channel.h"

namespace keel::server {

// The leader's half: answers for its LeaseKeeper. Thread-safe.
class LeaseForwardService final : public peer::LeaseForward::CallbackService {
 public:
  LeaseForwardService(uint64_t cluster_id, Delivery* delivery) : cluster_id_(cluster_id), delivery_(*delivery) {}

  grpc::ServerUnaryReactor* Renew(grpc::CallbackServerContext* context, const peer::RenewRequest* request,
                                  peer::RenewResponse* response) override;
  grpc::ServerUnaryReactor* TimeToLive(grpc::CallbackServerContext* context, const peer::TimeToLiveRequest* request,
                                       peer::TimeToLiveResponse* response) override;

 private:
  const uint64_t cluster_id_;
  Delivery& delivery_;
};

// The asking half. Deadlines are of Clock::Real(). Thread-safe.
class LeaseForwardClient {
 public:
  explicit LeaseForwardClient(uint64_t cluster_id) : cluster_id_(cluster_id) {}
  ~LeaseForwardClient() { Stop(); }

  void Renew(std::shared_ptr<PeerChannels> channels, std::vector<storage::LeaseId> ids, absl::Time deadline,
             absl::AnyInvocable<void(absl::StatusOr<std::vector<int64_t>>)> done);
  void TimeToLive(std::shared_ptr<PeerChannels> channels, storage::LeaseId id, absl::Time deadline,
                  absl::AnyInvocable<void(absl::StatusOr<LeaseTimeToLive>)> done);

  // Cancels what is under way, whose `done` is then called with an error, and waits for it. Idempotent.
  void Stop() { calls_.Stop(); }

 private:
  template <typename Request, typename Response>
  struct Call;

  const uint64_t cluster_id_;
  CallsUnderWay calls_;
};

}  // namespace keel::server
