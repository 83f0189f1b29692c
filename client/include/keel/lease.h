#pragma once

// Leases: keys attached to one live as long as somebody renews it. Session does the renewing; this is the floor below.
//
//   auto lease = client.leases().Grant(absl::Seconds(10));
//   if (!lease.ok()) return lease.status();
//   auto put = client.kv().Put("workers/7", "here", {.lease = lease->id});
//   auto alive = client.leases().KeepAliveOnce(lease->id);
//   if (alive.ok() && alive->ttl_seconds == 0) return Gone();
//   auto revoked = client.leases().Revoke(lease->id);  // workers/7 is deleted.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "keel/options.h"
#include "keel/types.h"

namespace keel {

namespace client {
class Core;
}  // namespace client

struct LeaseGrantOptions {
  LeaseId id = 0;  // 0: the server picks one. A chosen one is not repeated when the outcome is unknown.
};

struct LeaseGrantResponse {
  ResponseHeader header = {};
  LeaseId id = 0;
  int64_t ttl_seconds = 0;  // Granted; may be more than was asked for.
};

struct LeaseRevokeResponse {
  ResponseHeader header = {};
};

struct LeaseKeepAliveResponse {
  ResponseHeader header = {};
  LeaseId id = 0;
  int64_t ttl_seconds = 0;  // From now; 0: there is no such lease (any more).
};

struct LeaseTimeToLiveOptions {
  bool keys = false;  // List the attached keys.
};

struct LeaseTimeToLiveResponse {
  ResponseHeader header = {};
  LeaseId id = 0;
  int64_t ttl_seconds = 0;  // Left, whole seconds; -1: no such lease.
  int64_t granted_ttl_seconds = 0;
  std::vector<std::string> keys = {};
};

struct LeaseListResponse {
  ResponseHeader header = {};
  std::vector<LeaseId> leases = {};
};

// Thread-safe; valid as long as its Client. Codes as for Kv; all calls here are repeated when that is harmless.
class Leases {
 public:
  explicit Leases(client::Core& core) : core_(core) {}
  Leases(const Leases&) = delete;
  Leases& operator=(const Leases&) = delete;

  // The lease ends `ttl` (rounded up to seconds) after the server granted it, unless renewed. When the outcome is
  // unknown and the call was repeated, an unused lease may be left to expire. kFailedPrecondition: the id is taken.
  absl::StatusOr<LeaseGrantResponse> Grant(absl::Duration ttl, const LeaseGrantOptions& options = {},
                                           const CallOptions& call = {});
  // Deletes the attached keys, in one revision. kNotFound: no such lease, perhaps because an earlier attempt of this
  // very call has revoked it.
  absl::StatusOr<LeaseRevokeResponse> Revoke(LeaseId id, const CallOptions& call = {});
  // Renews for the full TTL, counted by the server from when it got the request. A lease that is gone is a normal
  // result: ttl_seconds == 0.
  absl::StatusOr<LeaseKeepAliveResponse> KeepAliveOnce(LeaseId id, const CallOptions& call = {});
  // A lease that is gone is a normal result: ttl_seconds == -1.
  absl::StatusOr<LeaseTimeToLiveResponse> TimeToLive(LeaseId id, const LeaseTimeToLiveOptions& options = {},
                                                     const CallOptions& call = {});
  absl::StatusOr<LeaseListResponse> List(const CallOptions& call = {});

  // The same without waiting; see Callback. `done` may run before the call returns.
  void GrantAsync(absl::Duration ttl, const LeaseGrantOptions& options, const CallOptions& call,
                  Callback<LeaseGrantResponse> done);
  void RevokeAsync(LeaseId id, const CallOptions& call, Callback<LeaseRevokeResponse> done);
  void KeepAliveOnceAsync(LeaseId id, const CallOptions& call, Callback<LeaseKeepAliveResponse> done);
  void TimeToLiveAsync(LeaseId id, const LeaseTimeToLiveOptions& options, const CallOptions& call,
                       Callback<LeaseTimeToLiveResponse> done);
  void ListAsync(const CallOptions& call, Callback<LeaseListResponse> done);

 private:
  client::Core& core_;
};

}  // namespace keel
