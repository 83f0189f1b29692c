#include "tests/sim/checker.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace keel::sim {
namespace {

using raft::AppendResponse;
using raft::CoreStatus;
using raft::Entry;
using raft::EntryId;
using raft::HardState;
using raft::Index;
using raft::MemberId;
using raft::Membership;
using raft::Message;
using raft::Role;
using raft::Term;

std::string Text(EntryId id) { return absl::StrCat(id.index.value(), "@", id.term.value()); }
std::string Text(MemberId id) { return absl::StrCat("member ", id.value()); }
std::string Text(const Member& member) { return Text(member.id()); }

bool HasMajority(const std::vector<MemberId>& voters, const std::function<bool(MemberId)>& holds) {
  size_t n = 0;
  for (const MemberId id : voters) n += holds(id);
  return 2 * n > voters.size();
}

// Segments that hold live entries, one to write on, spares, and one being filled; with the smallest segments a log is
// many files, but never more than its entries need.
uint64_t FilesMax(const Member& member) {
  return 2 * (member.written().last().index - member.written().base().index) + 40;
}

}  // namespace

Checker::Checker(Ledger* ledger, EntryId start, uint64_t hash, Membership membership)
    : committed_(start.index.value() + 1),
      commit_terms_(start.index.value() + 1),
      hashes_(start.index.value() + 1, hash),
      committed_membership_(std::move(membership)),
      election_safety_(ledger, "election-safety"),
      leader_append_only_(ledger, "leader-append-only"),
      log_matching_(ledger, "log-matching"),
      leader_completeness_(ledger, "leader-completeness"),
      state_machine_safety_(ledger, "state-machine-safety"),
      term_monotonic_(ledger, "term-monotonic"),
      commit_monotonic_(ledger, "commit-monotonic"),
      applied_monotonic_(ledger, "applied-monotonic"),
      vote_stable_(ledger, "vote-stable"),
      one_vote_per_term_(ledger, "one-vote-per-term"),
      vote_durable_(ledger, "vote-durable-before-sent"),
      own_vote_durable_(ledger, "own-vote-durable-before-asking"),
      term_durable_(ledger, "term-durable-before-speaking"),
      hard_state_within_log_(ledger, "hard-state-commit-within-log"),
      ack_durable_(ledger, "acknowledged-is-durable"),
      ack_matches_leader_(ledger, "acknowledged-matches-leader"),
      commit_in_own_term_(ledger, "commit-counts-own-term-only"),
      commit_agrees_(ledger, "committed-entries-agree"),
      commit_durable_on_quorum_(ledger, "committed-is-durable-on-quorum"),
      commit_by_leader_(ledger, "commit-begins-at-leader"),
      committed_stays_(ledger, "committed-never-replaced"),
      match_monotonic_(ledger, "match-monotonic"),
      next_above_match_(ledger, "next-above-match"),
      match_durable_(ledger, "match-is-durable"),
      apply_durable_(ledger, "apply-is-durable"),
      apply_in_order_(ledger, "apply-in-order"),
      apply_committed_(ledger, "apply-is-committed"),
      install_known_(ledger, "snapshot-is-a-known-state"),
      config_from_log_(ledger, "config-is-function-of-log"),
      one_open_config_(ledger, "one-unapplied-config-entry"),
      config_after_own_commit_(ledger, "config-change-after-commit-in-term"),
      read_after_apply_(ledger, "read-sees-all-committed-before"),
      log_keeps_durable_(ledger, "log-recovers-what-was-durable"),
      log_invents_nothing_(ledger, "log-recovers-nothing-else"),
      hard_state_kept_(ledger, "hard-state-recovered"),
      files_bounded_(ledger, "log-files-bounded"),
      vote_while_writing_(ledger, "vote-granted-while-writing"),
      leader_behind_in_commit_(ledger, "leader-elected-behind-in-commit"),
      recovered_interrupted_(ledger, "interrupted-write-recovered"),
      recovered_without_interrupted_(ledger, "interrupted-write-cut"),
      log_replaced_entries_(ledger, "entries-replaced"),
      joint_(ledger, "joint-configuration-in-use"),
      snapshot_in_joint_(ledger, "snapshot-of-joint-configuration") {
  committed_.back() = start;
  committed_.front() = EntryId{};
}

const Member* Checker::MemberOf(MemberId id) const {
  return id.value() < members_->size() ? (*members_)[id.value()] : nullptr;
}

bool Checker::IsQuorum(const Membership& membership, const std::function<bool(MemberId)>& holds) const {
  return HasMajority(membership.voters, holds) &&
         (membership.outgoing_voters.empty() || HasMajority(membership.outgoing_voters, holds));
}

// --- Restarts.

void Checker::OnRecovered(const Member& member, storage::RaftLog& log) {
  if (exempt_.count(member.id()) != 0) return;
  const auto& found = log.recovered();
  const LogMirror& durable = member.durable();
  const auto& batch = member.interrupted();
  const auto read = [&](Index from, Index to) {
    absl::StatusOr<std::vector<Entry>> entries = log.Read(from, to, SIZE_MAX);
    // A read may be made to fail; then there is nothing to compare.
    return entries.ok() ? *std::move(entries) : std::vector<Entry>();
  };
  // A reset that was interrupted, or repeated: the log is empty and begins where the state stands.
  const bool is_reset = found.start.index == found.last && found.start.index > durable.last().index;
  const bool was_reset = member.interrupted_reset() && found.start == *member.interrupted_reset();
  if (was_reset || is_reset) {
    log_invents_nothing_.Require(was_reset, [&] {
      return absl::StrCat(Text(member), " recovered an empty log after ", Text(found.start), " that nobody asked for");
    });
    return;
  }
  // What the log must be: everything durable, or that and all of the write under way.
  LogMirror with_batch = durable;
  if (batch) with_batch.Write(batch->entries);
  const auto equals = [&](const LogMirror& expected) {
    if (found.last != expected.last().index) return false;
    for (const Entry& entry : read(std::max(found.start.index, expected.base().index) + 1, found.last)) {
      const LogMirror::Fact* fact = expected.At(entry.id.index);
      if (fact == nullptr || fact->term != entry.id.term || fact->hash != HashOfEntry(entry)) return false;
    }
    return true;
  };
  const bool is_durable = equals(durable);
  const bool is_with_batch = batch && !batch->entries.empty() && equals(with_batch);
  if (batch && !batch->entries.empty()) {
    recovered_interrupted_.Reached(is_with_batch);
    recovered_without_interrupted_.Reached(!is_with_batch);
  }
  const auto describe = [&] {
    return absl::StrCat(Text(member), " recovered the log ", Text(found.start), "..", found.last.value(), ", but ",
                        Text(durable.base()), "..", Text(durable.last()), " was durable",
                        batch ? absl::StrCat(" and ", batch->entries.size(), " entries were being written") : "");
  };
  log_keeps_durable_.Require(is_durable || is_with_batch || found.last >= durable.last().index, describe);
  log_invents_nothing_.Require(is_durable || is_with_batch, describe);
  const HardState& before = member.durable_hard_state();
  const auto same_promise = [&](const HardState& a) {
    return a.term == found.hard_state.term && a.vote == found.hard_state.vote;
  };
  hard_state_kept_.Require(
      same_promise(before) || (batch && batch->hard_state && same_promise(*batch->hard_state)), [&] {
        return absl::StrCat(Text(member), " recovered term ", found.hard_state.term.value(), " and vote ",
                            found.hard_state.vote.value(), ", but term ", before.term.value(), " and vote ",
                            before.vote.value(), " were durable");
      });
}

void Checker::OnStarted(const Member& member) {
  const HardState& hard_state = member.durable_hard_state();
  const Term term = member.status().term;
  // Term and vote are for all time; the rest begins anew with each start.
  const auto promised = votes_.find({member.id(), hard_state.term});
  if (promised != votes_.end() && exempt_.count(member.id()) == 0) {
    vote_stable_.Require(promised->second == hard_state.vote, [&] {
      return absl::StrCat(Text(member), " forgot its vote of term ", hard_state.term.value());
    });
  }
  Seen& seen = seen_[member.id()];
  // A single voter leads at once. If the crash took even the term, nobody has heard of it, and it may come again.
  if (seen.leads > hard_state.term && exempt_.count(member.id()) == 0) {
    std::erase_if(entries_, [&](const auto& entry) { return entry.first.second == seen.leads; });
    leaders_.erase(seen.leads);
  }
  seen = Seen{};
  seen.term = term;
  seen.vote = term == hard_state.term ? hard_state.vote : raft::kNobody;
  // What it knows to be committed it must have known before.
  const Index commit = member.status().commit;
  for (Index i = member.written().base().index + 1; i <= commit; ++i) {
    const EntryId entry{member.written().TermAt(i).value_or(Term(0)), i};
    commit_agrees_.Require(i.value() < committed_.size() && committed_[i.value()] == entry, [&] {
      return absl::StrCat(Text(member), " starts with ", Text(entry), " as committed, which it is not");
    });
  }
  seen.commit = commit;
}

// --- What is written and said.

void Checker::OnWrite(const Member& member, const raft::AppendWork& work) {
  Seen& seen = seen_[member.id()];
  const LogMirror& log = member.written();
  if (work.hard_state) {
    const HardState& now = *work.hard_state;
    term_monotonic_.Require(now.term >= seen.term, [&] { return absl::StrCat(Text(member), ": the term went back"); });
    vote_stable_.Require(now.term > seen.term || seen.vote == raft::kNobody || now.vote == seen.vote, [&] {
      return absl::StrCat(Text(member), " changed its vote within term ", now.term.value());
    });
    hard_state_within_log_.Require(now.commit <= member.durable().last().index, [&] {
      return absl::StrCat(Text(member), ": durable commit beyond the durable log");
    });
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
      const std::optional<Term> term = log.TermAt(entry.id.index - 1);
      log_matching_.Require(term.has_value(),
                            [&] { return absl::StrCat(Text(member), " wrote ", Text(entry.id), " after a gap"); });
      prev = {*term, entry.id.index - 1};
      log_replaced_entries_.Reached(entry.id.index <= log.last().index);
    }
    if (entry.type == raft::EntryType::kMembership && seen.leads == entry.id.term) {
      // A leader that has committed nothing in its term may not know the configuration it replaces (raft-dev, 2015).
      config_after_own_commit_.Require(log.TermAt(member.status().commit) == entry.id.term, [&] {
        return absl::StrCat(Text(member), " changes the configuration before a commit in its term");
      });
    }
    const EntryFacts facts{prev, HashOfEntry(entry)};
    const auto [it, is_new] = entries_.try_emplace({entry.id.index, entry.id.term}, facts);
    log_matching_.Require(is_new || (it->second.prev == prev && it->second.hash == facts.hash),
                          [&] { return absl::StrCat(Text(member), " wrote another entry ", Text(entry.id)); });
    const uint64_t index = entry.id.index.value();
    if (index < committed_.size()) {
      const bool holds = log.TermAt(entry.id.index) == committed_[index].term;
      committed_stays_.Require(!holds || entry.id == committed_[index], [&] {
        return absl::StrCat(Text(member), " replaced committed ", Text(committed_[index]));
      });
    }
  }
}

void Checker::OnSend(const Member& member, const Message& message) {
  const auto* request = std::get_if<raft::VoteRequest>(&message.body);
  const auto* vote = std::get_if<raft::VoteResponse>(&message.body);
  // A pre-vote promises nothing.
  if ((request != nullptr && request->pre_vote) || (vote != nullptr && vote->pre_vote)) return;
  const HardState& durable = member.durable_hard_state();
  // A damaged log may know of an earlier term than the state does, which is on the disk as well.
  const bool is_exempt = exempt_.count(member.id()) != 0;
  term_durable_.Require(is_exempt || durable.term >= message.term, [&] {
    return absl::StrCat(Text(member), " spoke in term ", message.term.value(), ", which is not on its disk");
  });
  if (request != nullptr) {
    own_vote_durable_.Require(durable.term > message.term || durable.vote == message.from, [&] {
      return absl::StrCat(Text(member), " asked for votes before its own was on disk");
    });
  }
  if (vote != nullptr && vote->granted) {
    const auto [it, is_new] = votes_.try_emplace({message.from, message.term}, message.to);
    one_vote_per_term_.Require(is_new || it->second == message.to, [&] {
      return absl::StrCat(Text(member), " voted for ", Text(it->second), " and for ", Text(message.to), " in term ",
                          message.term.value());
    });
    vote_durable_.Require(durable.term > message.term || durable.vote == message.to,
                          [&] { return absl::StrCat(Text(member), " granted a vote that is not on its disk"); });
    vote_while_writing_.Reached(!member.is_idle());
  }
  const auto* ack = std::get_if<AppendResponse>(&message.body);
  if (ack != nullptr && !ack->rejected) CheckAck(member, message, *ack);
}

void Checker::CheckAck(const Member& member, const Message& message, const AppendResponse& ack) {
  // Durable, and the leader's: unless a later leader had it replaced while the answer waited.
  const LogMirror& durable = member.durable();
  if (member.durable_hard_state().term != message.term || seen_[member.id()].term != message.term) return;
  ack_durable_.Require(ack.index <= durable.last().index, [&] {
    return absl::StrCat(Text(member), " acknowledged ", ack.index.value(), " before it was durable");
  });
  const Member* leader = MemberOf(message.to);
  const Seen& leader_seen = seen_[message.to];
  if (leader == nullptr || leader_seen.leads != message.term || leader_seen.term != message.term) return;
  if (ack.index < leader->written().base().index || ack.index <= durable.base().index) return;
  ack_matches_leader_.Require(durable.TermAt(ack.index) == leader->written().TermAt(ack.index), [&] {
    return absl::StrCat(Text(member), " acknowledged ", ack.index.value(), " but holds another entry there than ",
                        Text(*leader));
  });
}

// --- After every event.

void Checker::OnEvent(const Member& member) {
  const CoreStatus status = member.status();
  Seen& seen = seen_[member.id()];
  term_monotonic_.Require(status.term >= seen.term, [&] { return absl::StrCat(Text(member), ": the term went back"); });
  newest_term_ = std::max(newest_term_, status.term);
  applied_monotonic_.Require(status.applied >= seen.applied && status.applied <= status.commit, [&] {
    return absl::StrCat(Text(member), ": applied ", status.applied.value(), " after ", seen.applied.value(),
                        " with commit ", status.commit.value());
  });
  seen.applied = status.applied;
  if (status.role == Role::kLeader) CheckLeader(member, status);
  CheckCommit(member, status);
  CheckMembership(member, status);
}

void Checker::CheckCommit(const Member& member, const CoreStatus& status) {
  Seen& seen = seen_[member.id()];
  commit_monotonic_.Require(status.commit >= seen.commit,
                            [&] { return absl::StrCat(Text(member), ": commit went back"); });
  if (status.commit == seen.commit) return;
  const LogMirror& log = member.written();
  // A leader that commits its own removal leads no longer when that is seen (Thesis §4.2.2).
  const bool leads = status.role == Role::kLeader || seen.leads == status.term;
  if (leads && seen.leads == status.term && status.commit > seen.commit) {
    commit_in_own_term_.Require(log.TermAt(status.commit) == status.term, [&] {
      return absl::StrCat(Text(member), " committed an entry of an earlier term by counting (Raft fig. 8)");
    });
  }
  for (Index i = std::max(seen.commit, log.base().index) + 1; i <= status.commit; ++i) {
    const EntryId entry{log.TermAt(i).value_or(Term(0)), i};
    if (i.value() < committed_.size()) {
      commit_agrees_.Require(committed_[i.value()] == entry, [&] {
        return absl::StrCat(Text(member), " committed ", Text(entry), " where ", Text(committed_[i.value()]), " is");
      });
      continue;
    }
    commit_agrees_.Require(i.value() == committed_.size(), [&] { return std::string("a gap in what is committed"); });
    commit_by_leader_.Require(
        leads, [&] { return absl::StrCat(Text(member), " knows of a commit before any leader: ", Text(entry)); });
    commit_durable_on_quorum_.Require(
        IsQuorum(status.membership,
                 [&](MemberId id) {
                   const Member* m = MemberOf(id);
                   if (exempt_.count(id) != 0) return true;
                   return m != nullptr && m->durable().Covers(entry);
                 }),
        [&] { return absl::StrCat(Text(member), " committed ", Text(entry), ", which is not durable on a quorum"); });
    committed_.push_back(entry);
    commit_terms_.push_back(status.term);
    if (const Membership* membership = log.MembershipAt(i)) committed_membership_ = *membership;
  }
  seen.commit = status.commit;
}

void Checker::CheckLeader(const Member& member, const CoreStatus& status) {
  Seen& seen = seen_[member.id()];
  const LogMirror& log = member.written();
  const auto [it, is_new] = leaders_.try_emplace(status.term, member.id());
  election_safety_.Require(it->second == member.id(), [&] {
    return absl::StrCat(Text(it->second), " and ", Text(member), " lead term ", status.term.value());
  });
  if (is_new) {
    leader_behind_in_commit_.Reached(status.commit < newest_commit());
    // A member that stood still may count its votes long after, and lead a term that is past.
    for (size_t i = 0; i < committed_.size(); ++i) {
      const EntryId entry = committed_[i];
      if (commit_terms_[i] >= status.term) continue;
      leader_completeness_.Require(log.Covers(entry), [&] {
        return absl::StrCat(Text(member), " leads term ", status.term.value(), " without ", Text(entry));
      });
    }
  }
  if (seen.leads == status.term) {
    leader_append_only_.Require(log.last().index >= seen.leader_last, [&] {
      return absl::StrCat(Text(member), " cut its log in term ", status.term.value());
    });
  }
  seen.leads = status.term;
  seen.leader_last = log.last().index;
  CheckFollowers(member, status);
}

void Checker::CheckFollowers(const Member& member, const CoreStatus& status) {
  const LogMirror& log = member.written();
  for (const raft::FollowerStatus& follower : member.core().followers()) {
    next_above_match_.Require(follower.match < follower.next && follower.match <= log.last().index, [&] {
      return absl::StrCat(Text(member), ": of ", Text(follower.id), " match ", follower.match.value(), ", next ",
                          follower.next.value(), ", own last ", log.last().index.value());
    });
    Index& match = matches_[{status.term, follower.id}];
    match_monotonic_.Require(follower.match >= match, [&] {
      return absl::StrCat(Text(member), ": match of ", Text(follower.id), " went back from ", match.value(), " to ",
                          follower.match.value());
    });
    if (match == follower.match) continue;
    match = follower.match;
    const Member* peer = MemberOf(follower.id);
    if (peer == nullptr || exempt_.count(peer->id()) != 0 || follower.match < log.base().index) continue;
    // In a later term it may have been told to drop what this one had it write.
    if (peer->durable_hard_state().term > status.term) continue;
    match_durable_.Require(peer->durable().Covers({*log.TermAt(follower.match), follower.match}), [&] {
      return absl::StrCat(Text(member), " counts ", follower.match.value(), " on ", Text(follower.id),
                          ", which does not have it durably");
    });
  }
}

void Checker::CheckMembership(const Member& member, const CoreStatus& status) {
  // The newest one in the log, committed or not (Thesis §4.1); without one, the state's.
  const auto newest = member.written().newest_membership();
  const bool from_log = newest && newest->first > member.machine().applied().index;
  const Membership& expected = from_log ? newest->second : member.machine().membership();
  // Between a snapshot's installation in the state and in the log the two speak of different positions.
  if (member.machine().applied().index == status.applied)
    config_from_log_.Require(status.membership == expected, [&] {
      return absl::StrCat(Text(member), " uses another configuration than its log says",
                          from_log ? absl::StrCat(" at ", newest->first.value()) : std::string(" in its state"));
    });
  joint_.Reached(status.membership.is_joint());
  // Whoever proposes one has applied the one before, so anybody's log holds at most one that nobody has committed.
  one_open_config_.Require(member.written().memberships_after(newest_commit()) <= 1, [&] {
    return absl::StrCat(Text(member), " has two configurations that are not committed");
  });
}

// --- The state machine.

void Checker::OnHandedToApply(const Member& member, const raft::ApplyWork& work) {
  apply_durable_.Require(work.last <= member.durable().last().index, [&] {
    return absl::StrCat(Text(member), " was handed ", work.last.value(), " to apply, which is not durable there");
  });
}

void Checker::OnApplied(const Member& member, std::span<const Entry> entries) {
  for (const Entry& entry : entries) {
    const uint64_t index = entry.id.index.value();
    apply_committed_.Require(index < committed_.size() && committed_[index] == entry.id, [&] {
      return absl::StrCat(Text(member), " applied ", Text(entry.id), ", which is not committed");
    });
    const auto written = entries_.find({entry.id.index, entry.id.term});
    apply_committed_.Require(written != entries_.end() && written->second.hash == HashOfEntry(entry), [&] {
      return absl::StrCat(Text(member), " applied ", Text(entry.id), " with other content than was written");
    });
  }
  const EntryId applied = member.machine().applied();
  apply_in_order_.Require(applied == entries.back().id, [&] {
    return absl::StrCat(Text(member), ": the state stands at ", Text(applied), " after applying ",
                        Text(entries.back().id));
  });
  // Where groups end is each member's own affair; hashes are compared where two ends meet.
  if (applied.index.value() >= hashes_.size()) hashes_.resize(applied.index.value() + 1, 0);
  uint64_t& hash = hashes_[applied.index.value()];
  if (hash == 0) hash = member.machine().hash();
  state_machine_safety_.Require(hash == member.machine().hash(), [&] {
    return absl::StrCat("the state of ", Text(member), " differs at ", applied.index.value());
  });
  // A segment that could not be removed is tried again at the next occasion, and those after it wait for it.
  Seen& seen = seen_[member.id()];
  const bool few = member.disk().files() <= FilesMax(member);
  if (few) seen.name_errors = member.disk().name_errors();
  files_bounded_.Require(few || member.disk().name_errors() > seen.name_errors, [&] {
    return absl::StrCat(Text(member), " has ", member.disk().files(), " files for ",
                        member.written().last().index - member.written().base().index, " entries");
  });
}

void Checker::OnInstalled(const Member& member) {
  const EntryId applied = member.machine().applied();
  const uint64_t index = applied.index.value();
  install_known_.Require(index < committed_.size() && committed_[index] == applied, [&] {
    return absl::StrCat(Text(member), " installed a snapshot of ", Text(applied), ", which is not committed");
  });
  snapshot_in_joint_.Reached(member.machine().membership().is_joint());
  const bool known = index < hashes_.size() && hashes_[index] != 0;
  install_known_.Require(!known || hashes_[index] == member.machine().hash(), [&] {
    return absl::StrCat(Text(member), " installed a snapshot of a state that never was, at ", index);
  });
}

void Checker::OnReadAnswered(const Member& member, Index committed_before) {
  read_after_apply_.Require(member.machine().applied().index >= committed_before, [&] {
    return absl::StrCat(Text(member), " answers a read at ", member.machine().applied().index.value(), ", but ",
                        committed_before.value(), " was committed before the read");
  });
}

}  // namespace keel::sim
