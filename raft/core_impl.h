#pragma once

// The inside of Core. What every role shares is in core.cc, what is checked of a message first in core_validate.cc;
// what a role does lies in core_follower.cc, core_candidate.cc and core_leader.cc (core_transfer.cc,
// core_membership.cc: handing over, changing the membership), and its data in one alternative of `role_`, so that none
// outlives its role.

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "base/random.h"
#include "raft/core.h"
#include "raft/election.h"
#include "raft/invariants.h"
#include "raft/log.h"
#include "raft/membership.h"
#include "raft/read_index.h"
#include "raft/roles.h"

namespace keel::raft {

class Core::Impl {
 public:
  Impl(const CoreOptions& options, InitialState initial);

  std::unique_ptr<Impl> Clone() const;
  void AppendFingerprint(std::string* out) const;

  void Tick();
  absl::Status Step(Message message);
  absl::Status Propose(std::vector<Payload> payloads);
  absl::Status ProposeMembership(const MembershipChange& change, const Payload& context);
  absl::Status TransferLeadership(MemberId target);
  void ReadIndex(ReadId id);
  void Campaign();
  void OnAppended(const AppendTicket& ticket);
  void OnApplied(Index index);
  void OnFetched(MemberId follower, std::vector<Entry> entries);
  void OnSnapshotSent(MemberId follower, const absl::Status& status, EntryId last);
  void OnUnreachable(MemberId peer);
  void OnPeerDied(MemberId peer);
  bool OfferSnapshot(MemberId from, Term term, const SnapshotMeta& meta);
  void OnSnapshotInstalled(const SnapshotMeta& meta);
  void OnLogTruncated(Index through) { log_.TruncatePrefix(through); }

  bool HasReady() const;
  Ready TakeReady();

  CoreStatus status() const;
  std::vector<FollowerStatus> followers() const;
  Index ReplicatedEverywhere() const;

 private:
  enum class SendWhen { kTermDurable, kAppendDurable };

  // --- core.cc: every role.

  Role role() const;
  // Who leads this term, this member included; kNobody: not known, or an election is on.
  MemberId leader() const;
  LeaderRole* leader_role() { return std::get_if<LeaderRole>(&role_); }
  const LeaderRole* leader_role() const { return std::get_if<LeaderRole>(&role_); }
  const Membership& membership() const { return memberships_.current(); }
  bool is_installing() const { return install_.has_value(); }
  uint64_t election_ticks() const { return static_cast<uint64_t>(options_.election_ticks); }
  bool HardStateChanged() const { return term_ != written_.term || vote_ != written_.vote; }
  bool DiskIsBusy() const { return log_.has_unstable_written() || durable_term_ < written_.term; }
  bool DiskIsStalled() const { return DiskIsBusy() && ticks_ - disk_moved_at_ >= election_ticks(); }
  // On the way there: time to hand over to somebody whose disk works.
  bool DiskIsSlow() const { return DiskIsBusy() && 2 * (ticks_ - disk_moved_at_) >= election_ticks(); }

  // A leader was heard of within the minimum election timeout (Thesis §4.2.3).
  bool IsSticky() const;
  // Answers a message of an older term where its sender must learn ours.
  void RefuseOldTerm(const Message& message);
  absl::Status Dispatch(Message message);
  // In this member's term. Nothing leaves in a term that a crash could make us forget; kAppendDurable also waits for
  // what has been appended.
  void Send(MemberId to, MessageBody body, SendWhen when = SendWhen::kTermDurable);
  // About a pre-vote, in the term it asks for or our own; promises nothing, so it waits for nothing.
  void SendPreVote(MemberId to, Term term, MessageBody body);
  void ResetElectionTimer();
  // The same for an election that can begin, or begin again, before its time (see hurry_until_).
  void ResetElectionTimerInHurry();
  void BecomeFollower(Term term, MemberId leader);
  void AnswerRead(ReadId id, Index index);
  void FailRead(ReadId id, const char* why);
  void FailForwardedReads(const char* why);
  std::optional<AppendWork> TakeAppend();

  // A leader shows somebody who would stand for election that it is there.
  void ReassureCandidate(MemberId candidate);

  // --- core_validate.cc: before anything changes. Input from a peer reaches no KEEL_CHECK past these.

  absl::Status Validate(const Message& message) const;
  absl::Status ValidateSender(const Message& message) const;
  absl::Status ValidateFromLeader(const Message& message) const;
  absl::Status ValidateAppend(const Message& message, const AppendRequest& request) const;
  // A leader counts on entries that this log does not hold.
  bool ShowsDataLoss(const Message& message) const;

  // --- core_membership.cc

  // A non-voter leads or stands where only it may hold what a majority needs (Thesis §4.2.2).
  bool MayCampaign() const;
  void AppendMembership(LeaderRole& leader, const Membership& membership, std::string_view context);
  void MaybeLeaveJoint(LeaderRole& leader);
  // The configuration that leaves this leader out is committed.
  bool IsVotedOut(const LeaderRole& leader) const;
  void ResignVotedOut(LeaderRole& leader);

  // --- core_transfer.cc

  void SendTimeoutNow(LeaderRole& leader);
  void TickTransfer(LeaderRole& leader);
  // To whoever has made durable what this disk has not.
  void HandOverForSlowDisk(LeaderRole& leader);
  void HandleTimeoutNow(MemberId from);
  void HandleForwardProposal(LeaderRole& leader, std::vector<Payload> payloads);
  // Gives what has waited for the end of a transfer to whoever leads now.
  void ReleaseHeld();

  // --- core_follower.cc

  void HeardFromLeader(MemberId leader);
  void HandleVoteRequest(const Message& message, const VoteRequest& request);
  void HandleAppend(MemberId from, AppendRequest request);
  void SendAppendResponse(MemberId to, const AppendResponse& response);
  void HandleHeartbeat(MemberId from, const Heartbeat& heartbeat);
  void HandleReadIndexResponse(MemberId from, const ReadIndexResponse& response);
  absl::Status ForwardToLeader(std::vector<Payload> payloads);

  // --- core_candidate.cc

  enum class Reason { kTimeout, kTransfer };
  void StartElection(Election::Kind kind, Reason reason);
  void HandleVoteResponse(const Message& message, const VoteResponse& response);
  void ConcludeElection();

  // --- core_leader.cc

  void BecomeLeader();
  void TickLeader(LeaderRole& leader);
  void AppendOwn(LeaderRole& leader, EntryType type, Payload payload);
  absl::Status ProposeAsLeader(LeaderRole& leader, std::vector<Payload> payloads);
  absl::Status HandleAppendResponse(LeaderRole& leader, MemberId from, const AppendResponse& response);
  void HandleHeartbeatResponse(LeaderRole& leader, MemberId from, const HeartbeatResponse& response);
  absl::Status HandleSnapshotInstalled(LeaderRole& leader, MemberId from, const SnapshotInstalled& installed);
  void NoteEcho(LeaderRole& leader, Progress& progress, uint64_t round);
  void MaybeCommit(LeaderRole& leader);
  void ConfirmReads(LeaderRole& leader);
  void StartReads(LeaderRole& leader);
  void FailLeaderReads(LeaderRole& leader);
  // Everything there is to send now, once per Ready, so that whatever has queued travels together.
  void Flush(LeaderRole& leader);
  EntryId CommitOf(const Progress& progress) const;
  void SendHeartbeat(LeaderRole& leader, MemberId to, Progress& progress);
  void SendAppends(LeaderRole& leader, MemberId to, Progress& progress);
  void SendCommit(MemberId to, Progress& progress);
  void SendAppend(LeaderRole& leader, MemberId to, Progress& progress, std::vector<Entry> entries);
  void StartFetch(MemberId follower, const Progress& progress);
  void StartSnapshot(MemberId follower, Progress& progress);

  const CoreOptions options_;
  Random random_;
  MembershipHistory memberships_;
  Log log_;

  Term term_;
  MemberId vote_ = kNobody;
  std::variant<FollowerRole, CandidateRole, LeaderRole> role_;

  uint64_t ticks_ = 0;
  uint64_t election_at_ = 0;  // Tick of the next election, unless the leader is heard of.
  // Until this tick elections need not wait a whole timeout: this member has just started and heard of no leader yet,
  // or its leader's process has died. Only pre-votes are hurried, and they change nothing anywhere.
  uint64_t hurry_until_ = 0;
  bool data_loss_ = false;

  HardState written_;           // The last one handed out to be written.
  Term durable_term_;           // On disk, with the vote that was written with it.
  uint64_t disk_moved_at_ = 0;  // Since then the disk has been idle, or has completed nothing.

  ForwardedReads forwarded_;
  uint64_t read_round_ = 0;  // Newest of all leaderships of this core.

  struct Install {
    SnapshotMeta meta;
    bool handed = false;
  };
  std::optional<Install> install_;

  // Proposals of other members that came while leadership was being handed over; they would be lost otherwise, and
  // nobody told. Outlives the leadership that is handed over.
  struct Held {
    std::vector<Payload> payloads;
    size_t bytes = 0;
    uint64_t until = 0;  // Tick; who has waited that long has given up.
  };
  Held held_;

  // Work that outlives a leadership: the shell still owes an answer.
  struct Fetch {
    Term term;
    Index first;
  };
  std::map<MemberId, Fetch> fetching_;
  std::set<MemberId> sending_snapshot_;

  // Outputs since the last Ready.
  std::vector<Message> messages_;
  std::vector<Message> messages_after_append_;
  std::vector<FetchWork> fetches_;
  std::vector<SnapshotWork> snapshots_;
  std::vector<ReadResult> reads_;

  Invariants invariants_;
};

}  // namespace keel::raft
