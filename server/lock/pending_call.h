#pragma once

namespace keel::server {

// A call that may wait for ever, as its caller holds it.
class PendingCall {
 public:
  virtual ~PendingCall() = default;

  // The caller has gone. The call ends soon with kCancelled "context canceled", unless its result is already on the
  // way, and what it queued is removed. Thread-safe, idempotent, never blocks.
  virtual void Cancel() = 0;
};

}  // namespace keel::server
