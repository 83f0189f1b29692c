#include "tests/scenarios/oracle.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "raft/membership.h"
#include "raft/quorum.h"

namespace keel::raft::scenario {
namespace {

std::string Text(EntryId id) { return absl::StrCat(id.index.value(), "@", id.term.value()); }
std::string Text(Index index) { return absl::StrCat(index.value()); }
std::string Text(Term term) { return absl::StrCat(term.value()); }
std::string Text(MemberId id) { return absl::StrCat(id.value()); }

}  // namespace

std::optional<Term> LogImage::TermAt(Index index) const {
  if (index == base_.index) return base_.term;
  if (index < base_.index || index > last().index) return std::nullopt;
  return At(index).id.term;
}

void LogImage::Write(const std::vector<Entry>& entries) {
  if (entries.empty()) return;
  const Index first = entries.front().id.index;
  if (first > base_.index && first <= last().index) entries_.resize(first - base_.index - 1);
  entries_.insert(entries_.end(), entries.begin(), entries.end());
}

void LogImage::TruncatePrefix(Index through) {
  if (through <= base_.index) return;
  const EntryId base{*TermAt(through), through};
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(through - base_.index));
  base_ = base;
}

void LogImage::Reset(EntryId last) {
  base_ = last;
  entries_.clear();
}

std::vector<TermRun> LogImage::TermRuns() const {
  std::vector<TermRun> runs;
  for (const Entry& entry : entries_) {
    if (runs.empty() || runs.back().term != entry.id.term) runs.push_back({entry.id.index, entry.id.term});
  }
  return runs;
}

void Oracle::Require(bool holds, const char* invariant, MemberId id, const std::string& text) {
  ++comparisons_;
  if (!holds && violation_.empty()) violation_ = absl::StrCat(invariant, ": member ", Text(id), " ", text);
}

void Oracle::OnBeginning(const std::vector<EntryId>& committed) {
  for (size_t i = committed_.size(); i <= committed.size(); ++i) {
    committed_.push_back(committed[i - 1]);
    commit_terms_.push_back(committed[i - 1].term);
  }
}

void Oracle::OnStart(MemberId id, const HardState& hard_state) {
  if (wiped_.contains(id)) {
    seen_[id] = Seen{};
    return;
  }
  const auto promised = votes_.find({id, hard_state.term});
  if (promised != votes_.end()) {
    Require(promised->second == hard_state.vote, "VoteOncePerTerm", id,
            absl::StrCat("forgot its vote of term ", Text(hard_state.term)));
  }
  // Term and vote are for all time; the rest begins anew.
  Seen& seen = seen_[id];
  seen = Seen{};
  seen.term = hard_state.term;
  seen.vote = hard_state.vote;
  const auto newest_vote = votes_.upper_bound({id, Term(UINT64_MAX)});
  if (newest_vote != votes_.begin() && std::prev(newest_vote)->first.first == id) {
    const Term voted_in = std::prev(newest_vote)->first.second;
    Require(hard_state.term >= voted_in, "TermIsDurable", id,
            absl::StrCat("starts in term ", Text(hard_state.term), " although it voted in ", Text(voted_in)));
  }
}

void Oracle::OnWrite(MemberId id, const LogImage& log, const std::optional<HardState>& hard_state,
                     const std::vector<Entry>& entries) {
  Seen& seen = seen_[id];
  if (hard_state) {
    Require(hard_state->term >= seen.term, "TermIsMonotonic", id, "writes an older term");
    Require(hard_state->term > seen.term || seen.vote == kNobody || hard_state->vote == seen.vote, "VoteOncePerTerm",
            id, absl::StrCat("changes its vote in term ", Text(hard_state->term)));
    seen.term = hard_state->term;
    seen.vote = hard_state->vote;
  }
  // By induction: whoever writes the entry (index, term) writes the same one after the same one.
  for (size_t i = 0; i < entries.size(); ++i) {
    const Entry& entry = entries[i];
    EntryId prev;
    if (i > 0) {
      prev = entries[i - 1].id;
    } else {
      const std::optional<Term> term = log.TermAt(entry.id.index - 1);
      Require(term.has_value(), "NoGaps", id, absl::StrCat("writes ", Text(entry.id), " after a gap"));
      if (!term) return;
      prev = {*term, entry.id.index - 1};
    }
    const EntryFacts facts{prev, entry.type, std::string(entry.payload.view())};
    const auto [it, is_new] = entries_.try_emplace({entry.id.index, entry.id.term}, facts);
    Require(is_new || it->second == facts, "LogMatching", id, absl::StrCat("writes another entry ", Text(entry.id)));
    const uint64_t index = entry.id.index.value();
    if (index < committed_.size() && log.TermAt(entry.id.index) == committed_[index].term) {
      Require(entry.id == committed_[index], "CommittedIsForever", id,
              absl::StrCat("replaces the committed ", Text(committed_[index])));
    }
  }
}

void Oracle::OnSend(const Message& message, const View& from) {
  const MemberId id = message.from;
  const auto* request = std::get_if<VoteRequest>(&message.body);
  const auto* vote = std::get_if<VoteResponse>(&message.body);
  if ((request != nullptr && request->pre_vote) || (vote != nullptr && vote->pre_vote)) return;
  Require(from.hard_state.term >= message.term, "TermIsDurable", id,
          absl::StrCat("speaks in term ", Text(message.term), ", which is not on its disk"));
  const bool is_past = from.hard_state.term > message.term;
  if (request != nullptr) {
    Require(is_past || from.hard_state.vote == id, "VoteIsDurable", id, "asks for votes before its own is on disk");
  }
  if (vote != nullptr && vote->granted) {
    const auto [it, is_new] = votes_.try_emplace({id, message.term}, message.to);
    Require(is_new || it->second == message.to, "VoteOncePerTerm", id,
            absl::StrCat("votes for ", Text(it->second), " and ", Text(message.to), " in term ", Text(message.term)));
    Require(is_past || from.hard_state.vote == message.to, "VoteIsDurable", id,
            absl::StrCat("grants a vote to ", Text(message.to), " that is not on its disk"));
  }
  const auto* ack = std::get_if<AppendResponse>(&message.body);
  if (ack != nullptr && !ack->rejected && !is_past && from.status.term == message.term) {
    Require(ack->index <= from.durable->last().index, "AckIsDurable", id,
            absl::StrCat("acknowledges ", Text(ack->index), ", durable is ", Text(from.durable->last())));
    // What is on the disk must be what its log says now, not what that has replaced.
    Require(from.durable->TermAt(ack->index) == from.written->TermAt(ack->index), "AckIsDurable", id,
            absl::StrCat("acknowledges ", Text(ack->index), ", where its disk has another entry"));
  }
}

void Oracle::CheckCommit(const View& member, const std::map<MemberId, const LogImage*>& all) {
  const CoreStatus& status = member.status;
  Seen& seen = seen_[status.id];
  Require(status.commit >= seen.commit, "CommitIsMonotonic", status.id, "takes its commit index back");
  const LogImage& log = *member.written;
  const bool leads = status.role == Role::kLeader;
  if (leads && seen.leads == status.term && status.commit > seen.commit) {
    Require(log.TermAt(status.commit) == status.term, "CommitsOwnTermOnly", status.id,
            absl::StrCat("commits ", Text(status.commit), " of an earlier term by counting (Raft fig. 8)"));
  }
  for (Index i = std::max(seen.commit, log.base().index) + 1; i <= status.commit; ++i) {
    const std::optional<Term> term = log.TermAt(i);
    Require(term.has_value(), "CommitWithinLog", status.id, absl::StrCat("commits ", Text(i), ", which it lacks"));
    if (!term) break;
    const EntryId entry{*term, i};
    if (i.value() < committed_.size()) {
      Require(committed_[i.value()] == entry, "StateMachineSafety", status.id,
              absl::StrCat("commits ", Text(entry), " where ", Text(committed_[i.value()]), " is committed"));
      continue;
    }
    const bool on_quorum = QuorumValue(status.membership, [&](MemberId id) -> uint64_t {
                             const auto disk = all.find(id);
                             return disk != all.end() && disk->second->Covers(entry) ? 1 : 0;
                           }) == 1;
    Require(on_quorum, "CommittedIsDurable", status.id,
            absl::StrCat("commits ", Text(entry), ", which is not durable on a quorum"));
    Require(i.value() == committed_.size(), "NoGaps", status.id, "commits after a gap");
    committed_.push_back(entry);
    commit_terms_.push_back(status.term);
  }
  seen.commit = status.commit;
}

void Oracle::CheckLeader(const View& member) {
  const CoreStatus& status = member.status;
  Seen& seen = seen_[status.id];
  const LogImage& log = *member.written;
  const auto [it, is_new] = leaders_.try_emplace(status.term, status.id);
  Require(it->second == status.id, "ElectionSafety", status.id,
          absl::StrCat("leads term ", Text(status.term), ", as ", Text(it->second), " does"));
  if (is_new) {
    // A member that stood still may count its votes long after, and lead a term that is past.
    for (size_t i = 0; i < committed_.size(); ++i) {
      if (commit_terms_[i] >= status.term) continue;
      Require(log.Covers(committed_[i]), "LeaderCompleteness", status.id,
              absl::StrCat("leads term ", Text(status.term), " without the committed ", Text(committed_[i])));
    }
  }
  if (seen.leads == status.term) {
    Require(log.last().index >= seen.leader_last, "LeaderAppendOnly", status.id, "cuts its log while it leads");
  } else {
    seen.match.clear();
  }
  seen.leads = status.term;
  seen.leader_last = log.last().index;
  for (const FollowerStatus& follower : member.followers) {
    Require(follower.match < follower.next && follower.match <= log.last().index, "MatchBeforeNext", status.id,
            absl::StrCat("has match ", Text(follower.match), " and next ", Text(follower.next), " for ",
                         Text(follower.id)));
    Index& match = seen.match[follower.id];
    Require(follower.match >= match, "MatchIsMonotonic", status.id,
            absl::StrCat("takes the match of ", Text(follower.id), " back to ", Text(follower.match)));
    match = follower.match;
  }
}

void Oracle::CheckMembership(const View& member) {
  const CoreStatus& status = member.status;
  Membership expected = *member.membership;
  int under_way = 0;
  for (const Entry& entry : member.written->entries()) {
    if (entry.type != EntryType::kMembership || entry.id.index <= status.applied) continue;
    expected = DecodeMembershipEntry(entry.payload.view())->membership;
    ++under_way;
  }
  Require(status.membership == expected, "MembershipIsThatOfTheLog", status.id,
          "uses a configuration that its log does not say");
  Require(under_way <= 1 || status.role != Role::kLeader, "OneChangeAtATime", status.id,
          "has two membership changes under way");
}

void Oracle::OnStep(const View& member, const std::map<MemberId, const LogImage*>& all) {
  const CoreStatus& status = member.status;
  Seen& seen = seen_[status.id];
  Require(status.term >= seen.term, "TermIsMonotonic", status.id, "goes back to an older term");
  Require(status.applied >= seen.applied && status.applied <= status.commit, "AppliedIsMonotonic", status.id,
          "applies out of order");
  seen.applied = status.applied;
  if (member.is_installing) return;  // What its log will be is not decided.
  Require(
      status.last == member.written->last(), "LogIsWritten", status.id,
      absl::StrCat("believes its log to end at ", Text(status.last), ", handed out is ", Text(member.written->last())));
  if (status.role == Role::kLeader) CheckLeader(member);
  CheckCommit(member, all);
  CheckMembership(member);
}

void Oracle::OnApply(MemberId id, const Entry& entry) {
  const uint64_t index = entry.id.index.value();
  Require(index < committed_.size() && committed_[index] == entry.id, "StateMachineSafety", id,
          absl::StrCat("applies ", Text(entry.id), ", which is not committed"));
  const EntryFacts facts{entry.id, entry.type, std::string(entry.payload.view())};
  const auto [it, is_new] = applied_.try_emplace(entry.id.index, facts);
  Require(is_new || it->second == facts, "StateMachineSafety", id, absl::StrCat("applies another ", Text(entry.id)));
}

void Oracle::OnRead(MemberId id, Index committed_before, Index answer) {
  Require(answer >= committed_before, "ReadIsLinearizable", id,
          absl::StrCat("reads at ", Text(answer), " although ", Text(committed_before),
                       " was committed before the read began"));
}

}  // namespace keel::raft::scenario
