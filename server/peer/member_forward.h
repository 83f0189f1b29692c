#pragma once

// The Members service between members: who they are, whether one would be welcome, and changes on their way to the
// leader.

#include <grpcpp/support/server_callback.h>

#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/url.h"
#include "proto/peer.grpc.pb.h"
#include "server/peer/forwarded_call.h"
#include "server/peer/peer_channel.h"
#include "server/peer/peer_identity.h"
#include "server/peer/peer_network.h"
#include "storage/state/state_store.h"

namespace keel::server {

// Nothing was done, and another member should be asked.
absl::Status NotLeaderError();
bool IsNotLeader(const absl::Status& status);

etcdserverpb::Member ToMessage(const storage::MemberRecord& record);
peer::ListResponse ListMembers(const storage::StateStore& store);

// The callee's half. Thread-safe.
class MemberService final : public peer::Members::CallbackService {
 public:
  // `store` may be null: there is nothing to list.
  MemberService(const PeerIdentity* identity, const storage::StateStore* store) : identity_(*identity), store_(store) {}

  // Null: there is none (any more); returns when nobody is in it.
  void SetTarget(MemberChangeTarget* target);

  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context, const peer::ListRequest* request,
                                 peer::ListResponse* response) override;
  grpc::ServerUnaryReactor* Introduce(grpc::CallbackServerContext* context, const raftpb::PeerHello* request,
                                      raftpb::PeerAck* response) override;
  grpc::ServerUnaryReactor* Change(grpc::CallbackServerContext* context, const peer::ChangeRequest* request,
                                   peer::ChangeResponse* response) override;

 private:
  const PeerIdentity& identity_;
  const storage::StateStore* const store_;
  absl::Mutex mu_;
  MemberChangeTarget* target_ ABSL_GUARDED_BY(mu_) = nullptr;
};

// The asking half. Thread-safe; calls block.
class MemberClient {
 public:
  ~MemberClient() { Stop(); }

  // See PeerNetwork::ForwardChange.
  absl::StatusOr<peer::ChangeResponse> Change(const std::shared_ptr<PeerChannels>& channels,
                                              peer::ChangeRequest request, absl::Time deadline);
  // Calls end with kUnavailable, now and later. Idempotent; blocks until they have.
  void Stop() { calls_.Stop(); }

 private:
  CallsUnderWay calls_;
};

// --- For a process that is not a member yet, or asks before it acts as one. Each asks one address.
absl::StatusOr<peer::ListResponse> FetchMembers(const Url& url, absl::Duration timeout);
absl::StatusOr<raftpb::PeerAck> Introduce(const Url& url, const raftpb::PeerHello& hello, absl::Duration timeout);

}  // namespace keel::server
