#include "tests/sim_full/replica.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/reconcile.h"
#include "storage/log/raft_log.h"
#include "tests/sim_full/replica_parts.h"

namespace keel::sim {

namespace {

constexpr char kStateDir[] = "/state";
constexpr char kLogDir[] = "/log";
constexpr SimTime kPollInterval = 25 * kMillisecond;
constexpr uint64_t kOperationsOfOneWrite = 8;

}  // namespace

// --- Its life.

Replica::Replica(World* world, Ledger* ledger, Oracle* oracle, const FullOptions* options, int node, Host host)
    : world_(*world),
      ledger_(*ledger),
      oracle_(*oracle),
      options_(*options),
      node_(node),
      host_(std::move(host)),
      random_(world->Stream(absl::StrCat("member ", node))),
      disk_(random_.Next(), ledger),
      restart_equal_(ledger, "restart-equals-live"),
      snapshot_equal_(ledger, "snapshot-equals-live"),
      snapshot_installed_(ledger, "snapshot-installed") {
  const double skew = options_.sim.clock_skew;
  clock_rate_ = 1 + skew * static_cast<double>(random_.Between(-1000, 1000)) / 1000;
  const SimTime offset = random_.Between(0, 1000) * kSecond;
  clock_ = std::make_unique<SimClock>(world, clock_rate_, offset);
  const double lease_rate = breaks(BrokenRule::kHurryLeases) ? 2 * clock_rate_ : clock_rate_;
  lease_clock_ = std::make_unique<SimClock>(world, lease_rate, offset);
  if (breaks(BrokenRule::kSyncDoesNothing)) disk_.SkipSyncs();
}

Replica::~Replica() {
  if (is_up()) Stop([] {}, /*lose_state=*/false);
}

storage::StateOptions Replica::StateOptionsOn(std::shared_ptr<storage::MemoryMedium> medium) const {
  storage::StateOptions state;
  state.dir = kStateDir;
  state.value_cache_bytes = options_.value_cache_bytes;
  state.medium = std::move(medium);
  return state;
}

void Replica::Start() {
  if (is_up()) return;
  ++life_;
  auto parts = std::make_unique<Parts>();
  if (const absl::Status status = Open(parts.get()); !status.ok()) {
    throw Violation{"restart-works", absl::StrCat("member ", node_, ": ", std::string(status.ToString()))};
  }
  parts_ = std::move(parts);
  world_.Trace(node_, " starts at ", store().applied().index);
  parts_->node->Start();
  PollNowAndThen();
}

absl::Status Replica::Open(Parts* parts) {
  Parts& p = *parts;
  KEEL_ASSIGN_OR_RETURN(p.store, storage::StateStore::Open(StateOptionsOn(medium_)));
  if (!p.store->bootstrapped()) {
    std::vector<storage::MemberRecord> members;
    for (int id = 1; id <= options_.sim.members; ++id) {
      members.push_back({.id = static_cast<uint64_t>(id), .name = absl::StrCat("m", id)});
    }
    KEEL_RETURN_IF_ERROR(p.store->Bootstrap({.cluster_id = kClusterId, .members = members}));
  }
  if (p.store->applied().index > 0) oracle_.CheckState(node_, *p.store);
  KEEL_ASSIGN_OR_RETURN(p.log, storage::RaftLog::Open({.dir = kLogDir,
                                                       .segment_bytes = options_.sim.segment_bytes,
                                                       .hasty_segment_bytes = options_.sim.segment_bytes,
                                                       .spare_segments = options_.sim.spare_segments,
                                                       .spare_work = storage::SpareWork::kByCaller,
                                                       .disk = &disk_}));
  KEEL_ASSIGN_OR_RETURN(server::Reconciled reconciled,
                        server::Reconcile(p.log->recovered(), p.store->applied(), MembershipOf(*p.store)));
  if (reconciled.reset_log) KEEL_RETURN_IF_ERROR(p.log->ResetTo(reconciled.initial.snapshot));

  server::Proposer::Options proposer;
  proposer.drive = Drive::kOwner;
  proposer.seed = random_.Next();
  p.proposer = server::Proposer::Create(proposer, static_cast<uint64_t>(node_), clock_.get());
  server::WatchHub::Options hub = options_.hub;
  hub.drive = Drive::kOwner;
  hub.seed = random_.Next();
  p.hub = std::make_unique<Hub>(this, server::WatchHub::Create(hub, p.store.get(), clock_.get()));
  const raft::MemberId self(static_cast<uint64_t>(node_));
  server::LeaseKeeper::Options leases = options_.leases;
  leases.drive = Drive::kOwner;
  leases.election_timeout = absl::Microseconds(options_.sim.tick * options_.sim.core.election_ticks);
  p.leases = server::LeaseKeeper::Create(leases, self, lease_clock_.get(), p.store.get());
  p.applier = server::Applier::Create({.incoming_dir = "/incoming"}, p.store.get(), p.proposer.get(), p.hub.get(),
                                      p.leases.get());
  p.machine = std::make_unique<Machine>(this, p.applier.get());
  p.wire = std::make_unique<Wire>(this);
  raft::CoreOptions core = options_.sim.core;
  core.id = self;
  core.seed = random_.Next();
  SimNode::Host host{
      .after = [this](SimTime delay, std::function<void()> action) { After(delay, std::move(action)); },
      .on_propose = [this](std::string_view payload) { oracle_.OnPropose(payload); },
      .on_turn = [this] { PollSoon(); },
      .on_fatal = [this](const absl::Status& status) { Fail(status); },
      .stall = [this] { return std::max<SimTime>(0, stalled_until_ - world_.now()); },
      .rate = clock_rate_,
  };
  p.node = std::make_unique<SimNode>(&options_.sim, options_.log_bytes_kept_max, core, std::move(reconciled.initial),
                                     random_.Next(), p.log.get(), p.wire.get(), p.machine.get(), clock_.get(),
                                     std::move(host));
  if (!faults_) p.node->EndFaults();
  p.proposer->Attach(p.node.get());
  p.leases->Attach(p.node.get(), p.proposer.get(), p.wire.get());
  p.leases->Start();
  p.hub->Start();

  p.member.cluster_id = kClusterId;
  p.member.member_id = static_cast<uint64_t>(node_);
  p.member.name = absl::StrCat("m", node_);
  p.member.limits.request_timeout = options_.request_timeout;
  p.member.clock = clock_.get();
  p.member.node = p.node.get();
  p.member.store = p.store.get();
  p.member.proposer = p.proposer.get();
  p.member.watch = p.hub.get();
  p.member.leases = p.leases.get();
  p.admission = std::make_unique<server::Admission>(&p.member, leases.election_timeout);
  p.base.member = &p.member;
  p.base.admission = p.admission.get();
  p.base.readers = &p.readers;
  p.base.replies = p.replies.get();
  p.kv = std::make_unique<server::KvHandlers>(&p.base);
  p.lease_handlers = std::make_unique<server::LeaseHandlers>(&p.base, random_.Next());
  server::OwnershipQueue::Options queue;
  queue.drive = Drive::kOwner;
  queue.seed = random_.Next();
  p.queue = server::OwnershipQueue::Create(&p.member, queue);
  p.lock = std::make_unique<server::LockApi>(&p.member, p.queue.get());
  p.election = std::make_unique<server::ElectionApi>(&p.member, p.queue.get());
  return absl::OkStatus();
}

void Replica::Stop(const std::function<void()>& crash_disk, bool lose_state) {
  if (!is_up()) return crash_disk();
  ++life_;
  host_.on_stopping();
  const std::unique_ptr<Parts> parts = std::move(parts_);
  // The log writer is somewhere in the middle of what it does.
  disk_.StopAfter(random_.Below(kOperationsOfOneWrite));
  parts->node->WriteOn();
  parts->queue->Stop();
  parts->proposer->Stop();
  parts->leases->Stop();
  parts->hub->Stop();
  for (const std::string& path : parts->incoming) (void)medium_->Remove(path);
  parts->queue.reset();
  parts->node.reset();
  parts->log.reset();
  parts->store.reset();
  crash_disk();
  // It flushes when it likes.
  const bool flushed = !lose_state || random_.Chance(0.2);
  medium_->Crash([&](size_t unflushed) { return flushed ? random_.Below(unflushed + 1) : size_t{0}; });
  poll_due_ = false;
}

void Replica::Kill() {
  world_.Trace(node_, " is killed");
  Stop([this] { disk_.Restart(); }, /*lose_state=*/random_.Chance(0.5));
}

void Replica::PowerCut(SimDisk::Loss loss) {
  world_.Trace(node_, " loses power");
  Stop([this, loss] { disk_.PowerCut(loss); }, /*lose_state=*/true);
}

void Replica::Fail(const absl::Status& status) {
  throw Violation{"member-goes-on", absl::StrCat("member ", node_, ": ", std::string(status.ToString()))};
}

void Replica::EndFaults() {
  faults_ = false;
  paused_until_ = stalled_until_ = 0;
  disk_.Disarm();
  if (is_up()) parts_->node->EndFaults();
}

void Replica::After(SimTime delay, std::function<void()> action) {
  world_.At(delay, [this, life = life_, action = std::move(action)]() mutable {
    // What a member asks for while it ends is of no life.
    if (life_ != life || !is_up()) return;
    if (is_paused()) return After(paused_until_ - world_.now(), std::move(action));
    action();
  });
}

// --- The parts.

SimNode& Replica::raft() { return *parts_->node; }
storage::StateStore& Replica::store() { return *parts_->store; }
server::WatchHub& Replica::hub() { return *parts_->hub; }
server::KvHandlers& Replica::kv() { return *parts_->kv; }
server::LeaseHandlers& Replica::leases() { return *parts_->lease_handlers; }
server::LockApi& Replica::lock() { return *parts_->lock; }
server::ElectionApi& Replica::election() { return *parts_->election; }
absl::Duration Replica::request_timeout() const { return options_.request_timeout; }

void Replica::PollSoon() {
  if (std::exchange(poll_due_, true)) return;
  After(random_.Between(0, faults_ ? options_.poll_max : kMillisecond), [this] { Poll(); });
}

void Replica::PollNowAndThen() {
  After(kPollInterval + random_.Between(0, 5 * kMillisecond), [this] { PollNowAndThen(); });
  PollSoon();
}

void Replica::Poll() {
  poll_due_ = false;
  parts_->proposer->Poll();
  bool more = parts_->leases->Poll();
  more |= parts_->hub->Poll();
  more |= parts_->queue->Poll();
  if (more) PollSoon();
}

}  // namespace keel::sim
