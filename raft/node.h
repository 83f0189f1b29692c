#pragma once

// A running member of a Raft group: the core on its thread, with a disk, a network and a state machine around it.
//
//   raft thread   ticks the Core, and takes its turns when there is much to do; reached by a mailbox; blocks on nothing
//                 but an empty mailbox and the next tick.
//   log writer    takes every append queued since its last sync, as one write and one sync; sends what waited for it.
//   apply thread  executes committed entries; reads those that left memory from the log.
//   log reader    reads for followers what has left memory; asleep otherwise.
//
// The Core is moved in turns, one at a time. When little is going on, the thread that brings something (a peer's
// message, a proposal, a finished write) takes the turn itself, which saves a hand-over per step of a write; when much
// is, it leaves its work in the mailbox, and the raft thread makes one turn of all that has gathered. So callbacks and
// Transport::Send may run on any thread that calls a Node, deep in that call: hold no lock around a call that they
// take.
//
// Thread-safe. Holds no policy: it executes Ready in the order ready.h asks for.

#include <functional>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "raft/core.h"
#include "raft/stable_store.h"
#include "raft/state_machine.h"
#include "raft/transport.h"

namespace keel::raft {

struct NodeOptions {
  CoreOptions core;
  absl::Duration tick = absl::Milliseconds(100);
  // Waiting inputs, of each kind (messages, proposals, reads); beyond it proposals and reads are refused and messages
  // dropped. So they are beyond the bytes.
  size_t mailbox_max = 65536;
  size_t mailbox_bytes_max = 64 << 20;
  size_t apply_batch_bytes_max = 1 << 20;  // Entries given to one StateMachine::Apply.
  size_t apply_batch_entries_max = 1024;
  uint64_t apply_lag_max = 5000;  // Proposals are refused while commit - applied exceeds it.
  // The log is truncated behind the durable applied index, keeping this many entries for slow followers.
  uint64_t log_entries_kept = 5000;
  // ... but no more than about this much of it, whoever needs it: more spares slow followers a snapshot, and costs
  // disk.
  uint64_t log_bytes_kept_max = uint64_t{2} << 30;
};

struct NodeStatus {
  CoreStatus core;
  std::vector<FollowerStatus> followers;  // Leader only.
  size_t pending_proposals = 0;           // Waiting for a leader.
  uint64_t refused_messages = 0;          // From peers; see Core::Step.
};

// Called once, on an unspecified thread, must not block.
using ChangeDone = absl::AnyInvocable<void(absl::Status)>;

// Called once, on an unspecified thread; must not block. OK: readable on this member once applied up to the index,
// which has already happened when it is called.
using ReadDone = absl::AnyInvocable<void(absl::Status, Index)>;

class Node {
 public:
  // `on_fatal` is told why this member must end (failed disk, failed apply); it does not return to useful work. It is
  // called on one of the node's threads and must not call Stop(). All references outlive the node.
  static absl::StatusOr<std::unique_ptr<Node>> Start(const NodeOptions& options, InitialState initial,
                                                     StableStore* store, Transport* transport,
                                                     StateMachine* state_machine, const Clock* clock,
                                                     std::function<void(absl::Status)> on_fatal);
  virtual ~Node();

  // Hands a command to Raft. OK means only "on its way": the state machine's Apply is the confirmation. While no leader
  // is known it waits, and is dropped unproposed at `deadline`. kResourceExhausted: mailbox full or apply too far
  // behind; nothing was done. kUnavailable: stopping.
  virtual absl::Status Propose(Payload payload, absl::Time deadline) = 0;

  // Changes the membership; on the leader only. `done` gets OK when the leader has appended the change: as with
  // Propose, StateMachine::Apply of its entry (known by `context`) is the confirmation. Otherwise nothing was done: the
  // errors of Core::ProposeMembership, kDeadlineExceeded, or kUnavailable when stopping.
  virtual void ProposeMembership(MembershipChange change, Payload context, absl::Time deadline, ChangeDone done) = 0;

  // Hands leadership to `target`. `done` gets OK once this member has heard of `target` as the leader (at once if it
  // leads already); the errors of Core::TransferLeadership; kUnavailable when it has failed (another leads, or this one
  // goes on after an election timeout) or when stopping; kDeadlineExceeded: it may still happen.
  virtual void TransferLeadership(MemberId target, absl::Time deadline, ChangeDone done) = 0;

  // A linearizable read point (Thesis §6.4): everything committed before this call is applied on this member when
  // `done` gets OK. Reads that arrive together share one round trip. Retries by itself, with a fresh id, when the
  // leader changes or an answer is lost; ends with kDeadlineExceeded at `deadline`, kUnavailable when stopping,
  // kResourceExhausted at once when too many reads are waiting.
  virtual void ReadIndex(absl::Time deadline, ReadDone done) = 0;

  // `done` is called when everything up to `index` is applied, or with kDeadlineExceeded or kUnavailable.
  virtual void WaitApplied(Index index, absl::Time deadline, ReadDone done) = 0;

  // From the transport.
  virtual void Deliver(std::vector<Message> messages) = 0;
  virtual void ReportUnreachable(MemberId peer) = 0;
  // Transport::Reaches(peer) has become true: what waits for it goes out.
  virtual void ReportReachable(MemberId peer) = 0;
  // See Core::OnPeerDied: the connection to `peer` was reset or refused by a host that answers, not merely lost.
  virtual void ReportPeerDied(MemberId peer) = 0;
  virtual void ReportSnapshotSent(MemberId follower, const absl::Status& status, EntryId last) = 0;
  // A snapshot has arrived whole. `decided` is told whether it will be installed (then StateMachine::Install follows)
  // or is stale; called in a turn, must not block.
  virtual void OfferSnapshot(MemberId from, Term term, const SnapshotMeta& meta, std::function<void(bool)> decided) = 0;

  // A consistent copy; does not wait for the raft thread.
  virtual NodeStatus status() const = 0;
  // Cheaper: one atomic read each.
  virtual Term term() const = 0;
  virtual MemberId leader() const = 0;
  virtual Index applied() const = 0;
  virtual Index commit() const = 0;

  // Ends the threads: waiting reads get kUnavailable, queued proposals are dropped, what the log writer has begun is
  // finished. Idempotent; blocks until done.
  virtual void Stop() = 0;
};

}  // namespace keel::raft
