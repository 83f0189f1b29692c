// What each kind of fault does to a group.

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/log/record.h"
#include "tests/sim/cluster.h"

namespace keel::sim {

using raft::MemberId;

void Cluster::Apply(const FaultEvent& event) {
  int target = event.target == kLeader ? Leader() : event.target;
  if (target < 1 || target > nodes()) target = 1 + static_cast<int>(event.param % static_cast<uint64_t>(nodes()));
  Member& victim = member(target);
  world_.Trace("fault ", event.ToString(), event.target == kLeader ? absl::StrCat(" (", target, ")") : std::string());
  world_.Note(static_cast<uint64_t>(event.kind) << 8 | static_cast<uint64_t>(target));
  ++ledger_.faults[FaultName(event.kind)];
  const SimTime down = std::min(event.duration, options_.down_max);
  const auto loss = static_cast<SimDisk::Loss>(event.param % 4);
  switch (event.kind) {
    case FaultKind::kKill:
      victim.Kill();
      return RestartAfter(target, down);
    case FaultKind::kPowerCut:
      victim.PowerCut(loss);
      return RestartAfter(target, down);
    case FaultKind::kPowerCutAll:
      for (int node = 1; node <= nodes(); ++node) {
        const bool was_up = member(node).is_up();
        member(node).PowerCut(loss);
        if (was_up) RestartAfter(node, down * (1 + node % 3) / 3);
      }
      return;
    case FaultKind::kPause:
      return victim.PauseUntil(world_.now() + event.duration);
    case FaultKind::kDiskStall:
      return victim.StallDiskUntil(world_.now() + event.duration);
    case FaultKind::kDiskError:
    case FaultKind::kDiskFull:
    case FaultKind::kBitRot:
      return DamageDisk(event, victim);
    case FaultKind::kIsolate:
    case FaultKind::kHalves:
    case FaultKind::kBridge:
    case FaultKind::kRing:
    case FaultKind::kOneWay:
    case FaultKind::kMuted:
    case FaultKind::kDeafened:
    case FaultKind::kSwizzle:
    case FaultKind::kFlap:
      return cuts_.Apply(event, target);
    case FaultKind::kClog:
      return network_.Clog(target, 1 + event.other % nodes(), world_.now() + event.duration);
    case FaultKind::kCampaign:
      if (victim.is_up() && !victim.is_paused()) victim.Input([](raft::Core& core) { core.Campaign(); });
      return;
    case FaultKind::kTruncate:
      // An operator's copy of the directory, to come back to later.
      if (victim.is_up() && victim.is_idle()) older_directories_[target] = victim.Save();
      if (victim.is_up() && !victim.is_paused()) victim.FlushAndTruncate();
      return;
    case FaultKind::kPeerDied:
      if (victim.is_up() && !victim.is_paused()) {
        victim.Input([peer = MemberId(static_cast<uint64_t>(1 + event.other % nodes()))](raft::Core& core) {
          core.OnPeerDied(peer);
        });
      }
      return;
    case FaultKind::kTransfer:
      return Transfer(1 + event.other % nodes());
    case FaultKind::kRollback:
    case FaultKind::kWipe:
    case FaultKind::kTailRot:
      return RollBack(event, target);
    case FaultKind::kAddLearner:
    case FaultKind::kPromote:
    case FaultKind::kAddVoter:
    case FaultKind::kRemove:
    case FaultKind::kReplace:
      return ChangeMembership(event, target);
  }
}

void Cluster::RestartAfter(int node, SimTime delay) {
  world_.At(delay, [this, node] {
    if (may_run_.count(node) != 0) member(node).Start();
  });
}

void Cluster::Transfer(int to) {
  const int leader = Leader();
  if (leader == 0 || member(leader).is_paused()) return;
  member(leader).Input([&](raft::Core& core) {
    transfers_begun_.Reached(core.TransferLeadership(MemberId(static_cast<uint64_t>(to))).ok());
  });
}

void Cluster::ChangeMembership(const FaultEvent& event, int target) {
  const int leader = Leader();
  if (leader == 0 || member(leader).is_paused()) return;
  const raft::Membership membership = member(leader).status().membership;
  const bool has_spare = next_spare_ <= nodes();
  const MemberId victim(static_cast<uint64_t>(target));
  const MemberId spare(static_cast<uint64_t>(next_spare_));
  raft::MembershipChange change;
  bool takes_spare = false;
  switch (event.kind) {
    case FaultKind::kAddLearner:
      change.add_learners.push_back(spare);
      takes_spare = true;
      break;
    case FaultKind::kAddVoter:
      change.add_voters.push_back(spare);
      takes_spare = true;
      break;
    case FaultKind::kPromote:
      if (membership.learners.empty()) return;
      change.add_voters.push_back(membership.learners[event.param % membership.learners.size()]);
      break;
    case FaultKind::kRemove:
      change.remove.push_back(victim);
      break;
    default:
      change.remove.push_back(victim);
      change.add_voters.push_back(spare);
      takes_spare = true;
  }
  if (takes_spare && !has_spare) return;
  absl::Status status;
  member(leader).Input(
      [&](raft::Core& core) { status = core.ProposeMembership(change, raft::Payload(event.ToString())); });
  world_.Trace("membership change at ", leader, ": ", status.ToString());
  if (!status.ok()) return;
  changes_begun_.Reached();
  if (takes_spare) {
    // Ids are not used twice; whoever runs the group starts the process that goes with it.
    may_run_.insert(next_spare_);
    RestartAfter(next_spare_, event.duration / 4);
    ++next_spare_;
  }
  world_.At(event.duration + 10 * kSecond, [this] { RetireRemoved(); });
}

void Cluster::RetireRemoved() {
  const std::set<int> involved = Involved();
  for (auto it = may_run_.begin(); it != may_run_.end();) {
    if (involved.count(*it) != 0) {
      ++it;
      continue;
    }
    world_.Trace(*it, " is retired");
    member(*it).Kill();
    it = may_run_.erase(it);
  }
}

// --- Links.

// --- Disks.

void Cluster::DamageDisk(const FaultEvent& event, Member& victim) {
  switch (event.kind) {
    case FaultKind::kDiskError:
      return victim.disk().FailNext(static_cast<SimDisk::Fault>(event.param % 5));
    case FaultKind::kDiskFull:
      victim.disk().SetFull(true);
      world_.At(event.duration, [&victim] { victim.disk().SetFull(false); });
      return;
    default:
      return RotLog(victim, event.param);
  }
}

void Cluster::RollBack(const FaultEvent& event, int target) {
  // What a member with an older directory may break before anybody notices, no protocol can prevent; so the one who
  // notices, the leader, is the only one it can talk to until then.
  const int leader = Leader();
  Member& victim = member(target);
  std::set<int> damaged = damaged_;
  damaged.insert(target);
  if (leader == 0 || leader == target || !victim.is_up() || 2 * static_cast<int>(damaged.size()) >= options_.members) {
    return;
  }
  const raft::Index durable = victim.durable().last().index;
  raft::Index match;
  for (const raft::FollowerStatus& follower : member(leader).core().followers()) {
    if (follower.id == victim.id()) match = follower.match;
  }
  const std::optional<Member::Directory>& older = older_directories_[target];
  const bool restores = event.kind == FaultKind::kRollback;
  if (restores && (!older || older->last >= match)) return;
  if (match == raft::Index(0) || match > durable) return;
  victim.PowerCut(SimDisk::Loss::kNothing);
  if (event.kind == FaultKind::kTailRot && !RotTail(victim)) return victim.Start();
  damaged_ = std::move(damaged);
  checker_.Exempt(victim.id());
  if (event.kind == FaultKind::kWipe) victim.Wipe();
  if (restores) victim.Restore(*older);
  world_.Trace(target, restores                         ? " is back in an older directory"
                       : event.kind == FaultKind::kWipe ? " has lost its directory"
                                                        : " has lost its last write");
  for (int m = 1; m <= nodes(); ++m) {
    if (m == leader) continue;
    // For good: in the recovery it does not count.
    cuts_.CutForGood(target, m);
  }
  victim.Start();
  WatchRolledBack(target, leader, member(leader).status().term);
}

void Cluster::WatchRolledBack(int node, int leader, raft::Term term) {
  world_.At(options_.tick, [this, node, leader, term] {
    Member& m = member(node);
    if (!m.is_up()) return;
    const bool leads = member(leader).is_up() && member(leader).status().role == raft::Role::kLeader &&
                       member(leader).status().term == term;
    if (faults_ && leads) return WatchRolledBack(node, leader, term);
    world_.Trace(node, " is taken away undecided");
    ++ledger_.totals["older directories undecided"];
    m.Kill();
    may_run_.erase(node);
  });
}

void Cluster::RotLog(Member& victim, uint64_t param) {
  // Never a majority: nothing could be promised then but to stop. And never the newest segment but for its beginning:
  // damage to the last write is taken for the end of the log (storage/README.md), which is kTailRot's affair.
  std::set<int> damaged = damaged_;
  damaged.insert(victim.node());
  if (2 * static_cast<int>(damaged.size()) >= options_.members) return;
  const absl::StatusOr<std::vector<std::string>> names = victim.disk().List("log");
  if (!names.ok()) return;
  std::vector<std::string> segments;
  for (const std::string& name : *names) {
    if (absl::EndsWith(name, ".log")) segments.push_back(absl::StrCat("log/", name));
  }
  if (segments.empty()) return;
  const std::string& path = segments[param % segments.size()];
  const bool is_newest = &path == &segments.back();
  if (!victim.disk().FlipBit(path, 0, is_newest ? storage::kSegmentHeaderBytes : UINT64_MAX)) return;
  world_.Trace("a bit of ", path, " of ", victim.node(), " turned");
  damaged_ = std::move(damaged);
  checker_.Exempt(victim.id());
}

bool Cluster::RotTail(Member& victim) {
  const absl::StatusOr<std::vector<std::string>> names = victim.disk().List("log");
  if (!names.ok()) return false;
  std::string path;
  for (const std::string& name : *names) {
    if (absl::EndsWith(name, ".log")) path = absl::StrCat("log/", name);
  }
  const absl::StatusOr<std::unique_ptr<storage::DiskFile>> file = victim.disk().Open(path);
  const absl::StatusOr<std::string> content = file.ok() ? storage::ReadWhole(**file) : file.status();
  const absl::StatusOr<storage::SegmentHeader> header =
      content.ok() ? storage::DecodeSegmentHeader(*content) : content.status();
  if (!header.ok()) return false;
  const uint32_t seed = storage::RecordSeed(header->sequence);
  uint32_t chain = header->crc;
  uint64_t begin = 0;  // Of the last write.
  uint64_t end = storage::kSegmentHeaderBytes;
  while (end < content->size()) {
    const auto record = storage::DecodeRecord(seed, std::string_view(*content).substr(end));
    if (!record || record->previous != chain) break;
    begin = record->write_begin;
    end += record->encoded_bytes();
    chain = record->crc;
  }
  // The write that begins a segment is known to have been synced.
  return begin > storage::kSegmentHeaderBytes && victim.disk().FlipBit(path, begin, end);
}

}  // namespace keel::sim
