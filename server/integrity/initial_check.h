#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "server/integrity/integrity_checker.h"
#include "storage/state/state_store.h"

namespace keel::server {

// Whether the state of a member that is about to start is that of its peers, wherever they can say so: at its applied
// index by the running hash, and at its revision by the whole history on disk, which takes as long as reading it.
// Peers that cannot be reached, have compacted differently or are elsewhere are logged and not compared.
//   kDataLoss  a peer differs; the text says which, and what to do
absl::Status CheckAgainstPeers(uint64_t member_id, const storage::StateStore& store, IntegrityPeers* peers);

}  // namespace keel::server
