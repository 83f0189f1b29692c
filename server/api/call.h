#pragma once

// What a handler knows of the call it serves, whatever transport it came by.

#include <atomic>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

namespace keel::server {

struct Call {
  // When the caller gives up, by Member::clock; InfiniteFuture: never. Bounds only what may wait for ever.
  absl::Time client_deadline = absl::InfiniteFuture();
  // The sooner of it and the server's own request timeout, counted from the start of the call.
  absl::Time deadline = absl::InfiniteFuture();

  bool requires_leader = false;    // Metadata "hasleader: true".
  std::string client_api_version;  // Metadata "client-api-version"; empty: not said.
  std::string token;               // Metadata "token", else "authorization" without its "Bearer ".

  // Turns true when the caller has gone; null: nobody will tell. Long work looks at it between steps.
  std::shared_ptr<const std::atomic<bool>> cancelled;

  bool is_cancelled() const { return cancelled != nullptr && cancelled->load(std::memory_order_acquire); }
};

// Ends a call: exactly once, on any thread, possibly before the handler returns. Must not block. With OK the response
// has been filled in; the request and the response of a call live until then.
using Done = absl::AnyInvocable<void(absl::Status)>;

}  // namespace keel::server
