#include "tests/explorer/member.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "raft/fingerprint.h"
#include "raft/membership.h"
#include "raft/wire.h"
#include "tests/scenarios/text.h"

namespace keel::explorer {
namespace {

constexpr int kElectionTicks = 3;

std::vector<raft::MembershipRecord> MembershipsIn(const LogImage& log) {
  std::vector<raft::MembershipRecord> records;
  for (const Entry& entry : log.entries()) {
    if (entry.type != EntryType::kMembership) continue;
    auto decoded = raft::DecodeMembershipEntry(entry.payload.view());
    KEEL_CHECK_OK(decoded);
    records.push_back({entry.id.index, std::move(decoded->membership), raft::Payload(std::move(decoded->context))});
  }
  return records;
}

std::string Bytes(const Parcel& parcel) {
  if (const auto* message = std::get_if<Message>(&parcel.what)) {
    raftpb::Message pb;
    raft::EncodeMessage(*message, &pb);
    return pb.SerializeAsString();
  }
  std::string bytes = "snapshot";
  raft::Fingerprint sink(&bytes);
  sink(parcel.from, parcel.to, parcel.term, std::get<SnapshotMeta>(parcel.what));
  return bytes;
}

}  // namespace

std::string Text(const Parcel& parcel) {
  if (const auto* message = std::get_if<Message>(&parcel.what)) return raft::scenario::Text(*message);
  const SnapshotMeta& meta = std::get<SnapshotMeta>(parcel.what);
  return absl::StrCat(parcel.from.value(), "->", parcel.to.value(), " term=", parcel.term.value(),
                      " Snapshot last=", raft::scenario::Text(meta.last),
                      " members=", raft::scenario::Text(meta.membership));
}

Members::Members(const World& world) : world_(world) {}

std::unique_ptr<Core> Members::Start(const Member& member, MemberId id) const {
  raft::CoreOptions options;
  options.id = id;
  options.seed = 7;
  options.election_ticks = kElectionTicks;
  options.append_bytes_max = 1;  // One entry a message.
  options.cached_log_bytes_max = 1 << 20;
  raft::InitialState initial;
  initial.hard_state = member.hard_state;
  initial.snapshot = member.durable.base();
  initial.term_runs = member.durable.TermRuns();
  initial.last = member.durable.last().index;
  initial.applied = member.machine.applied.index;
  initial.membership = member.machine.membership;
  initial.memberships = MembershipsIn(member.durable);
  return std::make_unique<Core>(options, std::move(initial));
}

Number Members::First(MemberId id) {
  const World::Start& start = world_.members[id.value() - 1];
  auto member = std::make_unique<Member>();
  std::vector<Entry> entries;
  const bool is_founder = std::count(world_.voters.begin(), world_.voters.end(), id.value()) > 0;
  for (size_t i = 0; i < start.log.size(); ++i) {
    const EntryId entry{Term(start.log[i]), Index(i + 1)};
    entries.push_back({.id = entry,
                       .type = EntryType::kCommand,
                       .payload = raft::Payload(absl::StrCat("c", i + 1, ".", start.log[i]))});
    if (i < start.commit) member->machine.applied = entry;
  }
  member->hard_state = {.term = Term(start.term), .vote = MemberId(start.vote), .commit = Index(start.commit)};
  if (is_founder) {
    for (uint64_t voter : world_.voters) member->machine.membership.voters.emplace_back(voter);
    if (world_.base > 0) {
      member->machine.applied = {Term(1), Index(world_.base)};
      member->hard_state = {.term = Term(1)};
      member->durable.Reset(member->machine.applied);
    }
  }
  member->durable.Write(entries);
  member->written = member->durable;
  member->durable_machine = member->machine;
  member->core = Start(*member, id);
  std::vector<Number> sent;
  Settle(member.get(), &sent);
  KEEL_CHECK(sent.empty());
  return Keep(std::move(member));
}

std::unique_ptr<Member> Members::Copy(const Member& member) const {
  auto copy = std::make_unique<Member>();
  copy->core = member.core->Clone();
  copy->hard_state = member.hard_state;
  copy->durable = member.durable;
  copy->written = member.written;
  copy->writes = member.writes;
  copy->machine = member.machine;
  copy->durable_machine = member.durable_machine;
  return copy;
}

const Members::Step& Members::Do(Number from, Input input, Number argument) {
  const uint64_t key = (uint64_t{from} << 32) | (uint64_t{static_cast<uint8_t>(input)} << 28) | argument;
  if (const auto known = steps_.find(key); known != steps_.end()) return known->second;
  ++executed_;
  std::unique_ptr<Member> member = Copy(at(from));
  const MemberId id = at(from).status.id;
  Step step;
  switch (input) {
    case Input::kDeliver: {
      const Parcel parcel = parcels_[argument];
      if (const auto* message = std::get_if<Message>(&parcel.what)) {
        (void)member->core->Step(*message).ok();  // What it refuses changes nothing.
      } else {
        const SnapshotMeta& meta = std::get<SnapshotMeta>(parcel.what);
        if (member->core->OfferSnapshot(parcel.from, parcel.term, meta)) {
          while (!member->writes.empty()) SyncOne(member.get(), &step.sent);
          Settle(member.get(), &step.sent);
        }
      }
      break;
    }
    case Input::kTimeout:
      PassTime(member.get(), &step.sent);
      break;
    case Input::kBeat:
      member->core->Tick();
      break;
    case Input::kSync:
      SyncOne(member.get(), &step.sent);
      break;
    case Input::kCrash:
      member->writes.clear();
      member->written = member->durable;
      member->machine = member->durable_machine;
      member->core = Start(*member, id);
      break;
    case Input::kPropose:
      (void)member->core->Propose({raft::Payload(absl::StrCat("x", argument))}).ok();
      break;
    case Input::kChange:
      (void)member->core->ProposeMembership(world_.change, raft::Payload()).ok();
      break;
    case Input::kSnapshot:
      member->durable_machine = member->machine;
      member->durable.TruncatePrefix(member->machine.applied.index);
      member->written.TruncatePrefix(member->machine.applied.index);
      member->core->OnLogTruncated(member->machine.applied.index);
      break;
  }
  Settle(member.get(), &step.sent);
  step.member = Keep(std::move(member));
  return steps_.emplace(key, std::move(step)).first->second;
}

// Until it asks for votes or, a leader, gives up; what it says before that is lost on the way.
void Members::PassTime(Member* member, std::vector<Number>* sent) {
  const Role before = member->core->status().role;
  for (int i = 0; i < 10 * kElectionTicks; ++i) {
    member->core->Tick();
    std::vector<Number> said;
    Settle(member, &said);
    const bool asks = std::any_of(said.begin(), said.end(), [&](Number n) {
      const auto* message = std::get_if<Message>(&parcels_[n].what);
      return message != nullptr && std::holds_alternative<raft::VoteRequest>(message->body);
    });
    if (!asks && (before != Role::kLeader || member->core->status().role == Role::kLeader)) continue;
    if (before == Role::kLeader || !world_.quick_votes) {
      sent->insert(sent->end(), said.begin(), said.end());
      return;
    }
    const CoreStatus status = member->core->status();
    for (MemberId voter : status.membership.voters) {
      if (voter == status.id || member->core->status().role != Role::kPreCandidate) continue;
      (void)member->core
          ->Step({.from = voter,
                  .to = status.id,
                  .term = status.term + 1,
                  .body = raft::VoteResponse{.granted = true, .pre_vote = true}})
          .ok();
    }
    return;
  }
}

void Members::Settle(Member* member, std::vector<Number>* sent) {
  Core& core = *member->core;
  const MemberId id = core.status().id;
  int rounds = 0;
  for (;;) {
    if (!core.HasReady()) {
      if (world_.slow_disks || member->writes.empty()) return;
      SyncOne(member, sent);
      continue;
    }
    KEEL_CHECK_LT(++rounds, 1000) << "TakeReady never ends";
    raft::Ready ready = core.TakeReady();
    for (Message& message : ready.messages) {
      sent->push_back(Keep({message.from, message.to, message.term, std::move(message)}));
    }
    if (ready.append || !ready.messages_after_append.empty()) {
      Member::Write write;
      if (ready.append) member->written.Write(ready.append->entries);
      write.append = std::move(ready.append);
      for (Message& message : ready.messages_after_append) {
        write.parcels.push_back(Keep({message.from, message.to, message.term, std::move(message)}));
      }
      member->writes.push_back(std::move(write));
    }
    if (ready.apply) {
      for (Index i = ready.apply->first; i <= ready.apply->last; ++i) {
        const Entry& entry = member->durable.At(i);
        KEEL_CHECK_EQ(i, member->machine.applied.index + 1) << "apply has a gap or a repeat";
        member->machine.applied = entry.id;
        if (entry.type == EntryType::kMembership) {
          member->machine.membership = raft::DecodeMembershipEntry(entry.payload.view())->membership;
        }
      }
      core.OnApplied(ready.apply->last);
    }
    for (const raft::FetchWork& fetch : ready.fetches) {
      std::vector<Entry> entries;
      if (fetch.first > member->durable.base().index && fetch.first <= member->durable.last().index) {
        entries.push_back(member->durable.At(fetch.first));
      }
      core.OnFetched(fetch.follower, std::move(entries));
    }
    for (const raft::SnapshotWork& work : ready.snapshots) {
      const SnapshotMeta meta{.last = member->machine.applied, .membership = member->machine.membership};
      sent->push_back(Keep({id, work.follower, work.term, meta}));
      core.OnSnapshotSent(work.follower, absl::OkStatus(), meta.last);
    }
    if (ready.install) Install(member, *ready.install);
  }
}

void Members::SyncOne(Member* member, std::vector<Number>* sent) {
  if (member->writes.empty()) return;
  Member::Write write = std::move(member->writes.front());
  member->writes.pop_front();
  if (write.append) {
    if (write.append->hard_state) member->hard_state = *write.append->hard_state;
    member->durable.Write(write.append->entries);
  }
  sent->insert(sent->end(), write.parcels.begin(), write.parcels.end());
  if (write.append) member->core->OnAppended(write.append->ticket);
}

void Members::Install(Member* member, const SnapshotMeta& meta) {
  member->machine = member->durable_machine = {.applied = meta.last, .membership = meta.membership};
  member->durable.Reset(meta.last);
  member->written.Reset(meta.last);
  member->core->OnSnapshotInstalled(meta);
}

Number Members::Keep(std::unique_ptr<Member> member) {
  member->status = member->core->status();
  member->followers = member->core->followers();
  std::string bytes;
  raft::Fingerprint sink(&bytes);
  sink(member->status.id);
  member->core->AppendFingerprint(&bytes);
  sink(member->hard_state, member->durable.base(), member->durable.entries(), member->written.base(),
       member->written.entries(), member->writes.size());
  for (const Member::Write& write : member->writes) {
    sink(write.append.has_value());
    if (write.append) {
      sink(write.append->hard_state, write.append->entries, write.append->ticket.generation, write.append->ticket.last,
           write.append->ticket.term);
    }
    sink(write.parcels);
  }
  for (const Machine& machine : {member->machine, member->durable_machine}) sink(machine.applied, machine.membership);
  const auto [it, is_new] = numbers_.try_emplace(std::move(bytes), static_cast<Number>(members_.size()));
  if (is_new) members_.push_back(std::move(member));
  return it->second;
}

Number Members::Keep(Parcel parcel) {
  const auto [it, is_new] = parcel_numbers_.try_emplace(Bytes(parcel), static_cast<Number>(parcels_.size()));
  if (is_new) parcels_.push_back(std::move(parcel));
  return it->second;
}

}  // namespace keel::explorer
