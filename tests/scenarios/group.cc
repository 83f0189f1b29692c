#include "tests/scenarios/group.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "raft/membership.h"
#include "raft/wire.h"
#include "tests/scenarios/text.h"

namespace keel::raft::scenario {
namespace {

constexpr char kLogDir[] = "/log";
constexpr int kRoundsMax = 20000;

std::string OneLine(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

}  // namespace

Entry StoredEntry(Index index, Term term) {
  return {.id = {term, index},
          .type = EntryType::kCommand,
          .payload = Payload(absl::StrCat("c", index.value(), ".", term.value()))};
}

// --- Members.

absl::Status Group::Add(const NewMember& options) {
  Member& member = members_[options.id];
  member.options = options;
  member.disk = std::make_unique<MemoryDisk>();
  if (!options.blank) member.durable_machine.membership = options.membership;
  std::vector<EntryId> committed;
  for (Index i(1); i <= options.base; ++i) committed.push_back({Term(1), i});
  if (options.base > Index(0) && !options.blank) {
    KEEL_RETURN_IF_ERROR(OpenLog(member));
    member.durable_machine.last = {Term(1), options.base};
    KEEL_RETURN_IF_ERROR(member.log->Append({.hard_state = HardState{.term = Term(1)}, .entries = {}}));
    KEEL_RETURN_IF_ERROR(member.log->ResetTo(member.durable_machine.last));
    member.log.reset();
  }
  if (!options.log.empty()) {
    KEEL_RETURN_IF_ERROR(OpenLog(member));
    StableBatch batch;
    Index index = options.base;
    for (uint64_t term : options.log) {
      ++index;
      batch.entries.push_back(StoredEntry(index, Term(term)));
      if (index > options.commit) continue;
      committed.push_back(batch.entries.back().id);
      member.durable_machine.last = batch.entries.back().id;
      member.durable_machine.commands.emplace_back(batch.entries.back().payload.view());
    }
    batch.hard_state = HardState{
        .term = options.term.value_or(batch.entries.back().id.term), .vote = options.vote, .commit = options.commit};
    KEEL_RETURN_IF_ERROR(member.log->Append(batch));
    member.log.reset();
  }
  oracle_.OnBeginning(committed);
  return Start(member);
}

std::vector<MemberId> Group::ids() const {
  std::vector<MemberId> ids;
  for (const auto& [id, member] : members_) ids.push_back(id);
  return ids;
}

bool Group::IsUp(MemberId id) const {
  const auto it = members_.find(id);
  return it != members_.end() && it->second.core != nullptr;
}

absl::Status Group::OpenLog(Member& member) {
  storage::RaftLogOptions options;
  options.dir = kLogDir;
  options.segment_bytes = options.hasty_segment_bytes = member.options.segment_bytes;
  options.spare_segments = 0;
  options.disk = member.disk.get();
  auto log = storage::RaftLog::Open(options);
  KEEL_RETURN_IF_ERROR(log.status());
  member.log = *std::move(log);
  return absl::OkStatus();
}

absl::Status Group::Start(Member& member) {
  KEEL_RETURN_IF_ERROR(OpenLog(member));
  const storage::RaftLog::Recovered& found = member.log->recovered();
  member.machine = member.durable_machine;
  if (member.machine.last.index > found.last) {
    return absl::DataLossError(absl::StrCat("the state machine stands at ", Text(member.machine.last.index),
                                            " but the log ends at ", Text(found.last)));
  }
  member.hard_state = found.hard_state;
  member.durable.Reset(found.start);
  if (found.last > found.start.index) {
    auto entries = member.log->Read(found.start.index + 1, found.last, SIZE_MAX);
    KEEL_RETURN_IF_ERROR(entries.status());
    member.durable.Write(*entries);
  }
  member.written = member.durable;
  member.writes.clear();
  member.applies.clear();
  member.fetches.clear();
  member.install.reset();
  member.offered.reset();
  member.reads.clear();
  member.committed_before.clear();
  member.held.clear();

  InitialState initial;
  initial.hard_state = found.hard_state;
  initial.snapshot = found.start;
  initial.term_runs = found.term_runs;
  initial.last = found.last;
  initial.applied = member.machine.last.index;
  initial.membership = member.machine.membership;
  initial.memberships = found.memberships;
  CoreOptions options = member.options.core;
  options.id = member.options.id;
  options.seed = 1000 * next_start_++;
  ++member.starts;
  oracle_.OnStart(member.options.id, found.hard_state);
  member.core = std::make_unique<Core>(options, std::move(initial));
  if (found.torn_bytes > 0) {
    Note(absl::StrCat(Text(member.options.id), " cuts ", found.torn_bytes, " torn bytes off its log"));
  }
  Drain(member);
  return absl::OkStatus();
}

void Group::Input(MemberId id, const std::function<void(Core&)>& input) {
  Member& member = members_.at(id);
  input(*member.core);
  Drain(member);
}

void Group::Read(MemberId id, const std::string& name) {
  Member& member = members_.at(id);
  const ReadId read(next_read_++);
  member.reads[read] = name;
  member.committed_before[read] = oracle_.CommittedNow();
  Input(id, [&](Core& core) { core.ReadIndex(read); });
}

void Group::Drain(Member& member) {
  int rounds = 0;
  while (member.core->HasReady()) {
    KEEL_CHECK_LT(++rounds, kRoundsMax) << "TakeReady never ends";
    Execute(member, member.core->TakeReady());
  }
  std::map<MemberId, const LogImage*> all;
  for (const auto& [id, other] : members_) all[id] = &other.durable;
  oracle_.OnStep(ViewOf(member), all);
  NoteChange(member);
}

void Group::Execute(Member& member, Ready ready) {
  const MemberId id = member.options.id;
  Send(member, ready.messages);
  if (ready.append) {
    oracle_.OnWrite(id, member.written, ready.append->hard_state, ready.append->entries);
    member.written.Write(ready.append->entries);
  }
  if (ready.append || !ready.messages_after_append.empty()) {
    member.writes.push_back({std::move(ready.append), std::move(ready.messages_after_append)});
  }
  if (ready.apply) member.applies.push_back(std::move(*ready.apply));
  if (ready.install) member.install = ready.install;
  for (const FetchWork& fetch : ready.fetches) member.fetches.push_back(fetch);
  for (const SnapshotWork& work : ready.snapshots) {
    network_.push_back({next_parcel_++, id, work.follower, Snapshot{work.term, member.machine}});
    if (show_messages_) Note(Text(network_.back()));
  }
  for (const ReadResult& read : ready.reads) {
    const std::string name = member.reads.at(read.id);
    if (read.status.ok()) {
      oracle_.OnRead(id, member.committed_before.at(read.id), read.index);
      Note(absl::StrCat(Text(id), " answers read ", name, " at index ", Text(read.index)));
    } else {
      Note(absl::StrCat(Text(id), " fails read ", name, ": ", OneLine(read.status)));
    }
    member.reads.erase(read.id);
    member.committed_before.erase(read.id);
  }
}

void Group::Send(const Member& member, const std::vector<Message>& messages) {
  for (const Message& message : messages) {
    oracle_.OnSend(message, ViewOf(member));
    network_.push_back({next_parcel_++, message.from, message.to, message});
    if (show_messages_) Note(Text(message));
  }
}

View Group::ViewOf(const Member& member) const {
  return {.status = member.core->status(),
          .written = &member.written,
          .durable = &member.durable,
          .membership = &member.machine.membership,
          .hard_state = member.hard_state,
          .is_installing = member.install.has_value() || member.offered.has_value(),
          .followers = member.core->followers()};
}

void Group::NoteChange(Member& member) {
  const CoreStatus status = member.core->status();
  // Of several changes within one command only the last is of interest.
  const auto note = [&](std::string* last, const std::string& verb, const std::string& now) {
    if (now == *last) return;
    *last = now;
    const std::string prefix = absl::StrCat(Text(member.options.id), " ", verb, " ");
    std::erase_if(notes_, [&](const std::string& earlier) { return earlier.rfind(prefix, 0) == 0; });
    Note(prefix + now);
  };
  note(&member.summary, "is", Text(status));
  note(&member.membership, "counts", Text(status.membership));
}

// --- Disk and state machine.

bool Group::Sync(MemberId id, size_t n) {
  Member& member = members_.at(id);
  for (; n > 0 && !member.writes.empty(); --n) {
    Write write = std::move(member.writes.front());
    member.writes.pop_front();
    if (write.append) {
      const absl::Status status =
          member.log->Append({.hard_state = write.append->hard_state, .entries = write.append->entries});
      if (!status.ok()) {
        // What the disk holds is unknown from here on; the process ends.
        Note(absl::StrCat(Text(id), " stops: ", OneLine(status)));
        Crash(id);
        return false;
      }
      if (write.append->hard_state) member.hard_state = *write.append->hard_state;
      member.durable.Write(write.append->entries);
    }
    Send(member, write.messages);
    if (write.append) Input(id, [&](Core& core) { core.OnAppended(write.append->ticket); });
  }
  return true;
}

void Group::Apply(MemberId id) {
  Member& member = members_.at(id);
  while (!member.applies.empty()) {
    const ApplyWork work = std::move(member.applies.front());
    member.applies.pop_front();
    for (Index i = work.first; i <= work.last; ++i) {
      const Entry& entry = member.durable.At(i);
      if (!work.entries.empty()) KEEL_CHECK(work.entries.at(i - work.first) == entry) << "handed another entry";
      KEEL_CHECK_EQ(i, member.machine.last.index + 1) << "apply has a gap or a repeat";
      oracle_.OnApply(id, entry);
      member.machine.last = entry.id;
      if (entry.type == EntryType::kCommand) member.machine.commands.emplace_back(entry.payload.view());
      if (entry.type == EntryType::kMembership) {
        member.machine.membership = DecodeMembershipEntry(entry.payload.view())->membership;
      }
    }
    Input(id, [&](Core& core) { core.OnApplied(work.last); });
  }
}

void Group::Install(MemberId id) {
  Member& member = members_.at(id);
  if (!member.install) return;
  const SnapshotMeta meta = *std::exchange(member.install, std::nullopt);
  KEEL_CHECK(member.offered.has_value() && member.offered->last == meta.last) << "an install nobody offered";
  member.applies.clear();
  member.machine = member.durable_machine = *std::exchange(member.offered, std::nullopt);
  KEEL_CHECK_OK(member.log->ResetTo(meta.last));
  member.durable.Reset(meta.last);
  member.written.Reset(meta.last);
  Note(absl::StrCat(Text(id), " installs the snapshot ", Text(meta.last)));
  Input(id, [&](Core& core) { core.OnSnapshotInstalled(meta); });
  ReportSnapshot(member.offered_by, id, absl::OkStatus(), meta.last);
}

void Group::Fetch(MemberId id) {
  Member& member = members_.at(id);
  while (!member.fetches.empty()) {
    const FetchWork work = member.fetches.front();
    member.fetches.pop_front();
    auto entries = member.log->Read(work.first, work.last, work.bytes_max);
    if (!entries.ok()) entries = std::vector<Entry>();
    Input(id, [&](Core& core) { core.OnFetched(work.follower, *std::move(entries)); });
  }
}

void Group::Flush(MemberId id) {
  Member& member = members_.at(id);
  member.durable_machine = member.machine;
}

void Group::Truncate(MemberId id, Index through) {
  Member& member = members_.at(id);
  KEEL_CHECK_OK(member.log->TruncatePrefix(through));
  member.durable.TruncatePrefix(through);
  member.written.TruncatePrefix(through);
  Input(id, [&](Core& core) { core.OnLogTruncated(through); });
}

void Group::Crash(MemberId id, std::optional<size_t> torn) {
  Member& member = members_.at(id);
  if (torn && !member.writes.empty() && member.writes.front().append) {
    const AppendWork& work = *member.writes.front().append;
    member.disk->TearNextWrite(*torn);
    (void)member.log->Append({.hard_state = work.hard_state, .entries = work.entries}).ok();
  }
  member.core.reset();
  member.log.reset();
  member.disk->Crash();
  member.writes.clear();
  member.summary.clear();
  member.membership.clear();
  if (member.offered) {
    ReportSnapshot(member.offered_by, id, absl::UnavailableError("the receiver went away"), {});
    member.offered.reset();
  }
}

absl::Status Group::Restart(MemberId id) { return Start(members_.at(id)); }

void Group::Wipe(MemberId id) {
  Member& member = members_.at(id);
  if (member.core != nullptr) Crash(id);
  member.disk->Wipe();
  oracle_.OnWipe(id);
  member.durable = member.written = LogImage();
  member.hard_state = {};
  member.durable_machine = {};
}

// --- Network.

std::optional<Parcel> Group::Take(uint64_t number) {
  const auto it = std::find_if(network_.begin(), network_.end(), [&](const Parcel& p) { return p.number == number; });
  if (it == network_.end()) return std::nullopt;
  Parcel parcel = std::move(*it);
  network_.erase(it);
  return parcel;
}

void Group::Duplicate(const Parcel& parcel) {
  network_.push_back(parcel);
  network_.back().number = next_parcel_++;
}

void Group::SetLink(MemberId from, MemberId to, bool up) {
  if (up) {
    cut_.erase({from, to});
  } else {
    cut_.insert({from, to});
  }
}

void Group::Deliver(Parcel parcel) {
  const bool lost = cut_.contains({parcel.from, parcel.to}) || !IsUp(parcel.to);
  if (Snapshot* snapshot = std::get_if<Snapshot>(&parcel.what)) {
    if (lost) return ReportSnapshot(parcel.from, parcel.to, absl::UnavailableError("not reached"), {});
    return DeliverSnapshot(members_.at(parcel.to), parcel.from, std::move(*snapshot));
  }
  if (lost) return;
  raftpb::Message pb;
  EncodeMessage(std::get<Message>(parcel.what), &pb);
  absl::StatusOr<Message> message = DecodeMessage(std::move(pb));
  KEEL_CHECK_OK(message.status());
  absl::Status status;
  Input(parcel.to, [&](Core& core) { status = core.Step(*std::move(message)); });
  if (!status.ok()) Note(absl::StrCat(Text(parcel.to), " refuses: ", OneLine(status)));
}

void Group::DeliverSnapshot(Member& to, MemberId from, Snapshot snapshot) {
  const SnapshotMeta meta{.last = snapshot.state.last, .membership = snapshot.state.membership};
  bool is_news = false;
  // Before the core speaks: it may ask for the install at once.
  const std::optional<Machine> before = to.offered;
  Input(to.options.id, [&](Core& core) {
    is_news = core.OfferSnapshot(from, snapshot.term, meta);
    if (!is_news) return;
    KEEL_CHECK(!before.has_value()) << "a second snapshot was accepted during an install";
    to.offered = std::move(snapshot.state);
    to.offered_by = from;
  });
  if (is_news) return;
  Note(absl::StrCat(Text(to.options.id), " ignores the snapshot ", Text(meta.last), " of ", Text(from)));
  const bool has_it = to.core->status().commit >= meta.last.index;
  ReportSnapshot(from, to.options.id, has_it ? absl::OkStatus() : absl::UnavailableError("not wanted"), meta.last);
}

void Group::ReportSnapshot(MemberId sender, MemberId to, const absl::Status& status, EntryId last) {
  if (!IsUp(sender)) return;
  Input(sender, [&](Core& core) { core.OnSnapshotSent(to, status, last); });
}

// --- A healthy world.

bool Group::WorkOn(Member& member) {
  if (member.core == nullptr || member.held.contains(Held::kAll)) return false;
  const MemberId id = member.options.id;
  bool worked = false;
  if (!member.held.contains(Held::kDisk)) {
    worked |= !member.writes.empty() || !member.fetches.empty();
    if (!Sync(id)) return true;
    Fetch(id);
    if (member.install) {
      worked = true;
      Install(id);
    }
  }
  if (!member.held.contains(Held::kApply) && !member.applies.empty()) {
    worked = true;
    Apply(id);
  }
  return worked;
}

void Group::Stabilize(const std::set<MemberId>& only) {
  const auto takes_part = [&](MemberId id) {
    const auto it = members_.find(id);
    return (only.empty() || only.contains(id)) && !(it != members_.end() && it->second.held.contains(Held::kAll));
  };
  for (int rounds = 0;; ++rounds) {
    KEEL_CHECK_LT(rounds, kRoundsMax) << "the group never settles";
    bool worked = false;
    for (auto& [id, member] : members_) {
      if (takes_part(id)) worked |= WorkOn(member);
    }
    const auto next = std::find_if(network_.begin(), network_.end(),
                                   [&](const Parcel& p) { return takes_part(p.from) && takes_part(p.to); });
    if (next != network_.end()) {
      worked = true;
      Deliver(*Take(next->number));
    }
    if (!worked || !oracle_.violation().empty()) return;
  }
}

void Group::Run(int rounds) {
  for (; rounds > 0 && oracle_.violation().empty(); --rounds) {
    for (auto& [id, member] : members_) {
      if (member.core == nullptr || member.held.contains(Held::kTicks) || member.held.contains(Held::kAll)) continue;
      Input(id, [](Core& core) { core.Tick(); });
    }
    Stabilize();
  }
}

MemberId Group::leader() const {
  MemberId leader = kNobody;
  Term newest;
  for (const auto& [id, member] : members_) {
    if (member.core == nullptr) continue;
    const CoreStatus status = member.core->status();
    if (status.role != Role::kLeader || status.term <= newest) continue;
    leader = id;
    newest = status.term;
  }
  return leader;
}

std::vector<std::string> Group::TakeNotes() { return std::exchange(notes_, {}); }

}  // namespace keel::raft::scenario
