#include "tests/sim/sim_checker.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace keel::raft::sim {
namespace {

std::string Text(EntryId id) { return absl::StrCat(id.index.value(), "@", id.term.value()); }
std::string Text(MemberId id) { return absl::StrCat("member ", id.value()); }

}  // namespace

uint64_t HashOf(std::string_view bytes, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325 ^ (seed * 0x9e3779b97f4a7c15);
  for (char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash ^ (hash >> 29);
}

void Checker::OnStart(MemberId id, const SimDisk& disk) {
  Seen& seen = seen_[id.value()];
  // Term and vote are for all time; the rest begins anew with each start.
  const auto promised = votes_.find({id, disk.hard_state.term});
  if (promised != votes_.end()) {
    Require(promised->second == disk.hard_state.vote,
            absl::StrCat(Text(id), " forgot its vote of term ", disk.hard_state.term.value()));
  }
  seen = Seen{};
  seen.term = disk.hard_state.term;
  seen.vote = disk.hard_state.vote;
}

void Checker::OnCrash(MemberId id, const SimDisk& disk) {
  seen_[id.value()].leads = Term(0);
  // A single voter leads at once. If the crash took even the term, nobody has heard of it, and it may come again.
  if (members_ > 1) return;
  std::erase_if(entries_, [&](const auto& entry) { return entry.first.second > disk.hard_state.term; });
}

void Checker::OnWrite(MemberId id, const SimDisk& disk, const AppendWork& work) {
  Seen& seen = seen_[id.value()];
  if (work.hard_state) {
    const HardState& now = *work.hard_state;
    Require(now.term >= seen.term, absl::StrCat(Text(id), ": the term went back"));
    Require(now.term > seen.term || seen.vote == kNobody || now.vote == seen.vote,
            absl::StrCat(Text(id), " changed its vote within term ", now.term.value()));
    Require(now.commit <= disk.durable.last().index, absl::StrCat(Text(id), ": durable commit beyond durable log"));
    seen.term = now.term;
    seen.vote = now.vote;
  }
  // Log Matching, by induction: whoever writes the entry (index, term) writes the same one after the same one.
  for (size_t i = 0; i < work.entries.size(); ++i) {
    const Entry& entry = work.entries[i];
    EntryId prev;
    if (i > 0) {
      prev = work.entries[i - 1].id;
    } else {
      const std::optional<Term> term = disk.written.TermAt(entry.id.index - 1);
      Require(term.has_value(), absl::StrCat(Text(id), " wrote ", Text(entry.id), " after a gap"));
      prev = {*term, entry.id.index - 1};
    }
    const EntryFacts facts{prev, HashOf(entry.payload.view(), static_cast<uint64_t>(entry.type))};
    const auto [it, is_new] = entries_.try_emplace({entry.id.index, entry.id.term}, facts);
    Require(is_new || (it->second.prev == prev && it->second.hash == facts.hash),
            absl::StrCat("Log Matching: ", Text(id), " wrote another entry ", Text(entry.id)));
    // Nothing committed is ever replaced, anywhere.
    const uint64_t index = entry.id.index.value();
    if (index < committed_.size() && disk.written.TermAt(entry.id.index) == committed_[index].term) {
      Require(entry.id == committed_[index], absl::StrCat(Text(id), " replaced committed ", Text(committed_[index])));
    }
  }
}

void Checker::OnSend(const Message& message, const SimDisk& disk, const SimDisk& leader_disk) {
  const auto* vote_request = std::get_if<VoteRequest>(&message.body);
  const auto* vote = std::get_if<VoteResponse>(&message.body);
  if ((vote_request != nullptr && vote_request->pre_vote) || (vote != nullptr && vote->pre_vote)) return;
  Require(disk.hard_state.term >= message.term,
          absl::StrCat(Text(message.from), " spoke in term ", message.term.value(), ", which is not on its disk"));
  if (vote_request != nullptr) {
    Require(disk.hard_state.term > message.term || disk.hard_state.vote == message.from,
            absl::StrCat(Text(message.from), " asked for votes before its own was on disk"));
  }
  if (vote != nullptr && vote->granted) {
    const auto [it, is_new] = votes_.try_emplace({message.from, message.term}, message.to);
    Require(is_new || it->second == message.to,
            absl::StrCat(Text(message.from), " voted twice in term ", message.term.value()));
    Require(disk.hard_state.term > message.term || disk.hard_state.vote == message.to,
            absl::StrCat(Text(message.from), " granted a vote that is not on its disk"));
  }
  const auto* ack = std::get_if<AppendResponse>(&message.body);
  if (ack != nullptr && !ack->rejected) {
    // Durable, and the leader's: unless a later leader had it replaced while the answer waited.
    const bool is_current = disk.hard_state.term == message.term && seen_[message.from.value()].term == message.term;
    Require(!is_current || ack->index <= disk.durable.last().index,
            absl::StrCat(Text(message.from), " acknowledged ", ack->index.value(), " before it was durable"));
    const Seen& leader = seen_[message.to.value()];
    const bool leads_on = leader.leads == message.term && leader.term == message.term;
    if (is_current && leads_on && ack->index >= leader_disk.written.base().index &&
        ack->index > disk.durable.base().index) {
      Require(disk.durable.TermAt(ack->index) == leader_disk.written.TermAt(ack->index),
              absl::StrCat(Text(message.from), " acknowledged ", ack->index.value(), " but holds another entry there"));
    }
  }
}

size_t Checker::DurableOn(EntryId id, const std::vector<SimDisk>& disks) const {
  size_t n = 0;
  for (size_t m = 1; m <= members_; ++m) n += disks[m].durable.Covers(id);
  return n;
}

void Checker::CheckCommit(MemberId id, const CoreStatus& status, const std::vector<SimDisk>& disks) {
  Seen& seen = seen_[id.value()];
  Require(status.commit >= seen.commit, absl::StrCat(Text(id), ": commit went back"));
  const LogImage& log = disks[id.value()].written;
  const bool leads = status.role == Role::kLeader;
  if (leads && seen.leads == status.term && status.commit > seen.commit) {
    Require(log.TermAt(status.commit) == status.term,
            absl::StrCat(Text(id), " committed an entry of an earlier term by counting (Raft fig. 8)"));
  }
  for (Index i = std::max(seen.commit, log.base().index) + 1; i <= status.commit; ++i) {
    const EntryId entry{*log.TermAt(i), i};
    if (i.value() < committed_.size()) {
      Require(committed_[i.value()] == entry,
              absl::StrCat(Text(id), " committed ", Text(entry), " where ", Text(committed_[i.value()]), " is"));
      continue;
    }
    Require(i.value() == committed_.size(), "a gap in what is committed");
    Require(leads, absl::StrCat(Text(id), " knows of a commit before any leader"));
    Require(DurableOn(entry, disks) > members_ / 2,
            absl::StrCat(Text(id), " committed ", Text(entry), ", which is not durable on a quorum"));
    committed_.push_back(entry);
    commit_terms_.push_back(status.term);
  }
  seen.commit = status.commit;
}

void Checker::CheckLeader(MemberId id, const Core& core, const CoreStatus& status, const std::vector<SimDisk>& disks) {
  Seen& seen = seen_[id.value()];
  const LogImage& log = disks[id.value()].written;
  const auto [it, is_new] = leaders_.try_emplace(status.term, id);
  Require(it->second == id,
          absl::StrCat("Election Safety: ", Text(it->second), " and ", Text(id), " lead term ", status.term.value()));
  if (is_new) {
    // A member that stood still may count its votes long after, and lead a term that is past.
    for (size_t i = 0; i < committed_.size(); ++i) {
      const EntryId entry = committed_[i];
      if (commit_terms_[i] >= status.term) continue;
      Require(log.Covers(entry), absl::StrCat("Leader Completeness: ", Text(id), " leads term ", status.term.value(),
                                              " without ", Text(entry)));
    }
  }
  if (seen.leads == status.term) {
    Require(log.last().index >= seen.leader_last,
            absl::StrCat("Leader Append-Only: ", Text(id), " cut its log in term ", status.term.value()));
  }
  seen.leads = status.term;
  seen.leader_last = log.last().index;
  for (const FollowerStatus& follower : core.followers()) {
    Require(follower.match < follower.next && follower.match <= log.last().index, "match or next out of bounds");
    Index& match = matches_[{status.term, follower.id}];
    Require(follower.match >= match, absl::StrCat(Text(id), ": match of ", Text(follower.id), " went back"));
    match = follower.match;
    if (follower.match < log.base().index || follower.match == Index(0)) continue;
    // In a later term it may have been told to drop what this one had it write.
    if (disks[follower.id.value()].hard_state.term > status.term) continue;
    Require(disks[follower.id.value()].durable.Covers({*log.TermAt(follower.match), follower.match}),
            absl::StrCat(Text(id), " counts ", follower.match.value(), " on ", Text(follower.id),
                         ", which does not have it durably"));
  }
}

void Checker::OnEvent(MemberId id, const Core& core, const std::vector<SimDisk>& disks) {
  const CoreStatus status = core.status();
  Seen& seen = seen_[id.value()];
  Require(status.term >= seen.term, absl::StrCat(Text(id), ": the term went back"));
  Require(status.applied >= seen.applied && status.applied <= status.commit, "applied out of order");
  seen.applied = status.applied;
  // A member that leads in its first event after a start has committed nothing in it: what it knows it has recovered.
  CheckCommit(id, status, disks);
  if (status.role == Role::kLeader) CheckLeader(id, core, status, disks);
}

void Checker::OnApply(MemberId id, const Entry& entry, const MachineState& state) {
  const uint64_t index = entry.id.index.value();
  Require(index < committed_.size() && committed_[index] == entry.id,
          absl::StrCat(Text(id), " applied ", Text(entry.id), ", which is not committed"));
  if (index == applied_.size()) applied_.push_back(state);
  Require(index < applied_.size(), "applied out of order");
  Require(applied_[index].hash == state.hash && applied_[index].last == state.last,
          absl::StrCat("State Machine Safety: ", Text(id), " differs at ", index));
}

void Checker::OnInstall(const MachineState& state) {
  const uint64_t index = state.last.index.value();
  Require(index < applied_.size() && applied_[index].hash == state.hash, "a snapshot of a state that never was");
}

void Checker::FinishRead(uint64_t started_at, uint64_t revision) {
  Require(revision >= started_at,
          absl::StrCat("stale read: revision ", revision, " after ", started_at, " was seen before it began"));
  newest_revision_ = std::max(newest_revision_, revision);
}

void Checker::FinishWrite(uint64_t started_at, uint64_t revision) {
  Require(revision > started_at, absl::StrCat("a write at ", revision, " began after ", started_at, " was seen"));
  newest_revision_ = std::max(newest_revision_, revision);
}

}  // namespace keel::raft::sim
