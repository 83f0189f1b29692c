#include "tests/sim/member.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "raft/log_writer.h"
#include "server/reconcile.h"

namespace keel::sim {
namespace {

using raft::Entry;
using raft::Index;
using raft::MemberId;

constexpr char kLogDir[] = "log";
// A rolled segment and a recycled one take about this many operations of the disk.
constexpr uint64_t kOperationsOfOneWrite = 12;

// What matters of a message, for the trace.
std::string Describe(const raft::MessageBody& body) {
  if (const auto* append = std::get_if<raft::AppendRequest>(&body)) {
    return absl::StrCat(" after ", append->prev.index.value(), "@", append->prev.term.value(), " entries ",
                        append->entries.size(), " commit ", append->commit.value());
  }
  if (const auto* ack = std::get_if<raft::AppendResponse>(&body)) {
    return absl::StrCat(
        ack->rejected ? " rejects " : " accepts ", ack->index.value(),
        ack->rejected ? absl::StrCat(" hint ", ack->hint.index.value(), "@", ack->hint.term.value()) : std::string());
  }
  if (const auto* request = std::get_if<raft::VoteRequest>(&body)) {
    return absl::StrCat(request->pre_vote ? " pre-vote" : "", request->transfer ? " transfer" : "", " last ",
                        request->last.index.value(), "@", request->last.term.value());
  }
  if (const auto* vote = std::get_if<raft::VoteResponse>(&body)) {
    return absl::StrCat(vote->pre_vote ? " pre-vote" : "", vote->granted ? " granted" : " refused");
  }
  if (const auto* beat = std::get_if<raft::Heartbeat>(&body))
    return absl::StrCat(" commit ", beat->commit.index.value());
  return "";
}

}  // namespace

Member::Member(World* world, Ledger* ledger, const SimOptions* options, MemberId id, std::unique_ptr<Machine> machine,
               MemberHost* host)
    : world_(*world),
      ledger_(*ledger),
      options_(*options),
      id_(id),
      host_(*host),
      random_(world->Stream(absl::StrCat("member ", id.value()))),
      machine_(std::move(machine)),
      disk_(random_.Next(), ledger) {
  if (options->clock_skew > 0) {
    clock_rate_ = 1 + options->clock_skew * static_cast<double>(random_.Between(-100, 100)) / 100;
  }
  if (options->broken_rule == BrokenRule::kSyncDoesNothing) disk_.SkipSyncs();
}

Member::~Member() = default;

// --- Life.

void Member::Start() {
  if (is_up() || lost_) return;
  ++life_;
  paused_until_ = stalled_until_ = 0;
  if (const absl::Status status = Open(); !status.ok()) {
    world_.Trace(node(), " cannot start: ", status.ToString());
    core_.reset();
    log_.reset();
    if (absl::IsDataLoss(status)) {
      lost_ = true;
      host_.OnLost(*this, status);
      return;
    }
    // What failed may work the next time; a supervisor would try again.
    ++ledger_.totals["failed starts"];
    disk_.Restart();
    world_.At(random_.Between(100 * kMillisecond, 2 * kSecond), [this, life = life_] {
      if (life_ == life && !is_up()) Start();
    });
    return;
  }
  const raft::CoreStatus status = core_->status();
  world_.Trace(node(), " starts: term ", status.term.value(), " log ", status.first.value(), "..",
               status.last.index.value(), " applied ", status.applied.value());
  host_.OnStarted(*this);
  After(random_.Between(0, options_.tick), [this] { Tick(); });
  // Alone, there is nobody to wait for.
  if (status.membership.voters == std::vector<MemberId>{id_} && !status.membership.is_joint()) {
    Input([](raft::Core& core) { core.Campaign(); });
  } else {
    Pump();
  }
}

absl::Status Member::Open() {
  const storage::RaftLogOptions log_options{.dir = kLogDir,
                                            .segment_bytes = options_.segment_bytes,
                                            .hasty_segment_bytes = options_.segment_bytes,
                                            .spare_segments = options_.spare_segments,
                                            .spare_work = storage::SpareWork::kByCaller,
                                            .disk = &disk_};
  KEEL_RETURN_IF_ERROR(machine_->Recover());
  KEEL_ASSIGN_OR_RETURN(log_, storage::RaftLog::Open(log_options));
  host_.OnRecovered(*this, *log_);
  const raft::EntryId applied = machine_->applied();
  KEEL_ASSIGN_OR_RETURN(
      server::Reconciled reconciled,
      server::Reconcile(log_->recovered(), {.index = applied.index.value(), .term = applied.term.value()},
                        machine_->membership()));
  if (reconciled.reset_log) {
    interrupted_reset_ = reconciled.initial.snapshot;
    KEEL_RETURN_IF_ERROR(log_->ResetTo(reconciled.initial.snapshot));
  }

  // The mirrors begin anew from what is really there.
  durable_ = LogMirror();
  durable_.Reset({.term = {}, .index = log_->first_index() - 1});
  if (reconciled.reset_log) {
    durable_.Reset(reconciled.initial.snapshot);
  } else {
    durable_.Reset(log_->recovered().start);
    if (log_->last_index() >= log_->first_index()) {
      KEEL_ASSIGN_OR_RETURN(const std::vector<Entry> entries,
                            log_->Read(log_->first_index(), log_->last_index(), SIZE_MAX));
      durable_.Write(entries);
    }
  }
  written_ = durable_;
  durable_hard_state_ = log_->recovered().hard_state;
  interrupted_.reset();
  interrupted_reset_.reset();

  raft::CoreOptions core_options = options_.core;
  core_options.id = id_;
  core_options.seed = random_.Next();
  truncation_.emplace(options_.log_entries_kept, options_.log_bytes_kept_max);
  core_ = std::make_unique<raft::Core>(core_options, std::move(reconciled.initial));
  return absl::OkStatus();
}

void Member::Kill() {
  Stop(Machine::CrashKind::kKill, [this] { disk_.Restart(); });
}

void Member::PowerCut(SimDisk::Loss loss) {
  Stop(Machine::CrashKind::kPowerCut, [this, loss] { disk_.PowerCut(loss); });
}

void Member::Stop(Machine::CrashKind kind, const std::function<void()>& crash_disk) {
  if (!is_up()) {
    // Its machine may fail while the process is down, too.
    if (!lost_) crash_disk();
    return;
  }
  host_.OnStopping(*this);
  ++life_;
  if (!running_.empty()) {
    // The log writer is somewhere in the middle of this.
    disk_.StopAfter(random_.Below(kOperationsOfOneWrite));
    for (Job& job : running_) {
      if (auto* append = std::get_if<AppendJob>(&job)) {
        if (!interrupted_) interrupted_.emplace();
        interrupted_->hard_state = append->batch.hard_state ? append->batch.hard_state : interrupted_->hard_state;
        raft::MergeInto(&*interrupted_, append->batch);
      } else if (auto* reset = std::get_if<ResetJob>(&job)) {
        interrupted_reset_ = reset->meta.last;
      }
    }
    (void)RunJobs(&running_);
  }
  if (random_.Chance(0.3)) (void)machine_->Flush();  // It flushes when it likes.
  core_.reset();
  log_.reset();
  crash_disk();
  machine_->Crash(kind);
  jobs_.clear();
  running_.clear();
  tasks_.clear();
  reads_.clear();
  outstanding_appends_ = 0;
  truncating_ = applying_ = false;
  auto offer = std::exchange(offer_, std::nullopt);
  if (offer) offer->done(absl::UnavailableError("the receiver ended"));
}

void Member::Fail(const absl::Status& status) {
  world_.Trace(node(), " fails: ", status.ToString());
  ++ledger_.totals["members ended by their disk"];
  Stop(Machine::CrashKind::kKill, [this] { disk_.Restart(); });
  if (absl::IsDataLoss(status)) {
    lost_ = true;
    host_.OnLost(*this, status);
    return;
  }
  world_.At(random_.Between(100 * kMillisecond, 2 * kSecond), [this, life = life_] {
    if (life_ == life && !is_up()) Start();
  });
}

std::optional<Member::Directory> Member::Save() {
  absl::StatusOr<std::string> state = machine_->TakeSnapshot();
  if (!state.ok()) return std::nullopt;
  return Directory{.log = disk_.Save(), .state = *std::move(state), .last = durable_.last().index};
}

void Member::Restore(const Directory& directory) {
  disk_.Load(*directory.log);
  machine_->Wipe();
  (void)machine_->Install(directory.state);
}

void Member::Wipe() {
  disk_.Wipe();
  machine_->Wipe();
}

void Member::EndFaults() {
  faults_ = false;
  clock_rate_ = 1;
  paused_until_ = stalled_until_ = 0;
  disk_.Disarm();
  disk_.SetFull(false);
}

void Member::After(SimTime delay, std::function<void()> action) {
  world_.At(delay, [this, life = life_, action = std::move(action)]() mutable {
    if (life_ != life) return;
    if (is_paused()) return After(paused_until_ - world_.now(), std::move(action));
    action();
  });
}

// --- The raft thread.

void Member::Tick() {
  After(static_cast<SimTime>(static_cast<double>(options_.tick) * clock_rate_) + random_.Between(-1000, 1000),
        [this] { Tick(); });
  if (random_.Chance(options_.flush)) (void)machine_->Flush();
  Input([](raft::Core& core) { core.Tick(); });
  if (is_up()) MaybeTruncate();
}

void Member::Deliver(raft::Message message) {
  if (is_paused()) {
    return After(paused_until_ - world_.now(), [this, message = std::move(message)] { Deliver(message); });
  }
  if (world_.tracing()) {
    world_.Trace(message.from.value(), "->", node(), " ", raft::MessageName(message), " term ", message.term.value(),
                 Describe(message.body));
  }
  raft::Message copy = message;
  const absl::Status status = core_->Step(std::move(copy));
  host_.OnStepped(*this, message, status);
  // The process ends, saying so.
  if (absl::IsDataLoss(status)) return Fail(status);
  Pump();
}

absl::Status Member::Propose(std::vector<raft::Payload> payloads) {
  const absl::Status status = core_->Propose(std::move(payloads));
  Pump();
  return status;
}

void Member::Read(ReadDone done) {
  if (options_.broken_rule == BrokenRule::kReadWithoutQuorum) return done(absl::OkStatus());
  // Never used twice, in no life of any member.
  const raft::ReadId read(life_ << 32 | ++next_read_);
  reads_.emplace(read, PendingRead{.done = std::move(done), .index = std::nullopt});
  Input([&](raft::Core& core) { core.ReadIndex(read); });
}

void Member::OfferSnapshot(MemberId from, raft::Term term, const raft::SnapshotMeta& meta, std::string bytes,
                           std::function<void(absl::Status)> decided) {
  const bool is_news = core_->OfferSnapshot(from, term, meta);
  if (is_news) {
    offer_ = Offer{.meta = meta, .bytes = std::move(bytes), .done = std::move(decided)};
  } else if (core_->status().commit >= meta.last.index) {
    decided(absl::OkStatus());
  } else {
    decided(absl::UnavailableError("not taken"));
  }
  Pump();
}

void Member::Input(const std::function<void(raft::Core&)>& input) {
  input(*core_);
  Pump();
}

void Member::Pump() {
  static constexpr int kRoundsMax = 1000;
  int rounds = 0;
  while (core_->HasReady()) {
    if (++rounds > kRoundsMax) throw Violation{"ready-ends", absl::StrCat("member ", node(), ": TakeReady never ends")};
    Execute(core_->TakeReady());
  }
  FinishReads();
  host_.OnEvent(*this);
}

// In the order of ready.h, as raft::Node does.
void Member::Execute(raft::Ready ready) {
  SendAll(std::move(ready.messages));
  const bool waits = ready.append.has_value() || outstanding_appends_ > 0;
  if (ready.append) {
    host_.OnWrite(*this, *ready.append);
    if (world_.tracing() && !ready.append->entries.empty()) {
      world_.Trace(node(), " writes ", ready.append->entries.front().id.index.value(), "..",
                   ready.append->entries.back().id.index.value(), " term ", ready.append->ticket.term.value());
    }
    if (!written_.Write(ready.append->entries)) {
      throw Violation{"log-without-gaps", absl::StrCat("member ", node(), " wrote entries after a gap")};
    }
  }
  if (!waits || options_.broken_rule == BrokenRule::kAckBeforeSync) {
    SendAll(std::exchange(ready.messages_after_append, {}));
  }
  if (ready.append) {
    ++outstanding_appends_;
    jobs_.push_back(
        AppendJob{.ticket = ready.append->ticket,
                  .batch = {.hard_state = ready.append->hard_state, .entries = std::move(ready.append->entries)},
                  .after = std::move(ready.messages_after_append)});
  } else if (!ready.messages_after_append.empty()) {
    ++outstanding_appends_;
    jobs_.push_back(AppendJob{.ticket = std::nullopt, .batch = {}, .after = std::move(ready.messages_after_append)});
  }
  StartWriting();
  if (ready.apply) {
    host_.OnHandedToApply(*this, *ready.apply);
    tasks_.push_back({.work = std::move(*ready.apply), .install = std::nullopt});
  }
  if (ready.install) tasks_.push_back({.work = {}, .install = std::move(ready.install)});
  StartApplying();
  for (const raft::FetchWork& fetch : ready.fetches) Fetch(fetch);
  for (const raft::SnapshotWork& snapshot : ready.snapshots) StartSnapshot(snapshot);
  for (const raft::ReadResult& result : ready.reads) OnReadResult(result);
}

void Member::SendAll(std::vector<raft::Message> messages) {
  for (const raft::Message& message : messages) {
    if (host_.Send(*this, message) || !random_.Chance(options_.report_lost)) continue;
    After(kMillisecond, [this, peer = message.to] { Input([&](raft::Core& core) { core.OnUnreachable(peer); }); });
  }
}

// --- The log writer.

void Member::StartWriting() {
  if (!running_.empty() || jobs_.empty()) return;
  // A job of another kind is carried out by itself.
  const auto other =
      std::find_if(jobs_.begin(), jobs_.end(), [](const Job& job) { return !std::holds_alternative<AppendJob>(job); });
  const auto end = other == jobs_.begin() ? jobs_.begin() + 1 : other;
  running_.assign(std::make_move_iterator(jobs_.begin()), std::make_move_iterator(end));
  jobs_.erase(jobs_.begin(), end);
  const SimTime stall = std::max<SimTime>(0, stalled_until_ - world_.now());
  const SimTime sync = faults_ ? options_.sync_max : std::min(options_.sync_max, 5 * kMillisecond);
  After(stall + random_.Between(0, sync), [this] { FinishWriting(); });
}

void Member::FinishWriting() {
  std::vector<Job> jobs = std::exchange(running_, {});
  // Still on the disk's account while it runs: should it fail, what it was writing may or may not be there.
  for (Job& job : jobs) {
    if (auto* append = std::get_if<AppendJob>(&job)) {
      if (!interrupted_) interrupted_.emplace();
      raft::MergeInto(&*interrupted_, append->batch);
    } else if (auto* reset = std::get_if<ResetJob>(&job)) {
      interrupted_reset_ = reset->meta.last;
    }
  }
  if (const absl::Status status = RunJobs(&jobs); !status.ok()) return Fail(status);
  interrupted_.reset();
  interrupted_reset_.reset();
  std::optional<raft::AppendTicket> ticket;
  for (Job& job : jobs) {
    if (auto* append = std::get_if<AppendJob>(&job)) {
      if (append->ticket) ticket = append->ticket;
      --outstanding_appends_;
    }
  }
  std::vector<raft::Message> after;
  for (Job& job : jobs) {
    if (auto* append = std::get_if<AppendJob>(&job)) {
      after.insert(after.end(), std::make_move_iterator(append->after.begin()),
                   std::make_move_iterator(append->after.end()));
    }
  }
  raft::KeepNewestAcks(&after);
  SendAll(std::move(after));
  StartWriting();
  if (ticket) return Input([&](raft::Core& core) { core.OnAppended(*ticket); });
  if (auto* truncate = std::get_if<TruncateJob>(&jobs.front())) {
    truncating_ = false;
    return Input([&](raft::Core& core) { core.OnLogTruncated(truncate->through); });
  }
  if (auto* reset = std::get_if<ResetJob>(&jobs.front())) FinishInstall(reset->meta);
}

absl::Status Member::RunJobs(std::vector<Job>* jobs) {
  if (auto* truncate = std::get_if<TruncateJob>(&jobs->front())) {
    KEEL_RETURN_IF_ERROR(log_->TruncatePrefix(truncate->through));
    durable_.TruncatePrefix(log_->first_index() - 1);
    written_.TruncatePrefix(log_->first_index() - 1);
    return absl::OkStatus();
  }
  if (auto* reset = std::get_if<ResetJob>(&jobs->front())) {
    KEEL_RETURN_IF_ERROR(log_->ResetTo(reset->meta.last));
    durable_.Reset(reset->meta.last);
    written_.Reset(reset->meta.last);
    return absl::OkStatus();
  }
  raft::StableBatch batch;
  for (Job& job : *jobs) raft::MergeInto(&batch, std::get<AppendJob>(job).batch);
  if (!batch.hard_state && batch.entries.empty()) return absl::OkStatus();
  if (options_.broken_rule == BrokenRule::kForgetVote && batch.hard_state) {
    batch.hard_state->vote = raft::kNobody;
  }
  KEEL_RETURN_IF_ERROR(log_->Append(batch));
  if (batch.hard_state) durable_hard_state_ = *batch.hard_state;
  durable_.Write(batch.entries);
  return absl::OkStatus();
}

// --- The apply thread, the log reader, the snapshot sender.

void Member::StartApplying() {
  if (applying_ || tasks_.empty()) return;
  applying_ = true;
  const SimTime longest = faults_ ? options_.apply_max : std::min(options_.apply_max, 5 * kMillisecond);
  After(random_.Between(0, longest), [this] { FinishApplying(); });
}

void Member::FinishApplying() {
  ApplyTask& task = tasks_.front();
  if (task.install) {
    const raft::SnapshotMeta meta = *std::move(task.install);
    tasks_.pop_front();
    if (const absl::Status status = machine_->Install(offer_->bytes); !status.ok()) return Fail(status);
    world_.Trace(node(), " installs ", meta.last.index.value());
    host_.OnInstalled(*this);
    // The core learns of it when the log has been cut, too.
    jobs_.push_back(ResetJob{meta});
    applying_ = false;
    StartWriting();
    StartApplying();
    return;
  }
  absl::StatusOr<std::vector<Entry>> group = NextGroup(task.work);
  if (!group.ok()) return Fail(group.status());
  if (const absl::Status status = machine_->Apply(*group); !status.ok()) return Fail(status);
  const Index last = group->back().id.index;
  if (last == task.work.last) {
    tasks_.pop_front();
  } else {
    task.work.entries.erase(
        task.work.entries.begin(),
        task.work.entries.begin() + static_cast<std::ptrdiff_t>(std::min(group->size(), task.work.entries.size())));
    task.work.first = last + 1;
  }
  host_.OnApplied(*this, *group);
  applying_ = false;
  StartApplying();
  Input([&](raft::Core& core) { core.OnApplied(last); });
}

absl::StatusOr<std::vector<Entry>> Member::NextGroup(const raft::ApplyWork& work) const {
  const size_t count = std::min<size_t>(options_.apply_group_max, work.last - work.first + 1);
  if (!work.entries.empty()) {
    return std::vector<Entry>(work.entries.begin(), work.entries.begin() + static_cast<std::ptrdiff_t>(count));
  }
  KEEL_ASSIGN_OR_RETURN(std::vector<Entry> entries, log_->Read(work.first, work.first + (count - 1), 1 << 16));
  if (entries.empty()) return absl::DataLossError("the log has no such entry");
  return entries;
}

void Member::FinishInstall(const raft::SnapshotMeta& meta) {
  Input([&](raft::Core& core) { core.OnSnapshotInstalled(meta); });
  auto offer = std::exchange(offer_, std::nullopt);
  if (offer) offer->done(absl::OkStatus());
}

void Member::Fetch(const raft::FetchWork& work) {
  ++ledger_.totals["fetches"];
  After(random_.Between(0, 20 * kMillisecond), [this, work] {
    absl::StatusOr<std::vector<Entry>> entries = log_->Read(work.first, work.last, work.bytes_max);
    if (absl::IsNotFound(entries.status())) entries = std::vector<Entry>();  // Truncated meanwhile.
    if (!entries.ok()) return Fail(entries.status());
    Input([&](raft::Core& core) { core.OnFetched(work.follower, *std::move(entries)); });
  });
}

void Member::StartSnapshot(const raft::SnapshotWork& work) {
  ++ledger_.totals["snapshots sent"];
  truncation_->OnSnapshotStarted(work.follower, machine_->applied().index);
  After(random_.Between(0, 50 * kMillisecond), [this, work] {
    const raft::SnapshotMeta meta{.last = machine_->applied(), .membership = machine_->membership()};
    absl::StatusOr<std::string> bytes = machine_->TakeSnapshot();
    if (!bytes.ok()) return Fail(bytes.status());
    world_.Trace(node(), " sends snapshot ", meta.last.index.value(), " to ", work.follower.value());
    host_.SendSnapshot(*this, work, meta, *std::move(bytes),
                       [this, life = life_, work, meta](const absl::Status& status) {
                         if (life_ != life) return;
                         After(kMillisecond, [this, work, meta, status] {
                           truncation_->OnSnapshotSent(work.follower, status, meta.last);
                           Input([&](raft::Core& core) { core.OnSnapshotSent(work.follower, status, meta.last); });
                         });
                       });
  });
}

// --- Reads.

void Member::OnReadResult(const raft::ReadResult& result) {
  const auto read = reads_.find(result.id);
  if (read == reads_.end() || read->second.index.has_value()) {
    throw Violation{"read-answered-once", absl::StrCat("member ", node(), " answered a read twice")};
  }
  if (result.status.ok()) {
    read->second.index = result.index;
    return;
  }
  const ReadDone done = std::move(read->second.done);
  reads_.erase(read);
  done(result.status);
}

void Member::FinishReads() {
  const Index applied = machine_->applied().index;
  for (auto it = reads_.begin(); it != reads_.end();) {
    if (!it->second.index.has_value() || *it->second.index > applied) {
      ++it;
      continue;
    }
    const ReadDone done = std::move(it->second.done);
    it = reads_.erase(it);
    done(absl::OkStatus());
  }
}

// --- Truncation.

void Member::MaybeTruncate() {
  if (truncating_) return;
  const std::optional<Index> through =
      truncation_->Choose(core_->status(), core_->followers(), core_->ReplicatedEverywhere(),
                          machine_->durable_applied().index, [this](Index index) { return log_->BytesAfter(index); });
  if (!through) return;
  world_.Trace(node(), " truncates through ", through->value());
  ++ledger_.totals["truncations"];
  truncating_ = true;
  jobs_.push_back(TruncateJob{*through});
  StartWriting();
}

void Member::FlushAndTruncate() {
  (void)machine_->Flush();
  MaybeTruncate();
}

}  // namespace keel::sim
