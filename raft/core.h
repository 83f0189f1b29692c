#pragma once

// The Raft state machine: one member's view of the group (Ongaro, "In Search of an Understandable Consensus
// Algorithm", extended version = "Raft"; "Consensus: Bridging Theory and Practice" = "Thesis").
//
// Pure: no threads, locks, clocks, disk, network, callbacks, or randomness beyond its seed. Inputs change state; the
// caller then takes a Ready and carries it out (ready.h says in which order). Equal options, initial state and inputs
// give equal outputs.
//
//   core.Step(message);            // or Tick(), Propose(), ReadIndex(), OnAppended(), ...
//   while (core.HasReady()) Execute(core.TakeReady());
//
// Owned by one thread. Broken invariants abort (KEEL_CHECK); bad messages return a Status and change nothing.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "raft/entry.h"
#include "raft/membership.h"
#include "raft/message.h"
#include "raft/options.h"
#include "raft/ready.h"
#include "raft/types.h"

namespace keel::raft {

// Terms of a log, run-length encoded: entries from `first` on have `term`, until the next run begins.
struct TermRun {
  Index first;
  Term term;
};

// What a member knows when it starts, from disk or from bootstrap.
struct InitialState {
  HardState hard_state;
  EntryId snapshot;                // Everything up to it is in the state machine's snapshot; {0, 0} for a new group.
  std::vector<TermRun> term_runs;  // The terms of the entries after `snapshot`, ascending; empty: there are none.
  Index last;                      // Last entry on disk; snapshot.index when there is none.
  Index applied;                   // The state machine stands here; snapshot.index <= applied <= last.
  // As of `applied`, from the state machine. Empty: this member has yet to join, by a snapshot that says who is in.
  Membership membership;
  // The membership entries that the log holds, ascending; the ones up to `applied` may be among them.
  std::vector<MembershipRecord> memberships;
};

// A copy of the public facts.
struct CoreStatus {
  MemberId id;
  Role role = Role::kFollower;
  Term term;
  MemberId leader = kNobody;
  Index commit;
  Index applied;  // Handed out and confirmed by OnApplied.
  EntryId last;
  Index first;                         // First index the log still has.
  Membership membership;               // In use: the newest in the log, committed or not (Thesis §4.1).
  Index membership_index;              // Of its entry; at or below `applied`: it is the state's.
  MemberId transfer_target = kNobody;  // Leader: whom it is handing over to.
  // This member's log is behind what it once acknowledged. It takes part in nothing any more; see Core::Step.
  bool data_loss = false;
};

// One follower, as its leader sees it.
struct FollowerStatus {
  MemberId id;
  Index match;  // Known to be durable there.
  Index next;
  bool recently_active = false;
  enum class State { kProbe, kReplicate, kSnapshot } state = State::kProbe;
};

class Core {
 public:
  // REQUIRES: options valid; initial consistent (it came through recovery, which checks).
  Core(const CoreOptions& options, InitialState initial);
  ~Core();

  // An independent copy, which goes on exactly as this one would.
  std::unique_ptr<Core> Clone() const;
  // Appends bytes that are equal only for states that behave alike from here on, timers aside (fingerprint.h).
  // REQUIRES: !HasReady().
  void AppendFingerprint(std::string* out) const;

  // --- Inputs.

  // One unit of time has passed.
  void Tick();

  // A message from a peer. Not OK: it was ignored; count it.
  //   kInvalidArgument     it breaks a rule (not for us, entries out of order, numbers that cannot be).
  //   kFailedPrecondition  its sender is no member; a late answer of one that has left looks like this.
  //   kDataLoss            a leader knows that this member had acknowledged what its log does not hold (a directory
  //                        restored or wiped under the same id). From now on it neither votes nor acknowledges nor
  //                        campaigns, and every Step says this: end the process with the text.
  absl::Status Step(Message message);

  // Appends commands (leader), or forwards them to the leader (follower; they may be lost on the way, the proposer's
  // deadline is the only sign). kUnavailable: no leader is known, nothing was done. kResourceExhausted: too many
  // uncommitted bytes, nothing was done. kUnavailable also while leadership is being handed over.
  absl::Status Propose(std::vector<Payload> payloads);

  // Changes who is a member, on the leader. OK: appended, and in force here from now on; that it lasts is known when
  // its entry is applied. A joint configuration is left by itself. Nothing was done:
  //   kFailedPrecondition  see the texts in membership.h.
  //   kInvalidArgument     as ChangedMembership.
  //   kUnavailable         leadership is being handed over.
  //   kResourceExhausted   too many uncommitted bytes.
  absl::Status ProposeMembership(const MembershipChange& change, const Payload& context);

  // Hands leadership to `target` (Thesis §3.10). OK: begun, or `target` leads already. It ends within an election
  // timeout (status().transfer_target), by the target's election or without it; until then Propose is refused.
  //   kFailedPrecondition  this member does not lead; another transfer is under way.
  //   kNotFound            `target` is no voter.
  absl::Status TransferLeadership(MemberId target);

  // Starts a linearizable read (Thesis §6.4); answered in Ready::reads, always exactly once.
  void ReadIndex(ReadId id);

  // Stand for election now instead of at the next timeout (tests; a single member at start).
  void Campaign();

  // Ready::append with this ticket, and all before it, are durable.
  void OnAppended(const AppendTicket& ticket);
  // Entries up to `index` are executed.
  void OnApplied(Index index);
  // Answers a FetchWork. Empty `entries`: they are gone (truncated meanwhile) and a snapshot is due.
  void OnFetched(MemberId follower, std::vector<Entry> entries);
  // Answers a SnapshotWork. OK: the follower has it and stands at `last`. Not OK: try again later.
  void OnSnapshotSent(MemberId follower, const absl::Status& status, EntryId last);
  // The transport lost messages to `peer`, or its connection broke: assume nothing in flight arrives.
  void OnUnreachable(MemberId peer);
  // The process of `peer` has ended (its connection was reset or refused, by a host that answers). If it led, this
  // member asks for votes at once instead of waiting for its timeout; should the news be wrong, it disturbs nobody that
  // still hears the leader.
  void OnPeerDied(MemberId peer);

  // A complete, verified snapshot has arrived from `from` in `term`. True: it is news; Ready::install will name it, the
  // caller keeps the data until then. False: stale, the data can go (Raft §7).
  bool OfferSnapshot(MemberId from, Term term, const SnapshotMeta& meta);
  // Ready::install is done and durable.
  void OnSnapshotInstalled(const SnapshotMeta& meta);

  // The log on disk now starts after `through` (prefix truncation). REQUIRES: through <= applied.
  void OnLogTruncated(Index through);

  // --- Outputs.

  bool HasReady() const;
  Ready TakeReady();

  // --- Facts.

  CoreStatus status() const;
  // Empty unless leader. Without this member.
  std::vector<FollowerStatus> followers() const;
  // The highest index every active follower is known to have; the leader's own last index when it is alone. The caller
  // may use it to keep log for those who need it. kNobody leader or follower role: status().applied.
  Index ReplicatedEverywhere() const;

 private:
  class Impl;
  explicit Core(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace keel::raft
