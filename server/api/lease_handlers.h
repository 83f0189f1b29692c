#pragma once

// The Lease service, free of any transport (rpc.md section 2.9).

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/random.h"
#include "proto/etcdserver_lease.pb.h"
#include "server/api/api_base.h"

namespace keel::server {

// Thread-safe.
class LeaseHandlers {
 public:
  // `base` outlives it and every call.
  explicit LeaseHandlers(const ApiBase* base) : LeaseHandlers(base, Random::EntropySeed()) {}
  // `seed` chooses the ids of leases that come without one.
  LeaseHandlers(const ApiBase* base, uint64_t seed) : base_(base), random_(seed) {}

  void LeaseGrant(const Call& call, const etcdserverpb::LeaseGrantRequest& request,
                  etcdserverpb::LeaseGrantResponse* response, Done done);
  void LeaseRevoke(const Call& call, const etcdserverpb::LeaseRevokeRequest& request,
                   etcdserverpb::LeaseRevokeResponse* response, Done done) const;
  void LeaseTimeToLive(const Call& call, const etcdserverpb::LeaseTimeToLiveRequest& request,
                       etcdserverpb::LeaseTimeToLiveResponse* response, Done done) const;
  void LeaseLeases(const Call& call, const etcdserverpb::LeaseLeasesRequest& request,
                   etcdserverpb::LeaseLeasesResponse* response, Done done) const;

  // One renewal of a LeaseKeepAlive stream whose opening was admitted; it has the server's request timeout. The header
  // is as of before the renewal, so that its revision never exceeds one at which the lease was revoked.
  void KeepAlive(const etcdserverpb::LeaseKeepAliveRequest& request, etcdserverpb::LeaseKeepAliveResponse* response,
                 Done done) const;

 private:
  const ApiBase* const base_;
  absl::Mutex mu_;
  Random random_ ABSL_GUARDED_BY(mu_);
};

}  // namespace keel::server
