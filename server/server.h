#pragma once

// One member, put together: opens the data directory, recovers or bootstraps, starts the parts in order, and stops them
// in the reverse one. Composition only; every rule lives in the parts.

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/config.h"

namespace keel::server {

class Server {
 public:
  // Returns when the member listens and takes part in its group; it may not know a leader yet. The error says what is
  // wrong and what to do; nothing has then been changed on disk that a next start would trip over. `on_fatal` is called
  // once, on any thread, when the member cannot go on (a failed disk); the process should then end with code 1.
  // IsRemovedError() (bootstrap.h): this member has been removed before, which is no failure.
  static absl::StatusOr<std::unique_ptr<Server>> Start(Config config, std::function<void(absl::Status)> on_fatal);
  virtual ~Server() = default;

  // `ready` is called once, on any thread: when this member's name and client URLs have been published through the log,
  // so the group works; at once when that has happened already. Call it once; must not block.
  virtual void OnReady(std::function<void()> ready) = 0;
  // `removed` is called once, on any thread: when this member has been removed from its cluster and has nothing left to
  // do but to stop; at once when that has happened already. Call it once; must not block, nor call Stop().
  virtual void OnRemoved(std::function<void()> removed) = 0;
  // What clients and peers can really connect to (port 0 resolved).
  virtual std::vector<Url> client_addresses() const = 0;

  // Hands leadership over when it has it, stops serving, ends streams with Unavailable, flushes and closes. Idempotent;
  // blocks for at most about a second.
  virtual void Stop() = 0;
};

}  // namespace keel::server
