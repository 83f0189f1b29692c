#pragma once

// Finds out in the background whether the members' states are the same. The leader asks; who differs from the majority
// gets the CORRUPT alarm, and says so itself.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "raft/node.h"
#include "server/proposer.h"
#include "storage/state/state_store.h"

namespace keel::server {

// How peers are reached; blocking, a few seconds at most per call. Called by one thread.
class IntegrityPeers {
 public:
  struct History {
    uint32_t hash = 0;
    int64_t compact_revision = 0;
  };

  virtual ~IntegrityPeers() = default;
  virtual absl::StatusOr<std::vector<storage::HashSample>> StateHashes(const storage::MemberRecord& peer) = 0;
  // kOutOfRange: not comparable there, at least not now.
  virtual absl::StatusOr<History> HistoryHash(const storage::MemberRecord& peer, int64_t revision) = 0;
  // Calls under way and later ones fail at once. Thread-safe.
  virtual void Stop() = 0;
};

// Over gRPC on the peer port.
std::unique_ptr<IntegrityPeers> DialIntegrityPeers(uint64_t cluster_id);

// Thread-safe.
class IntegrityChecker {
 public:
  struct Options {
    uint64_t member_id = 0;
    // Of the running hashes, which cost nothing but a message; and of the whole history, which everybody reads for it
    // (--corrupt-check-time). Zero: never.
    absl::Duration interval = absl::Seconds(5);
    absl::Duration history_interval = absl::ZeroDuration();
    absl::Duration request_timeout = absl::Seconds(7);
  };
  struct Counts {
    uint64_t checks = 0;       // In which at least one peer was compared.
    uint64_t comparisons = 0;  // Of a peer with this member.
    uint64_t mismatches = 0;   // Checks that found a difference.
  };

  // Starts the thread. Everything passed outlives it.
  static std::unique_ptr<IntegrityChecker> Start(const Options& options, const Clock* clock,
                                                 const storage::StateStore* store, raft::Node* node, Proposer* proposer,
                                                 std::unique_ptr<IntegrityPeers> peers);
  virtual ~IntegrityChecker() = default;

  virtual Counts counts() const = 0;

  // Ends the thread; idempotent, blocks.
  virtual void Stop() = 0;
};

}  // namespace keel::server
