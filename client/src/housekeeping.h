#pragma once

// What a client does by itself: it looks for the leader, and for the members.

#include "absl/status/status.h"
#include "client/src/core.h"
#include "keel/cluster.h"

namespace keel::client {

// Replaces the endpoints by what the started, voting members advertise. kFailedPrecondition if that is nothing.
absl::Status TakeEndpoints(Core& core, const MembersResponse& members);

// Starts what the options ask for. It ends with the Core.
void StartHousekeeping(Core& core);

}  // namespace keel::client
