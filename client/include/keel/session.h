#pragma once

// A lease that is kept alive, and the truth about whether it still is.
//
//   auto session = keel::Session::Open(client, {.ttl = absl::Seconds(10)});
//   if (!session.ok()) return session.status();
//   auto put = client.kv().Put("workers/7", "here", {.lease = (*session)->lease()});
//   while (HasWork()) {
//     if (!(*session)->alive()) return Restart();  // workers/7 may be gone.
//   }
//   return (*session)->Close();  // Revokes: workers/7 is deleted now, not after the TTL.

#include <functional>
#include <memory>
#include <stop_token>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "keel/types.h"

namespace keel {

class Client;

namespace client {
class SessionCore;
}  // namespace client

enum class SessionState {
  kLive,    // Renewed in time.
  kAtRisk,  // A renewal is overdue. The lease still stands; stop long work that could not be undone.
  kLost,    // Expired, revoked, closed, or past the time when it may have expired. For ever.
};
std::string_view SessionStateName(SessionState state);

struct SessionOptions {
  absl::Duration ttl = absl::Seconds(60);  // Whole seconds; servers raise it to their minimum (2 s by default).
  LeaseId lease = 0;                       // Adopt this lease instead of granting one. Close revokes it all the same.
  // Told of every change of state, in order, on the client's callback thread.
  std::function<void(SessionState)> on_change = nullptr;
  absl::Duration timeout = absl::Seconds(5);  // For granting, and for revoking in Close.
  std::stop_token cancel = {};                // Ends Open() with kCancelled.
};

// Renews every TTL/3. What counts is when the last *acknowledged* renewal was *sent*: the server started its count no
// earlier, so `deadline()` passes here before the lease can expire there, whatever the network did, and even if this
// machine was suspended (CLOCK_BOOTTIME). Thread-safe. May outlive its Client: it is then lost.
class Session {
 public:
  // Grants the lease and starts renewing. Errors as Leases::Grant; kNotFound if `options.lease` does not exist.
  static absl::StatusOr<std::unique_ptr<Session>> Open(Client& client, const SessionOptions& options = {});
  // Close(), without reporting; `on_change` is not called any more (one that runs is waited for, except when it is the
  // one that destroys the session).
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  LeaseId lease() const;
  absl::Duration ttl() const;
  // By the clock at the time of the call, not by when some thread last looked.
  SessionState state() const;
  bool alive() const { return state() != SessionState::kLost; }
  // How long the lease surely still stands if no further renewal succeeds. Zero when lost.
  absl::Duration remaining() const;

  // Blocks until the session is lost or `deadline`; true if lost.
  bool WaitUntilLost(absl::Time deadline = absl::InfiniteFuture());

  // Stops renewing and revokes the lease; its keys are deleted. The session is lost from the moment of the call, so
  // nothing is held any more even if the revocation fails (the lease then expires by itself).
  absl::Status Close();
  // Stops renewing and leaves the lease to expire. The session counts as lost from the moment of the call.
  void Orphan();

  const std::shared_ptr<client::SessionCore>& core() const { return core_; }  // For the recipes of this library.

 private:
  Session(std::shared_ptr<client::SessionCore> core, absl::Duration timeout);

  std::shared_ptr<client::SessionCore> core_;
  absl::Duration timeout_;
};

}  // namespace keel
