#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/lease/lease_keeper.h"
#include "storage/revision.h"

namespace keel::server {

// A renewal or a look-up on its way through the lease keeper; guarded by its lock.
struct LeaseCall {
  enum class Kind { kRenew, kTimeToLive };
  enum class Route { kAnywhere, kThisMember };  // kThisMember: a peer asks, it has forwarded already.
  enum class Stage {
    kQueued,      // For leadership to be confirmed, for a leader to appear, or for the next attempt.
    kConfirming,  // A quorum is being asked whether this member still leads.
    kForwarding,  // The leader has been asked.
    kEnding,      // The lease has expired; its end is on the way.
    kClearing,    // Renewed; a checkpoint is being taken back.
    kDone,
  };
  using Done = absl::AnyInvocable<void(absl::StatusOr<LeaseTimeToLive>)>;

  uint64_t serial = 0;  // Order of arrival.
  Kind kind = Kind::kRenew;
  Route route = Route::kAnywhere;
  storage::LeaseId id;
  absl::Time deadline;
  Done done;  // A renewal's answer is in `ttl`.

  Stage stage = Stage::kQueued;
  absl::Time not_before = absl::InfinitePast();  // Of the next attempt.
};

using LeaseCallPtr = std::shared_ptr<LeaseCall>;

// Calls whose answers arrive together.
struct LeaseCallGroup {
  uint64_t epoch = 0;  // Of leadership, when it set out.
  absl::Time started;
  std::vector<LeaseCallPtr> calls;
};

using LeaseCallGroupPtr = std::shared_ptr<LeaseCallGroup>;

}  // namespace keel::server
