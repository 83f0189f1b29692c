// What a leader does (Raft §5.3, §5.4, §8; Thesis §6.4, §10.2.1): append, replicate, commit, confirm reads, and step
// down when it cannot.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/core_impl.h"
#include "raft/mutant.h"

namespace keel::raft {

void Core::Impl::BecomeLeader() {
  KEEL_CHECK(role() == Role::kCandidate);
  LeaderRole& leader = role_.emplace<LeaderRole>(options_, memberships_, log_.last().index, ticks_, read_round_);
  // Commits what earlier terms have left (Raft §5.4.2, §8), and allows reads.
  if (!KEEL_MUTANT(kNoNoop)) AppendOwn(leader, EntryType::kNoop, Payload());
  ReleaseHeld();
}

void Core::Impl::AppendOwn(LeaderRole& leader, EntryType type, Payload payload) {
  Entry entry{.id = {term_, log_.last().index + 1}, .type = type, .payload = std::move(payload)};
  leader.uncommitted_bytes += entry.bytes();
  log_.Append(std::move(entry));
  leader.flush = true;
}

void Core::Impl::TickLeader(LeaderRole& leader) {
  // CheckQuorum (Thesis §6.2): others may have elected a leader that we cannot hear of.
  const bool lost_quorum =
      !KEEL_MUTANT(kNoCheckQuorum) && ticks_ - leader.tracker.QuorumHeardAt(ticks_) >= election_ticks();
  // A leader that cannot write holds everybody up; alone, it has nobody to yield to.
  const bool lost_disk = !KEEL_MUTANT(kStalledDiskLeads) && DiskIsStalled() && leader.tracker.HasOtherVoter();
  if (lost_quorum || lost_disk) {
    BecomeFollower(term_, kNobody);
    return;
  }
  leader.tracker.DropLeavers(ticks_);
  for (auto& [id, progress] : leader.tracker.followers()) progress.Tick();
  if (DiskIsSlow() && !leader.transfer && !KEEL_MUTANT(kStalledDiskLeads)) HandOverForSlowDisk(leader);
  TickTransfer(leader);
  MaybeLeaveJoint(leader);
  leader.flush = true;
  if (++leader.heartbeat_elapsed < options_.heartbeat_ticks) return;
  leader.heartbeat_elapsed = 0;
  for (auto& [id, progress] : leader.tracker.followers()) SendHeartbeat(leader, id, progress);
}

absl::Status Core::Impl::ProposeAsLeader(LeaderRole& leader, std::vector<Payload> payloads) {
  if (leader.transfer) return absl::UnavailableError("leadership is being handed over");
  size_t bytes = 0;
  for (const Payload& payload : payloads) bytes += payload.size() + Entry::kOverheadBytes;
  // The first of any size passes: refused, it would never fit.
  if (leader.uncommitted_bytes > 0 && leader.uncommitted_bytes + bytes > options_.uncommitted_bytes_max) {
    return absl::ResourceExhaustedError("too many proposals wait to be committed");
  }
  for (Payload& payload : payloads) AppendOwn(leader, EntryType::kCommand, std::move(payload));
  return absl::OkStatus();
}

absl::Status Core::Impl::HandleAppendResponse(LeaderRole& leader, MemberId from, const AppendResponse& response) {
  if (response.index > log_.last().index) {
    return absl::InvalidArgumentError("AppendResponse for entries that were never sent");
  }
  Progress& progress = *leader.tracker.Find(from);
  NoteEcho(leader, progress, response.read_round);
  leader.flush = true;
  if (response.rejected) {
    progress.OnRejected(response.index, log_.FloorByTerm(response.hint.index, response.hint.term));
  } else if (progress.OnAccepted(response.index, log_.base().index)) {
    MaybeCommit(leader);
  }
  return absl::OkStatus();
}

void Core::Impl::HandleHeartbeatResponse(LeaderRole& leader, MemberId from, const HeartbeatResponse& response) {
  Progress& progress = *leader.tracker.Find(from);
  NoteEcho(leader, progress, response.read_round);
  if (progress.OnHeartbeatResponse()) leader.flush = true;
}

absl::Status Core::Impl::HandleSnapshotInstalled(LeaderRole& leader, MemberId from,
                                                 const SnapshotInstalled& installed) {
  // A snapshot holds committed entries only, and a leader has all of those, if it does not know yet that they are.
  if (installed.last.index > log_.last().index) {
    return absl::InvalidArgumentError("SnapshotInstalled beyond the leader's log");
  }
  Progress& progress = *leader.tracker.Find(from);
  progress.heard_at = ticks_;
  if (progress.OnAccepted(installed.last.index, log_.base().index)) MaybeCommit(leader);
  leader.flush = true;
  return absl::OkStatus();
}

void Core::Impl::NoteEcho(LeaderRole& leader, Progress& progress, uint64_t round) {
  progress.heard_at = ticks_;
  if (round <= progress.round_echoed || round > leader.reads.round()) return;
  progress.round_echoed = round;
  ConfirmReads(leader);
}

void Core::Impl::MaybeCommit(LeaderRole& leader) {
  const Index index =
      leader.tracker.QuorumMatch(KEEL_MUTANT(kLeaderCountsUnsynced) ? log_.last().index : log_.stable());
  // Entries of earlier terms are committed by those of this one, never by counting (Raft §5.4.2, figure 8).
  if (index <= log_.commit() || (log_.TermAt(index) != term_ && !KEEL_MUTANT(kCommitOldTermByCounting))) return;
  if (KEEL_MUTANT(kCommitStopsAtOldTerm) && log_.TermAt(log_.commit() + 1) != term_) return;
  for (Index i = std::max(log_.commit() + 1, leader.term_start); i <= index; ++i) {
    leader.uncommitted_bytes -= log_.CachedAt(i).bytes();
  }
  log_.CommitTo(index);
  leader.flush = true;
  MaybeLeaveJoint(leader);
}

void Core::Impl::ConfirmReads(LeaderRole& leader) {
  auto batch = leader.reads.Confirm(KEEL_MUTANT(kReadWithoutQuorum) ? leader.reads.round()
                                                                    : leader.tracker.QuorumRound(leader.reads.round()));
  if (!batch.has_value()) return;
  for (const ReadRounds::Read& read : batch->reads) {
    if (read.from == kNobody) {
      AnswerRead(read.id, batch->index);
    } else {
      Send(read.from, ReadIndexResponse{.id = read.id, .index = batch->index});
    }
  }
  leader.flush = true;  // The next round may start.
}

void Core::Impl::StartReads(LeaderRole& leader) {
  // Before the first commit of its own term a leader may not know what was committed before it (Thesis §6.4).
  if (!leader.reads.can_start() || (log_.commit() < leader.term_start && !KEEL_MUTANT(kReadBeforeTermCommit))) return;
  read_round_ = leader.reads.Start(log_.commit());
  ConfirmReads(leader);  // A single voter needs no one else.
}

void Core::Impl::FailLeaderReads(LeaderRole& leader) {
  for (const ReadRounds::Read& read : leader.reads.TakeAll()) {
    if (read.from == kNobody) FailRead(read.id, "leadership was lost");
  }
}

void Core::Impl::Flush(LeaderRole& leader) {
  StartReads(leader);
  leader.flush = false;
  for (auto& [id, progress] : leader.tracker.followers()) {
    // A heartbeat of its own: it overtakes nothing, but its answer waits for no disk.
    if (leader.reads.is_under_way() && progress.round_sent < leader.reads.round()) SendHeartbeat(leader, id, progress);
    SendAppends(leader, id, progress);
  }
  SendTimeoutNow(leader);
}

void Core::Impl::ReassureCandidate(MemberId candidate) {
  LeaderRole* leader = leader_role();
  if (leader == nullptr) return;
  if (Progress* progress = leader->tracker.Find(candidate)) SendHeartbeat(*leader, candidate, *progress);
}

void Core::Impl::SendHeartbeat(LeaderRole& leader, MemberId to, Progress& progress) {
  progress.round_sent = leader.reads.round();
  const EntryId commit = CommitOf(progress);
  progress.commit_sent = std::max(progress.commit_sent, commit.index);
  Send(to, Heartbeat{.commit = commit, .read_round = leader.reads.round()});
}

// What the follower may take for committed: beyond `match` its log may differ from ours.
EntryId Core::Impl::CommitOf(const Progress& progress) const {
  const Index index = std::min(log_.commit(), progress.match());
  const std::optional<Term> term = log_.TermAt(index);
  return term.has_value() && index > Index(0) ? EntryId(*term, index) : EntryId();
}

void Core::Impl::SendAppends(LeaderRole& leader, MemberId to, Progress& progress) {
  while (progress.can_send()) {
    if (progress.next() <= log_.base().index) return StartSnapshot(to, progress);
    if (progress.next() > log_.last().index) {
      const bool is_probe = progress.state() == Progress::State::kProbe;
      if (is_probe || progress.want_empty) {
        SendAppend(leader, to, progress, {});
      } else {
        SendCommit(to, progress);
      }
      return;
    }
    if (progress.next() < log_.cached_first()) return StartFetch(to, progress);
    SendAppend(leader, to, progress, log_.Slice(progress.next(), options_.append_bytes_max));
  }
  // The window is full and nothing comes back: find out whether something was lost.
  if (!progress.want_empty) return;
  if (progress.next() <= log_.base().index) return StartSnapshot(to, progress);
  SendAppend(leader, to, progress, {});
}

// Followers apply, and answer their own clients, as soon as they learn of the commit. There is nothing to acknowledge:
// if it is lost, the next heartbeat says it again.
void Core::Impl::SendCommit(MemberId to, Progress& progress) {
  const EntryId commit = CommitOf(progress);
  if (commit.index <= progress.commit_sent) return;
  progress.commit_sent = commit.index;
  Send(to, Heartbeat{.commit = commit, .quiet = true});
}

void Core::Impl::SendAppend(LeaderRole& leader, MemberId to, Progress& progress, std::vector<Entry> entries) {
  const std::optional<Term> prev_term = log_.TermAt(progress.next() - 1);
  KEEL_CHECK(prev_term.has_value()) << "an append to " << to << " where a snapshot was due";
  const EntryId prev{*prev_term, progress.next() - 1};
  const Index last = prev.index + entries.size();
  size_t bytes = 0;
  for (const Entry& entry : entries) bytes += entry.bytes();
  progress.want_empty = false;
  progress.commit_sent = std::min(log_.commit(), last);
  progress.OnSent(last, bytes);
  Send(to,
       AppendRequest{
           .prev = prev, .entries = std::move(entries), .commit = log_.commit(), .read_round = leader.reads.round()});
}

void Core::Impl::StartFetch(MemberId follower, const Progress& progress) {
  const auto [it, is_new] = fetching_.try_emplace(follower, Fetch{.term = term_, .first = progress.next()});
  if (!is_new) return;
  fetches_.push_back({.follower = follower,
                      .first = progress.next(),
                      .last = log_.cached_first() - 1,
                      .bytes_max = options_.append_bytes_max});
}

void Core::Impl::OnFetched(MemberId follower, std::vector<Entry> entries) {
  const auto it = fetching_.find(follower);
  if (it == fetching_.end()) return;
  const Fetch fetch = it->second;
  fetching_.erase(it);
  LeaderRole* leader = leader_role();
  if (leader == nullptr) return;
  leader->flush = true;
  Progress* progress = leader->tracker.Find(follower);
  // Asked for in another leadership, or the follower has moved since: look again.
  if (progress == nullptr || fetch.term != term_ || fetch.first != progress->next() || !progress->can_send()) return;
  if (progress->next() <= log_.base().index) return;
  if (entries.empty()) return StartSnapshot(follower, *progress);
  Index expected = progress->next();
  for (const Entry& entry : entries) {
    KEEL_CHECK_EQ(entry.id.index, expected) << "the log returned other entries than it was asked for";
    KEEL_CHECK(log_.Has(entry.id)) << "the log returned another entry " << entry.id << " than was written";
    ++expected;
  }
  SendAppend(*leader, follower, *progress, std::move(entries));
}

void Core::Impl::StartSnapshot(MemberId follower, Progress& progress) {
  // Not to somebody who would not take it, or has no use for it.
  if (ticks_ - progress.heard_at >= election_ticks() || progress.leaves_at != 0) return;
  progress.BecomeSnapshot();
  // One that an earlier leadership started: wait for its end.
  if (!sending_snapshot_.insert(follower).second) return;
  snapshots_.push_back({.follower = follower, .term = term_});
}

void Core::Impl::OnSnapshotSent(MemberId follower, const absl::Status& status, EntryId last) {
  if (sending_snapshot_.erase(follower) == 0) return;
  LeaderRole* leader = leader_role();
  if (leader == nullptr) return;
  Progress* progress = leader->tracker.Find(follower);
  if (progress == nullptr) return;
  leader->flush = true;
  // The transport's word moves the probe only; `match` waits for the follower's own.
  if (status.ok() && last.index <= log_.last().index) {
    progress->OnSnapshotSent(last.index);
  } else {
    progress->OnSnapshotFailed(options_.election_ticks);
  }
}

void Core::Impl::OnUnreachable(MemberId peer) {
  LeaderRole* leader = leader_role();
  if (leader == nullptr) return;
  if (Progress* progress = leader->tracker.Find(peer)) progress->OnUnreachable();
}

}  // namespace keel::raft
