// The end of every run: the faults are over, for all or for a majority, and the group must come back to work in bounded
// time.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/sim/cluster.h"

namespace keel::sim {

using raft::MemberId;

void Cluster::EndFaults() {
  world_.Trace("faults end");
  faults_ = false;
  cuts_.End();
  network_.EndMessageFaults();
}

std::set<int> Cluster::Involved() const {
  std::set<int> nodes;
  const auto add = [&](const raft::Membership& membership) {
    for (const auto* ids : {&membership.voters, &membership.outgoing_voters, &membership.learners}) {
      for (const MemberId id : *ids) nodes.insert(static_cast<int>(id.value()));
    }
  };
  add(checker_.committed_membership());
  const auto committed = nodes;
  for (const int node : committed) {
    if (const auto newest = members_[static_cast<size_t>(node)]->written().newest_membership()) {
      if (newest->first > checker_.newest_commit()) add(newest->second);
    }
  }
  return nodes;
}

bool Cluster::IsChanging(const std::set<int>& nodes) const {
  return checker_.committed_membership().is_joint() || std::any_of(nodes.begin(), nodes.end(), [&](int node) {
           const auto newest = members_[static_cast<size_t>(node)]->written().newest_membership();
           return newest && newest->first > checker_.newest_commit();
         });
}

bool Cluster::IsSettled(const std::set<int>& among) const {
  // A leader that has been deposed and does not know it yet may see nothing of a change that others will commit.
  if (IsChanging(among)) return false;
  const int leader = Leader();
  return leader != 0 && members_[static_cast<size_t>(leader)]->status().membership == checker_.committed_membership();
}

std::set<int> Cluster::ChooseCore() {
  const raft::Membership& membership = checker_.committed_membership();
  const std::set<int> involved = Involved();
  std::set<int> usable;
  for (const int node : involved) {
    if (damaged_.count(node) == 0) usable.insert(node);
  }
  std::vector<int> voters;
  for (const MemberId id : membership.voters) {
    if (usable.count(static_cast<int>(id.value())) != 0) voters.push_back(static_cast<int>(id.value()));
  }
  const size_t majority = membership.voters.size() / 2 + 1;
  if (voters.size() < majority) return {};
  // A change that is not committed may need others than what is committed says.
  if (!options_.majority_core || IsChanging(involved)) return usable;
  while (voters.size() > majority) {
    voters.erase(voters.begin() + static_cast<std::ptrdiff_t>(random_.Below(voters.size())));
  }
  return std::set<int>(voters.begin(), voters.end());
}

void Cluster::HealAmong(const std::set<int>& healed) {
  std::string names;
  for (const int a : healed) {
    absl::StrAppend(&names, " ", a);
    for (const int b : healed) {
      cuts_.Set(a, b, true);
      network_.Clog(a, b, 0);
    }
    member(a).EndFaults();
    if (!member(a).is_up()) member(a).Start();
  }
  world_.Trace("healed among", names);
}

void Cluster::ShutOut(const std::set<int>& core) {
  for (int node = 1; node <= nodes(); ++node) {
    if (core.count(node) != 0) continue;
    // It may hear, or speak, but not both: it cannot lead, and must not disturb. Or it ends.
    const uint64_t how = random_.Below(4);
    const bool may_speak = how == 1;
    const bool may_hear = how == 2;
    world_.Trace(node, " is shut out, kind ", how);
    if (how == 0) member(node).Kill();
    for (int m = 1; m <= nodes(); ++m) {
      cuts_.Set(node, m, may_speak);
      cuts_.Set(m, node, may_hear);
    }
  }
}

int Cluster::LeaderAmong(const std::set<int>& among) const {
  int leader = 0;
  raft::Term newest;
  for (const int node : among) {
    const Member& m = *members_[static_cast<size_t>(node)];
    if (!m.is_up()) continue;
    const raft::CoreStatus status = m.status();
    if (status.role == raft::Role::kLeader && status.term > newest) {
      newest = status.term;
      leader = node;
    }
  }
  return leader;
}

bool Cluster::HaveCaughtUp(const std::set<int>& among) const {
  const raft::Index newest = checker_.newest_commit();
  return std::all_of(among.begin(), among.end(), [&](int node) {
    const Member& m = *members_[static_cast<size_t>(node)];
    if (!m.is_up() || m.waiting_reads() != 0) return false;
    const raft::CoreStatus status = m.status();
    return status.commit == newest && status.applied == newest;
  });
}

std::string Cluster::Describe(const std::set<int>& among) const {
  std::string text = absl::StrCat(" (newest commit ", checker_.newest_commit().value(), ";");
  for (const int node : among) {
    const Member& m = *members_[static_cast<size_t>(node)];
    absl::StrAppend(&text, " ", node, ":");
    if (!m.is_up()) {
      absl::StrAppend(&text, m.is_lost() ? " lost" : " down");
      continue;
    }
    const raft::CoreStatus status = m.status();
    absl::StrAppend(&text, " ", raft::RoleName(status.role), " term ", status.term.value(), " log ",
                    status.first.value(), "..", status.last.index.value(), " commit ", status.commit.value(),
                    " applied ", status.applied.value(), " reads ", m.waiting_reads());
  }
  return absl::StrCat(text, ")");
}

void Cluster::CheckRecovery(const std::set<int>& healed, Workload* workload) {
  std::set<int> among = healed;
  // Some worlds allow one entry per round trip, with a read of the disk for each; what was sent before may arrive much
  // later, and elections by chance may have to be repeated.
  const SimTime timeout = election_timeout();
  uint64_t entries = 0;
  for (const int node : among) entries = std::max<uint64_t>(entries, member(node).written().last().index.value());
  const SimTime catch_up = 10 * timeout + 10 * kSecond + static_cast<SimTime>(entries) * 200 * kMillisecond;
  // Copies of an old leader's heartbeats hold elections back for as long as they come.
  const SimTime elect = 20 * timeout + 20 * kSecond + (options_.network.replay > 0 ? kReplayWithin : 0);

  recovers_leader_.Require(world_.RunUntil([&] { return LeaderAmong(among) != 0; }, elect),
                           [&] { return absl::StrCat("no leader although all is well", Describe(among)); });
  recovers_settled_.Require(world_.RunUntil([&] { return IsSettled(among); }, catch_up),
                            [&] { return absl::StrCat("a membership change does not end", Describe(among)); });
  std::erase_if(among, [&](int node) {
    return !checker_.committed_membership().Contains(MemberId(static_cast<uint64_t>(node)));
  });
  for (const int node : among) {
    const raft::Index before = checker_.newest_commit();
    bool proposed = false;
    const auto read = std::make_shared<bool>(false);
    SimTime asked = -timeout;
    const auto ask = [&] {
      Member& m = member(node);
      if (!m.is_up() || world_.now() - asked < 2 * timeout) return;
      // An answer may be lost with a leadership that ends now; clients try again.
      asked = world_.now();
      std::vector<raft::Payload> payloads;
      payloads.emplace_back(workload->Probe());
      proposed |= m.Propose(std::move(payloads)).ok();
      m.Read([read](const absl::Status& status) { *read |= status.ok(); });
    };
    const bool committed = world_.RunUntil(
        [&] {
          ask();
          return proposed && checker_.newest_commit() > before;
        },
        catch_up);
    recovers_progress_.Require(
        committed, [&] { return absl::StrCat("a proposal at ", node, " does not commit", Describe(among)); });
    recovers_reads_.Require(world_.RunUntil(
                                [&] {
                                  if (!*read) ask();
                                  return *read;
                                },
                                catch_up),
                            [&] { return absl::StrCat("a read at ", node, " is not answered", Describe(among)); });
  }
  recovers_catch_up_.Require(world_.RunUntil([&] { return HaveCaughtUp(among); }, catch_up),
                             [&] { return absl::StrCat("not all have caught up", Describe(among)); });

  // What was sent under faults may depose somebody yet; but soon one leader must last, in one term.
  int leader = 0;
  bool lasted = false;
  bool term_lasted = false;
  for (int attempt = 0; attempt < 4 && !term_lasted; ++attempt) {
    leader = LeaderAmong(among);
    const raft::Term term = leader == 0 ? raft::Term(0) : member(leader).status().term;
    world_.RunFor(10 * timeout);
    lasted = leader != 0 && LeaderAmong(among) == leader;
    term_lasted = lasted && member(leader).status().term == term;
  }
  stable_leader_.Require(lasted, [&] { return absl::StrCat("the leader ", leader, " did not last", Describe(among)); });
  term_stands_still_.Require(term_lasted, [&] {
    return absl::StrCat("the term does not stand still under the leader ", leader, Describe(among));
  });
  for (const int node : among) {
    const Member& m = member(node);
    if (!m.is_up() || m.machine().applied() != member(leader).machine().applied()) continue;
    equal_states_.Require(m.machine().hash() == member(leader).machine().hash(), [&] {
      return absl::StrCat("members ", node, " and ", leader, " stand at the same position with different states");
    });
  }
}

}  // namespace keel::sim
