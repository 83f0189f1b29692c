#include "tests/explorer/judge.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "raft/fingerprint.h"
#include "raft/membership.h"
#include "raft/quorum.h"

namespace keel::explorer {

void Judge::Require(bool holds, const char* invariant, MemberId id, const char* text) {
  ++comparisons_;
  if (!holds && violation_.empty()) violation_ = absl::StrCat(invariant, ": member ", id.value(), " ", text);
}

Number Judge::Begin(const std::array<Number, 3>& all) {
  History history;
  for (Number number : all) {
    const Member& member = members_.at(number);
    for (uint64_t i = history.committed.size() + 1; i <= member.status.commit.value(); ++i) {
      const bool is_gone = Index(i) <= member.written.base().index;
      const EntryId id = is_gone ? EntryId{member.written.base().term, Index(i)} : member.written.At(Index(i)).id;
      history.committed.push_back({id, id.term});
    }
    if (member.hard_state.vote != raft::kNobody) {
      history.votes.push_back({member.status.id, member.hard_state.term, member.hard_state.vote});
    }
  }
  return Keep(history);
}

Number Judge::Check(Number number, Number before_number, Number after_number, const std::vector<Number>& sent,
                    bool crashed, const std::array<Number, 3>& all) {
  if (before_number == after_number && sent.empty()) return number;
  const Member& before = members_.at(before_number);
  const Member& after = members_.at(after_number);
  const MemberId id = after.status.id;
  History history = at(number);
  if (crashed) {
    for (const History::Vote& vote : history.votes) {
      if (vote.from != id || vote.term < after.hard_state.term) continue;
      Require(vote.term == after.hard_state.term && vote.to == after.hard_state.vote, "VoteOncePerTerm", id,
              "forgot a vote");
    }
  } else {
    Require(after.status.term >= before.status.term, "TermIsMonotonic", id, "goes back to an older term");
    Require(after.status.commit >= before.status.commit, "CommitIsMonotonic", id, "takes its commit index back");
    Require(after.status.applied >= before.status.applied, "AppliedIsMonotonic", id, "takes its state back");
  }
  CheckSent(after, sent, &history);
  const bool is_same = !crashed && before.status.role == Role::kLeader && after.status.role == Role::kLeader &&
                       before.status.term == after.status.term;
  if (after.status.role == Role::kLeader) CheckLeader(before, after, is_same, &history);
  CheckCommit(before, after, is_same, all, &history);
  CheckLogs(after_number, all);
  CheckMembership(after);
  return Keep(history);
}

void Judge::CheckSent(const Member& member, const std::vector<Number>& sent, History* history) {
  for (Number number : sent) {
    const auto* message = std::get_if<Message>(&members_.parcel(number).what);
    if (message == nullptr) continue;
    const auto* vote = std::get_if<raft::VoteResponse>(&message->body);
    const auto* request = std::get_if<raft::VoteRequest>(&message->body);
    if ((vote != nullptr && vote->pre_vote) || (request != nullptr && request->pre_vote)) continue;
    const HardState& disk = member.hard_state;
    Require(disk.term >= message->term, "TermIsDurable", message->from, "speaks in a term that is not on its disk");
    const bool is_past = disk.term > message->term;
    if (request != nullptr) {
      Require(is_past || disk.vote == message->from, "VoteIsDurable", message->from,
              "asks for votes before its own is on its disk");
    }
    if (vote != nullptr && vote->granted) {
      Require(is_past || disk.vote == message->to, "VoteIsDurable", message->from,
              "grants a vote that is not on its disk");
      const auto given = std::find_if(history->votes.begin(), history->votes.end(), [&](const History::Vote& v) {
        return v.from == message->from && v.term == message->term;
      });
      if (given == history->votes.end()) {
        history->votes.push_back({message->from, message->term, message->to});
      } else {
        Require(given->to == message->to, "VoteOncePerTerm", message->from, "votes for two in one term");
      }
    }
    const auto* ack = std::get_if<raft::AppendResponse>(&message->body);
    if (ack != nullptr && !ack->rejected && !is_past && member.status.term == message->term) {
      Require(ack->index <= member.durable.last().index, "AckIsDurable", message->from,
              "acknowledges what is not on its disk");
      // On its disk must be what its log says now, not what was replaced.
      Require(member.durable.TermAt(ack->index) == member.written.TermAt(ack->index), "AckIsDurable", message->from,
              "acknowledges an entry in whose place its disk has another");
    }
  }
}

void Judge::CheckLeader(const Member& before, const Member& member, bool is_same, History* history) {
  const CoreStatus& status = member.status;
  const auto led = std::find_if(history->leaders.begin(), history->leaders.end(),
                                [&](const auto& leader) { return leader.first == status.term; });
  if (led == history->leaders.end()) {
    history->leaders.emplace_back(status.term, status.id);
    for (const History::Committed& committed : history->committed) {
      Require(committed.in >= status.term || member.written.Covers(committed.id), "LeaderCompleteness", status.id,
              "leads without a committed entry");
    }
  } else {
    Require(led->second == status.id, "ElectionSafety", status.id, "leads a term that another led");
  }
  if (is_same) {
    Require(member.written.last().index >= before.written.last().index, "LeaderAppendOnly", status.id,
            "cuts its log while it leads");
    for (const FollowerStatus& was : before.followers) {
      for (const FollowerStatus& is : member.followers) {
        if (was.id == is.id) Require(is.match >= was.match, "MatchIsMonotonic", status.id, "takes a match index back");
      }
    }
  }
  uint64_t changes = 0;
  for (const Entry& entry : member.written.entries()) {
    changes += entry.type == EntryType::kMembership && entry.id.index > status.applied;
  }
  Require(changes <= 1, "OneChangeAtATime", status.id, "has two membership changes under way");
}

void Judge::CheckCommit(const Member& before, const Member& member, bool is_same, const std::array<Number, 3>& all,
                        History* history) {
  const CoreStatus& status = member.status;
  const LogImage& log = member.written;
  if (is_same && status.commit > before.status.commit) {
    Require(log.TermAt(status.commit) == status.term, "CommitsOwnTermOnly", status.id,
            "commits an entry of an earlier term by counting (Raft fig. 8)");
  }
  for (Index i = log.base().index + 1; i <= status.commit; ++i) {
    const std::optional<Term> term = log.TermAt(i);
    Require(term.has_value(), "CommitWithinLog", status.id, "commits what it lacks");
    if (!term) return;
    const EntryId entry{*term, i};
    if (i.value() <= history->committed.size()) {
      Require(history->committed[i.value() - 1].id == entry, "StateMachineSafety", status.id,
              "commits another entry than was committed there");
      continue;
    }
    const bool on_quorum = raft::QuorumValue(status.membership, [&](MemberId id) -> uint64_t {
                             return members_.at(all[id.value() - 1]).durable.Covers(entry) ? 1 : 0;
                           }) == 1;
    Require(on_quorum, "CommittedIsDurable", status.id, "commits an entry that is not durable on a quorum");
    history->committed.push_back({entry, status.term});
  }
}

void Judge::CheckLogs(Number after, const std::array<Number, 3>& all) {
  const Member& member = members_.at(after);
  for (Number number : all) {
    if (number == after) continue;
    const LogImage& ours = member.written;
    const LogImage& theirs = members_.at(number).written;
    // From the end down: from the first place where they agree on, everything is the same.
    bool agreed = false;
    for (Index i = std::min(ours.last().index, theirs.last().index);
         i > std::max(ours.base().index, theirs.base().index); --i) {
      const Entry& a = ours.At(i);
      const Entry& b = theirs.At(i);
      if (a.id.term == b.id.term) agreed = true;
      if (agreed) Require(a == b, "LogMatching", member.status.id, "holds another entry under the same id");
    }
  }
}

void Judge::CheckMembership(const Member& member) {
  Membership expected = member.machine.membership;
  for (const Entry& entry : member.written.entries()) {
    if (entry.type != EntryType::kMembership || entry.id.index <= member.machine.applied.index) continue;
    expected = raft::DecodeMembershipEntry(entry.payload.view())->membership;
  }
  Require(member.status.membership == expected, "MembershipIsThatOfTheLog", member.status.id,
          "uses a configuration that its log does not say");
}

Number Judge::Keep(const History& history) {
  std::string bytes;
  raft::Fingerprint sink(&bytes);
  History sorted = history;
  std::sort(sorted.leaders.begin(), sorted.leaders.end());
  std::sort(sorted.votes.begin(), sorted.votes.end(), [](const History::Vote& a, const History::Vote& b) {
    return std::pair(a.from, a.term) < std::pair(b.from, b.term);
  });
  sink(sorted.leaders.size(), sorted.votes.size());
  for (const auto& [term, id] : sorted.leaders) sink(term, id);
  for (const History::Vote& vote : sorted.votes) sink(vote.from, vote.term, vote.to);
  for (const History::Committed& committed : sorted.committed) sink(committed.id, committed.in);
  const auto [it, is_new] = numbers_.try_emplace(std::move(bytes), static_cast<Number>(histories_.size()));
  if (is_new) histories_.push_back(std::move(sorted));
  return it->second;
}

}  // namespace keel::explorer
