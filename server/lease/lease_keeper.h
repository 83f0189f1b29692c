#pragma once

// Keeps the promise of leases: renews them while somebody asks, proposes their end when nobody does. Deadlines live on
// the leader's monotonic clock only; a member that does not lead forwards to the one that does.

#include <functional>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/drive.h"
#include "raft/node.h"
#include "server/proposer.h"
#include "storage/state/state_store.h"

namespace keel::server {

struct LeaseTimeToLive {
  int64_t ttl = -1;         // Seconds left, truncated; -1: no such lease.
  int64_t granted_ttl = 0;  // Seconds.
};

// How a member reaches the leader; server/peer implements it.
class LeaseForwarder {
 public:
  virtual ~LeaseForwarder() = default;
  // TTLs in the order of the ids; 0: gone. Called back once, on any thread.
  virtual void Renew(raft::MemberId leader, std::vector<storage::LeaseId> ids, absl::Time deadline,
                     absl::AnyInvocable<void(absl::StatusOr<std::vector<int64_t>>)> done) = 0;
  virtual void TimeToLive(raft::MemberId leader, storage::LeaseId id, absl::Time deadline,
                          absl::AnyInvocable<void(absl::StatusOr<LeaseTimeToLive>)> done) = 0;
};

// Thread-safe.
class LeaseKeeper {
 public:
  struct Options {
    absl::Duration election_timeout = absl::Seconds(1);
    absl::Duration check_interval = absl::Milliseconds(500);
    // One entry at a time. More of them end a storm sooner; other writes wait for an entry to be applied.
    size_t expiries_per_entry_max = 50;
    // Remaining TTLs are put into the log this often, for leases much longer than it; zero: never.
    absl::Duration checkpoint_interval = absl::Minutes(5);
    // Renewals and look-ups in progress; beyond it "etcdserver: too many requests".
    size_t calls_max = 100000;
    Drive drive = Drive::kThread;
  };

  static std::unique_ptr<LeaseKeeper> Create(const Options& options, raft::MemberId self, const Clock* clock,
                                             storage::StateStore* store);
  virtual ~LeaseKeeper() = default;
  // Before Start(). All three are stopped, and call nobody back any more, before this is destroyed.
  virtual void Attach(raft::Node* node, Proposer* proposer, LeaseForwarder* forwarder) = 0;
  // Starts the expiry loop. Stop() is idempotent and blocks until it has ended; calls in progress, and later ones, get
  // kUnavailable "etcdserver: server stopped".
  virtual void Start() = 0;
  virtual void Stop() = 0;

  // Looks at what has come in and what is due. With Drive::kOwner, after every call of others and every few
  // milliseconds. True: look again at once.
  virtual bool Poll() = 0;

  // Smallest TTL granted, in seconds: ceil(1.5 * election timeout).
  virtual int64_t minimum_ttl() const = 0;

  // Renews for its full TTL and answers it; 0: no such lease (also when it has expired and its end is on the way; the
  // answer then waits for that end). Leadership is confirmed by a quorum first. Forwards when not leader.
  // kUnavailable "etcdserver: no leader", "etcdserver: request timed out"; kUnknown "not a primary lessor".
  virtual void Renew(storage::LeaseId id, absl::Time deadline,
                     absl::AnyInvocable<void(absl::StatusOr<int64_t>)> done) = 0;
  // The same for many at once and only if this member leads, else kUnavailable "etcdserver: not leader"; for peers.
  virtual void RenewAsLeader(std::vector<storage::LeaseId> ids, absl::Time deadline,
                             absl::AnyInvocable<void(absl::StatusOr<std::vector<int64_t>>)> done) = 0;

  virtual void TimeToLive(storage::LeaseId id, absl::Time deadline,
                          absl::AnyInvocable<void(absl::StatusOr<LeaseTimeToLive>)> done) = 0;
  virtual void TimeToLiveAsLeader(storage::LeaseId id, absl::Time deadline,
                                  absl::AnyInvocable<void(absl::StatusOr<LeaseTimeToLive>)> done) = 0;

  // All ids; on the leader by remaining time, soonest first.
  virtual std::vector<storage::LeaseId> Leases() const = 0;

  // Renewals that this member has answered as the leader so far.
  virtual uint64_t renewals() const = 0;

  // --- From the apply thread, after the commit of the change; and from raft events.
  virtual void OnGranted(const storage::LeaseRecord& lease) = 0;
  virtual void OnRevoked(storage::LeaseId id) = 0;
  virtual void OnStateReplaced() = 0;  // A snapshot was installed.
  // A new leader gives every lease its remaining TTL plus one election timeout, never less.
  virtual void OnLeadership(raft::Role role, raft::Term term, raft::MemberId leader) = 0;
};

}  // namespace keel::server
