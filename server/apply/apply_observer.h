#pragma once

// What applying did and how long it took, for those who count. Nothing of it flows back into the state.

#include <cstdint>
#include <string_view>

#include "absl/time/time.h"

namespace keel::server {

struct OperationCounts {
  uint64_t puts = 0;
  uint64_t deletes = 0;  // Requests, however many keys they took.
  uint64_t ranges = 0;   // Inside transactions.
  uint64_t txns = 0;
  uint64_t leases_granted = 0;
  uint64_t leases_revoked = 0;  // Expired ones, too.
  uint64_t leases_expired = 0;
  uint64_t put_bytes = 0;  // Keys and values.

  OperationCounts& operator+=(const OperationCounts& more) {
    puts += more.puts;
    deletes += more.deletes;
    ranges += more.ranges;
    txns += more.txns;
    leases_granted += more.leases_granted;
    leases_revoked += more.leases_revoked;
    leases_expired += more.leases_expired;
    put_bytes += more.put_bytes;
    return *this;
  }
};

// Called on the apply thread; must not block. Outlives the applier.
class ApplyObserver {
 public:
  // One command, inside its group. `op` is a string literal: "Put", "LeaseGrant", ...
  virtual void OnExecuted(std::string_view op, bool ok, absl::Duration took) = 0;
  // A group, with all it did, is in the state.
  virtual void OnCommitted(const OperationCounts& operations, absl::Duration took) = 0;
  // For so many seconds; before OnCommitted.
  virtual void OnLeaseGranted(int64_t ttl) = 0;
  // A snapshot begins to become the state, or has.
  virtual void OnInstalling(bool now) = 0;

 protected:
  ~ApplyObserver() = default;
};

}  // namespace keel::server
