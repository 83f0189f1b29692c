#include "tests/sim/sim_cluster.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/string_view.h"
#include "raft/wire.h"

namespace keel::raft::sim {

template <typename... Args>
void Cluster::Trace(const Args&... args) {
  if (trace_) std::printf("%8lld %s\n", static_cast<long long>(now_), absl::StrCat(args...).c_str());
}

Cluster::Cluster(const SimOptions& options, bool trace)
    : options_(options),
      trace_(trace),
      random_(options.seed),
      checker_(options.members),
      members_(static_cast<size_t>(options.members) + 1),
      disks_(members_.size()),
      cut_(64, 0) {
  for (int id = 1; id <= options_.members; ++id) {
    Start(id);
    if (options_.clock_skew > 0) {
      members_[id].clock_rate = 1 + options_.clock_skew * static_cast<double>(random_.Between(-100, 100)) / 100;
    }
    At(random_.Between(0, kTickUnits), [this, id] { TickMember(id); });
  }
  At(kTickUnits, [this] { WorldTick(); });
}

void Cluster::At(int64_t delay, std::function<void()> action) {
  events_.emplace(std::pair(now_ + delay, sequence_++), std::move(action));
}

void Cluster::AtMember(int id, int64_t delay, std::function<void()> action) {
  At(delay, [this, id, start = members_[id].starts, action = std::move(action)]() mutable {
    Member& member = members_[id];
    if (member.core == nullptr || member.starts != start) return;
    if (member.frozen_until > now_) return AtMember(id, member.frozen_until - now_, std::move(action));
    action();
  });
}

void Cluster::RunTicks(int ticks) {
  const int64_t end = now_ + static_cast<int64_t>(ticks) * kTickUnits;
  while (!events_.empty() && events_.begin()->first.first <= end) {
    auto event = events_.extract(events_.begin());
    now_ = event.key().first;
    ++stats_.events;
    event.mapped()();
  }
  now_ = end;
}

std::string Cluster::Run() {
  try {
    RunTicks(options_.ticks);
    CheckLiveness();
  } catch (const Violation& violation) {
    Trace("VIOLATION ", violation.text);
    return absl::StrCat(violation.text, " (at ", now_, ", event ", stats_.events, ")");
  }
  stats_.committed = checker_.committed().size() - 1;
  return "";
}

// --- Members.

void Cluster::Start(int id) {
  Member& member = members_[id];
  SimDisk& disk = disks_[id];
  ++member.starts;
  member.syncing = member.applying = false;
  member.disk_stalled_until = member.frozen_until = 0;
  member.machine = member.durable_machine;
  member.tasks.clear();
  member.reads.clear();
  member.writes.clear();
  member.offered.reset();
  member.offered_done = nullptr;
  disk.queue.clear();
  disk.written = disk.durable;

  CoreOptions options = options_.core;
  options.id = MemberId(static_cast<uint64_t>(id));
  options.seed = options_.seed * 1000 + next_start_++;
  InitialState initial;
  initial.hard_state = disk.hard_state;
  initial.snapshot = disk.durable.base();
  initial.term_runs = disk.durable.TermRuns();
  initial.last = disk.durable.last().index;
  initial.applied = member.machine.last.index;
  for (int m = 1; m <= options_.members; ++m) initial.membership.voters.push_back(MemberId(static_cast<uint64_t>(m)));
  Trace(id, " starts term=", initial.hard_state.term.value(), " last=", initial.last.value(),
        " applied=", initial.applied.value());
  Checker::Require(initial.applied <= initial.last && initial.applied >= initial.snapshot.index,
                   absl::StrCat("member ", id, ": state machine at ", initial.applied.value(),
                                " is not within its log ", initial.snapshot.index.value(), "..", initial.last.value()));
  Checker::Require(initial.hard_state.commit <= initial.last, "durable commit beyond the durable log");
  checker_.OnStart(options.id, disk);
  member.core = std::make_unique<Core>(options, std::move(initial));
}

void Cluster::Crash(int id) {
  Member& member = members_[id];
  if (member.core == nullptr) return;
  Trace(id, " crashes");
  ++stats_.crashes;
  member.core.reset();
  disks_[id].Crash(random_);
  checker_.OnCrash(MemberId(static_cast<uint64_t>(id)), disks_[id]);
  if (random_.Chance(0.3)) member.durable_machine = member.machine;  // The state machine flushes when it likes.
  // It has executed only what is durable in the log, so that stays true whatever the crash took.
  auto done = std::exchange(member.offered_done, nullptr);
  if (done) done(false);
}

void Cluster::TickMember(int id) {
  Member& member = members_[id];
  const double rate = faults_ ? member.clock_rate : 1;
  At(static_cast<int64_t>(kTickUnits * rate) + random_.Between(-1, 1), [this, id] { TickMember(id); });
  if (member.core == nullptr || member.frozen_until > now_) return;
  Input(id, [](Core& core) { core.Tick(); });
  if (random_.Chance(options_.flush)) member.durable_machine = member.machine;
  if (faults_ && options_.truncate > 0 && random_.Chance(options_.truncate)) {
    const uint64_t durable = member.durable_machine.last.index.value();
    const Index through(durable > options_.log_kept ? durable - options_.log_kept : 0);
    // Only what the core knows to be applied.
    if (through > disks_[id].durable.base().index && through <= member.core->status().applied) {
      Trace(id, " truncates through ", through.value());
      disks_[id].durable.TruncatePrefix(through);
      disks_[id].written.TruncatePrefix(through);
      Input(id, [&](Core& core) { core.OnLogTruncated(through); });
    }
  }
}

void Cluster::Input(int id, const std::function<void(Core&)>& input) {
  input(*members_[id].core);
  Pump(id);
}

void Cluster::Pump(int id) {
  Core& core = *members_[id].core;
  int rounds = 0;
  while (core.HasReady()) {
    Checker::Require(++rounds < 1000, "TakeReady never ends");
    Execute(id, core.TakeReady());
  }
  FinishReads(id);
  checker_.OnEvent(MemberId(static_cast<uint64_t>(id)), core, disks_);
  const CoreStatus status = core.status();
  if (status.role == Role::kLeader && terms_led_.insert(status.term).second) {
    ++stats_.elections;
    Trace(id, " leads term ", status.term.value());
  }
}

void Cluster::Execute(int id, Ready ready) {
  Member& member = members_[id];
  SimDisk& disk = disks_[id];
  SendAll(id, std::move(ready.messages));
  if (ready.append) {
    checker_.OnWrite(MemberId(static_cast<uint64_t>(id)), disk, *ready.append);
    if (trace_ && !ready.append->entries.empty()) {
      Trace(id, " writes ", ready.append->entries.front().id.index.value(), "..",
            ready.append->entries.back().id.index.value(), " term ", ready.append->ticket.term.value());
    }
  }
  if (ready.append || !ready.messages_after_append.empty()) {
    Checker::Require(disk.Queue({std::move(ready.append), std::move(ready.messages_after_append)}),
                     absl::StrCat("member ", id, " wrote entries after a gap"));
    StartSync(id);
  }
  if (ready.apply) {
    Checker::Require(ready.apply->last <= disk.durable.last().index, "apply was handed entries that are not durable");
    member.tasks.push_back({.work = std::move(*ready.apply), .install = std::nullopt});
    StartApply(id);
  }
  if (ready.install) {
    member.tasks.push_back({.work = {}, .install = ready.install});
    StartApply(id);
  }
  for (const FetchWork& fetch : ready.fetches) Fetch(id, fetch);
  for (const SnapshotWork& snapshot : ready.snapshots) SendSnapshot(id, snapshot);
  for (const ReadResult& result : ready.reads) OnReadResult(id, result);
}

// --- Disk and state machine.

void Cluster::StartSync(int id) {
  Member& member = members_[id];
  if (member.syncing || disks_[id].queue.empty()) return;
  member.syncing = true;
  const int64_t stall = std::max<int64_t>(0, member.disk_stalled_until - now_);
  AtMember(id, stall + random_.Between(0, faults_ ? options_.sync_max : 2), [this, id] { FinishSync(id); });
}

void Cluster::FinishSync(int id) {
  Member& member = members_[id];
  SimDisk& disk = disks_[id];
  member.syncing = false;
  // Several writes may share one sync; only the last one's ticket is then told.
  std::optional<AppendTicket> ticket;
  for (uint64_t n = 1 + random_.Below(disk.queue.size()); n > 0; --n) {
    PendingWrite write = disk.CompleteOne();
    if (write.append) ticket = write.append->ticket;
    SendAll(id, std::move(write.messages));
  }
  StartSync(id);
  if (ticket) Input(id, [&](Core& core) { core.OnAppended(*ticket); });
}

void Cluster::StartApply(int id) {
  Member& member = members_[id];
  if (member.applying || member.tasks.empty()) return;
  // An install waits for the log writer.
  if (member.tasks.front().install && !disks_[id].queue.empty()) {
    return AtMember(id, 1, [this, id] { StartApply(id); });
  }
  member.applying = true;
  AtMember(id, random_.Between(0, faults_ ? options_.apply_max : 2), [this, id] { FinishApply(id); });
}

void Cluster::FinishApply(int id) {
  Member& member = members_[id];
  if (member.tasks.front().install && !disks_[id].queue.empty()) {
    return AtMember(id, 1, [this, id] { FinishApply(id); });
  }
  member.applying = false;
  const ApplyTask task = std::move(member.tasks.front());
  member.tasks.pop_front();
  if (task.install) {
    Install(id, *task.install);
  } else {
    ApplyEntries(id, task.work);
    Input(id, [&](Core& core) { core.OnApplied(task.work.last); });
  }
  FinishReads(id);
  StartApply(id);
}

void Cluster::ApplyEntries(int id, const ApplyWork& work) {
  Member& member = members_[id];
  const LogImage& log = disks_[id].durable;
  for (Index i = work.first; i <= work.last; ++i) {
    Checker::Require(i == member.machine.last.index + 1, "apply has a gap or a repeat");
    Checker::Require(i > log.base().index && i <= log.last().index, "entries to apply are not in the log");
    const Entry& entry = work.entries.empty() ? log.At(i) : work.entries.at(i - work.first);
    Checker::Require(entry == log.At(i), "handed entries differ from the log");
    member.machine.last = entry.id;
    member.machine.hash = HashOf(entry.payload.view(), member.machine.hash + static_cast<uint64_t>(entry.type));
    if (entry.type == EntryType::kCommand) ++member.machine.revision;
    checker_.OnApply(MemberId(static_cast<uint64_t>(id)), entry, member.machine);
    const auto write = member.writes.find(std::string(entry.payload.view().substr(0, entry.payload.view().find(' '))));
    if (write != member.writes.end()) {
      checker_.FinishWrite(write->second, member.machine.revision);
      member.writes.erase(write);
      ++stats_.writes;
    }
  }
}

void Cluster::Install(int id, const SnapshotMeta& meta) {
  Member& member = members_[id];
  Checker::Require(member.offered.has_value() && member.offered->last == meta.last, "an install nobody offered");
  Trace(id, " installs ", meta.last.index.value());
  ++stats_.installs;
  member.machine = member.durable_machine = *std::exchange(member.offered, std::nullopt);
  checker_.OnInstall(member.machine);
  // What it skipped may hold its own proposals; their outcome stays unknown.
  disks_[id].durable.Reset(meta.last);
  disks_[id].written.Reset(meta.last);
  Input(id, [&](Core& core) { core.OnSnapshotInstalled(meta); });
  auto done = std::exchange(member.offered_done, nullptr);
  if (done) done(true);
}

void Cluster::Fetch(int id, const FetchWork& work) {
  ++stats_.fetches;
  AtMember(id, random_.Between(0, 5), [this, id, work] {
    const LogImage& log = disks_[id].durable;
    std::vector<Entry> entries;
    size_t bytes = 0;
    for (Index i = work.first; i > log.base().index && i <= std::min(work.last, log.last().index); ++i) {
      bytes += log.At(i).bytes();
      if (!entries.empty() && bytes > work.bytes_max) break;
      entries.push_back(log.At(i));
    }
    Input(id, [&](Core& core) { core.OnFetched(work.follower, std::move(entries)); });
  });
}

void Cluster::SendSnapshot(int id, const SnapshotWork& work) {
  const int to = static_cast<int>(work.follower.value());
  const MachineState state = members_[id].machine;
  const auto report = [this, id, to, start = members_[id].starts, state](bool ok) {
    At(random_.Between(1, 5), [this, id, to, start, state, ok] {
      if (members_[id].core == nullptr || members_[id].starts != start) return;
      Input(id, [&](Core& core) {
        core.OnSnapshotSent(MemberId(static_cast<uint64_t>(to)),
                            ok ? absl::OkStatus() : absl::UnavailableError("transfer failed"), state.last);
      });
    });
  };
  Trace(id, " sends snapshot ", state.last.index.value(), " to ", to);
  if (Lost(id, to)) return report(false);
  At(random_.Between(1, 30), [this, id, to, term = work.term, state, report] {
    Member& receiver = members_[to];
    if (receiver.core == nullptr || receiver.frozen_until > now_ || cut_[Link(id, to)]) return report(false);
    SnapshotMeta meta{.last = state.last, .membership = receiver.core->status().membership};
    bool is_news = false;
    Input(to, [&](Core& core) {
      is_news = core.OfferSnapshot(MemberId(static_cast<uint64_t>(id)), term, meta);
      if (is_news) {
        Checker::Require(!receiver.offered.has_value(), "a second snapshot was accepted during an install");
        receiver.offered = state;
        receiver.offered_done = report;
      }
    });
    if (!is_news) report(receiver.core->status().commit >= state.last.index);
  });
}

// --- Network.

bool Cluster::Lost(int from, int to) { return cut_[Link(from, to)] || (faults_ && random_.Chance(options_.drop)); }

void Cluster::SendAll(int id, std::vector<Message> messages) {
  for (const Message& message : messages) {
    checker_.OnSend(message, disks_[id], disks_.at(message.to.value()));
    Transmit(message);
  }
}

void Cluster::Transmit(const Message& message) {
  const int from = static_cast<int>(message.from.value());
  const int to = static_cast<int>(message.to.value());
  ++stats_.messages;
  if (Lost(from, to)) {
    if (random_.Chance(options_.report_lost)) {
      AtMember(from, 1,
               [this, from, peer = message.to] { Input(from, [&](Core& core) { core.OnUnreachable(peer); }); });
    }
    return;
  }
  raftpb::Message pb;
  EncodeMessage(message, &pb);
  std::string bytes = pb.SerializeAsString();
  const int delay = faults_ ? options_.delay_max : 3;
  if (faults_ && random_.Chance(options_.duplicate)) {
    At(random_.Between(1, 10 * delay), [this, to, bytes] { Deliver(to, bytes); });
  }
  At(random_.Between(1, delay), [this, to, bytes = std::move(bytes)] { Deliver(to, bytes); });
}

void Cluster::Deliver(int id, const std::string& bytes) {
  Member& member = members_[id];
  if (member.core == nullptr) return;
  if (member.frozen_until > now_)
    return AtMember(id, member.frozen_until - now_, [this, id, bytes] { Deliver(id, bytes); });
  raftpb::Message pb;
  Checker::Require(pb.ParseFromString(bytes), "a message does not parse");
  absl::StatusOr<Message> message = DecodeMessage(std::move(pb));
  Checker::Require(message.ok(), "a message does not decode");
  if (trace_) {
    Trace(message->from.value(), "->", id, " ", MessageName(*message), " term ", message->term.value());
  }
  Input(id, [&](Core& core) {
    const absl::Status status = core.Step(std::move(*message));
    Checker::Require(status.ok(),
                     absl::StrCat("a member refused what another sent: ", ToAbsl(std::string(status.ToString()))));
  });
}

// --- Clients.

void Cluster::ClientStep() {
  const int id = static_cast<int>(random_.Between(1, options_.members));
  if (members_[id].core == nullptr || members_[id].frozen_until > now_) return;
  if (random_.Chance(0.5)) {
    Propose(id);
  } else {
    StartRead(id);
  }
}

void Cluster::Propose(int id) {
  std::vector<Payload> payloads;
  std::vector<std::string> names;
  for (uint64_t n = 1 + random_.Below(3); n > 0; --n) {
    names.push_back(absl::StrCat("w", next_write_++));
    std::string bytes = absl::StrCat(names.back(), " ");
    bytes.append(random_.Below(static_cast<uint64_t>(options_.payload_max) + 1), 'x');
    payloads.emplace_back(std::move(bytes));
  }
  Member& member = members_[id];
  const uint64_t started_at = checker_.StartOperation();
  // Registered first: a single member may apply at once.
  for (const std::string& name : names) member.writes.emplace(name, started_at);
  Input(id, [&](Core& core) {
    const absl::Status status = core.Propose(std::move(payloads));
    Checker::Require(status.ok() || absl::IsUnavailable(status) || absl::IsResourceExhausted(status),
                     "Propose failed with another code");
    if (!status.ok()) {
      for (const std::string& name : names) member.writes.erase(name);
    }
  });
}

void Cluster::StartRead(int id) {
  const ReadId read(next_read_++);
  members_[id].reads.emplace(
      read, Read{.started_at = checker_.StartOperation(), .committed = newest_commit(), .index = std::nullopt});
  Input(id, [&](Core& core) { core.ReadIndex(read); });
}

void Cluster::OnReadResult(int id, const ReadResult& result) {
  Member& member = members_[id];
  const auto read = member.reads.find(result.id);
  Checker::Require(read != member.reads.end() && !read->second.index.has_value(), "a read was answered twice");
  if (!result.status.ok()) {
    Checker::Require(absl::IsUnavailable(result.status), "a read failed with another code");
    ++stats_.reads_failed;
    member.reads.erase(read);
    return;
  }
  Checker::Require(result.index >= read->second.committed,
                   absl::StrCat("member ", id, ": read index ", result.index.value(), " is below ",
                                read->second.committed.value(), ", which was committed before the read"));
  read->second.index = result.index;
}

void Cluster::FinishReads(int id) {
  Member& member = members_[id];
  for (auto it = member.reads.begin(); it != member.reads.end();) {
    const Read& read = it->second;
    if (!read.index.has_value() || *read.index > member.machine.last.index) {
      ++it;
      continue;
    }
    checker_.FinishRead(read.started_at, member.machine.revision);
    ++stats_.reads;
    it = member.reads.erase(it);
  }
}

// --- Faults.

void Cluster::WorldTick() {
  At(kTickUnits, [this] { WorldTick(); });
  if (random_.Chance(options_.client)) ClientStep();
  if (!faults_) return;
  const int id = static_cast<int>(random_.Between(1, options_.members));
  if (random_.Chance(options_.crash)) Crash(id);
  if (random_.Chance(options_.power_cut)) {
    for (int m = 1; m <= options_.members; ++m) Crash(m);
  }
  if (random_.Chance(0.1) && members_[id].core == nullptr) Start(id);
  if (random_.Chance(options_.partition)) Partition();
  if (random_.Chance(options_.heal)) Heal();
  const int64_t long_pause = random_.Between(1, 4 * options_.core.election_ticks * kTickUnits);
  if (random_.Chance(options_.disk_stall)) members_[id].disk_stalled_until = now_ + long_pause;
  if (random_.Chance(options_.pause) && members_[id].core != nullptr) {
    members_[id].frozen_until = now_ + long_pause;
    // The first thing it does when it goes on: it has not noticed yet that time has passed.
    AtMember(id, 0, [this, id] { StartRead(id); });
  }
}

void Cluster::Partition() {
  const auto cut_pair = [&](int a, int b) { cut_[Link(a, b)] = cut_[Link(b, a)] = 1; };
  const int n = options_.members;
  const int victim = static_cast<int>(random_.Between(1, n));
  const uint64_t kind = random_.Below(5);
  Trace("partition of kind ", kind, " around ", victim);
  switch (kind) {
    case 0:  // One alone.
      for (int m = 1; m <= n; ++m) cut_pair(victim, m);
      break;
    case 1:  // Halves.
      for (int a = 1; a <= victim; ++a) {
        for (int b = victim + 1; b <= n; ++b) cut_pair(a, b);
      }
      break;
    case 2:  // Two groups that share a bridge.
      for (int a = 1; a <= n; ++a) {
        for (int b = 1; b <= n; ++b) {
          if (a != victim && b != victim && (a < victim) != (b < victim)) cut_pair(a, b);
        }
      }
      break;
    case 3:  // One direction of one link.
      cut_[Link(victim, static_cast<int>(random_.Between(1, n)))] = 1;
      break;
    case 4:  // Hears, but cannot speak; or the reverse.
      for (int m = 1; m <= n; ++m) cut_[random_.Chance(0.5) ? Link(victim, m) : Link(m, victim)] = 1;
      break;
  }
}

void Cluster::Heal() { std::fill(cut_.begin(), cut_.end(), 0); }

void Cluster::StopFaults() {
  Trace("faults end");
  faults_ = false;
  Heal();
  for (int id = 1; id <= options_.members; ++id) {
    members_[id].frozen_until = members_[id].disk_stalled_until = now_;
    if (members_[id].core == nullptr) Start(id);
  }
}

int Cluster::Leader() const {
  int leader = 0;
  Term newest;
  for (int id = 1; id <= options_.members; ++id) {
    if (members_[id].core == nullptr) continue;
    const CoreStatus status = members_[id].core->status();
    if (status.role == Role::kLeader && status.term > newest) {
      newest = status.term;
      leader = id;
    }
  }
  return leader;
}

bool Cluster::RunUntil(const std::function<bool()>& condition, int ticks) {
  for (int tick = 0; tick < ticks; ++tick) {
    if (condition()) return true;
    RunTicks(1);
  }
  return condition();
}

bool Cluster::AllCaughtUp() const {
  for (int id = 1; id <= options_.members; ++id) {
    const Member& member = members_[id];
    const CoreStatus status = member.core->status();
    if (status.commit != newest_commit() || status.applied != newest_commit() || !member.reads.empty()) return false;
  }
  return true;
}

void Cluster::CheckLiveness() {
  StopFaults();
  options_.client = 0;
  // What was sent under faults arrives late; once it has, one leader remains.
  const int timeout = options_.core.election_ticks;
  RunTicks(10 * timeout + 10 * options_.delay_max / kTickUnits);
  Checker::Require(Leader() != 0, "no leader although all is well");
  const CoreStatus leader = members_[Leader()].core->status();
  // Some worlds allow one entry per round trip, and a disk read for each.
  const int catch_up = 4 * timeout + 2 * static_cast<int>(leader.last.index.value());
  for (int id = 1; id <= options_.members; ++id) {
    const Index before = newest_commit();
    Propose(id);
    StartRead(id);
    Checker::Require(RunUntil([&] { return newest_commit() > before; }, catch_up), "a proposal does not commit");
  }
  if (!RunUntil([&] { return AllCaughtUp(); }, catch_up)) {
    std::string text = absl::StrCat("not all caught up with ", newest_commit().value(), ":");
    for (int id = 1; id <= options_.members; ++id) {
      const CoreStatus status = members_[id].core->status();
      absl::StrAppend(&text, " [", id, " commit ", status.commit.value(), " applied ", status.applied.value(),
                      " reads ", members_[id].reads.size(), "]");
    }
    throw Violation{text};
  }
  Checker::Require(Leader() != 0 && members_[Leader()].core->status().term == leader.term, "leadership is not stable");
}

}  // namespace keel::raft::sim
