#include "tests/sim_full/replica.h"

#include <algorithm>
#include <map>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "proto/peer.pb.h"
#include "raft/wire.h"
#include "server/reconcile.h"
#include "storage/log/raft_log.h"

namespace keel::sim {
namespace {

constexpr uint64_t kClusterId = 0xc1;
constexpr char kStateDir[] = "/state";
constexpr char kLogDir[] = "/log";
constexpr SimTime kPollInterval = 25 * kMillisecond;
constexpr uint64_t kOperationsOfOneWrite = 8;

// The first byte of what travels between members.
enum class Frame : char { kRaft = 'r', kOnce = 'o', kRenew = 'n', kTimeToLive = 't', kAnswer = 'a' };

raft::Membership MembershipOf(const storage::StateStore& store) {
  raft::Membership membership;
  for (const uint64_t id : store.membership().voters) membership.voters.emplace_back(id);
  return membership;
}

}  // namespace

// What is compared on the way to the applier.
class Replica::Machine final : public raft::StateMachine {
 public:
  Machine(Replica* replica, server::Applier* applier) : replica_(*replica), applier_(*applier) {}

  absl::Status Apply(std::span<const raft::Entry> entries) override {
    for (const raft::Entry& entry : entries) replica_.oracle_.OnApply(replica_.node_, entry);
    KEEL_RETURN_IF_ERROR(applier_.Apply(entries));
    replica_.oracle_.OnApplied(replica_.node_, replica_.store());
    return absl::OkStatus();
  }
  absl::Status Install(const raft::SnapshotMeta& meta) override {
    KEEL_RETURN_IF_ERROR(applier_.Install(meta));
    ++replica_.ledger_.totals["snapshots installed"];
    replica_.world_.Trace(replica_.node_, " installs ", meta.last.index.value());
    replica_.oracle_.CheckState(replica_.node_, replica_.store());
    return absl::OkStatus();
  }
  raft::Index DurableApplied() const override {
    if (replica_.breaks(BrokenRule::kDropApplied)) return raft::Index(replica_.store().applied().index);
    return applier_.DurableApplied();
  }
  void OnLeadership(raft::Role role, raft::Term term, raft::MemberId leader) override {
    if (role == raft::Role::kLeader) {
      replica_.world_.Trace(replica_.node_, " leads term ", term.value());
      ++replica_.ledger_.totals["elections"];
    }
    applier_.OnLeadership(role, term, leader);
  }

 private:
  Replica& replica_;
  server::Applier& applier_;
};

// Likewise on the way to the watchers.
class Replica::Hub final : public server::WatchHub {
 public:
  Hub(Replica* replica, std::unique_ptr<server::WatchHub> hub) : replica_(*replica), hub_(std::move(hub)) {}

  void Start() override { hub_->Start(); }
  bool Poll() override { return hub_->Poll(); }
  void Stop() override { hub_->Stop(); }
  std::unique_ptr<server::WatchStream> OpenStream(std::function<void()> ready) override {
    return hub_->OpenStream(std::move(ready));
  }
  void Publish(const std::vector<storage::RevisionEventsPtr>& revisions) override {
    replica_.oracle_.OnPublish(replica_.node_, revisions);
    hub_->Publish(replica_.breaks(BrokenRule::kLoseWatchEvent) ? WithoutLastEvents(revisions) : revisions);
  }
  void OnStateReplaced() override { hub_->OnStateReplaced(); }
  Stats stats() const override { return hub_->stats(); }

 private:
  static std::vector<storage::RevisionEventsPtr> WithoutLastEvents(std::vector<storage::RevisionEventsPtr> revisions) {
    for (storage::RevisionEventsPtr& revision : revisions) {
      if (revision->events.size() < 2) continue;
      auto shorter = std::make_shared<storage::RevisionEvents>(*revision);
      shorter->events.pop_back();
      revision = std::move(shorter);
    }
    return revisions;
  }

  Replica& replica_;
  const std::unique_ptr<server::WatchHub> hub_;
};

// The member's side of the network.
class Replica::Wire final : public raft::Transport, public server::LeaseForwarder {
 public:
  explicit Wire(Replica* replica) : replica_(*replica) {}

  void Send(std::vector<raft::Message> messages) override {
    for (const raft::Message& message : messages) {
      raftpb::Message pb;
      raft::EncodeMessage(message, &pb);
      std::string bytes(1, static_cast<char>(Frame::kRaft));
      if (std::holds_alternative<raft::ForwardProposal>(message.body)) {
        bytes = Pack(Frame::kOnce, replica_.next_once_++, {});
      }
      pb.AppendToString(&bytes);
      const int to = static_cast<int>(message.to.value());
      if (replica_.host_.send(to, std::move(bytes)) || !replica_.random_.Chance(replica_.options_.sim.report_lost)) {
        continue;
      }
      replica_.After(kMillisecond, [this, peer = message.to] { replica_.raft().ReportUnreachable(peer); });
    }
  }

  void SendSnapshot(raft::MemberId follower, raft::Term term) override {
    const std::string path = absl::StrCat("/scratch/", ++replica_.snapshots_);
    const auto position = replica_.store().Checkpoint(path);
    if (!position.ok()) return replica_.Fail(position.status());
    const raft::EntryId last{raft::Term(position->term), raft::Index(position->index)};
    replica_.world_.Trace(replica_.node_, " sends snapshot ", position->index, " to ", follower.value());
    ++replica_.ledger_.totals["snapshots sent"];
    SnapshotInFlight snapshot{.term = term,
                              .meta = {.last = last, .membership = MembershipOf(replica_.store())},
                              .medium = replica_.medium_,
                              .path = path};
    auto report = std::make_shared<TransferReport>([self = std::weak_ptr<Replica*>(replica_.self_),
                                                    life = replica_.life_, follower, last, path](absl::Status status) {
      const std::shared_ptr<Replica*> sender = self.lock();
      if (sender == nullptr || (*sender)->life_ != life || !(*sender)->is_up()) return;
      (*sender)->After(0, [&replica = **sender, follower, last, path, status = std::move(status)] {
        (void)replica.medium_->Remove(path);
        replica.raft().ReportSnapshotSent(follower, status, last);
      });
    });
    replica_.host_.send_snapshot(static_cast<int>(follower.value()), std::move(snapshot), std::move(report));
  }

  void Renew(raft::MemberId leader, std::vector<storage::LeaseId> ids, absl::Time deadline,
             absl::AnyInvocable<void(absl::StatusOr<std::vector<int64_t>>)> done) override {
    peer::RenewRequest request;
    request.set_cluster_id(kClusterId);
    for (const storage::LeaseId id : ids) request.add_lease_ids(id.value());
    Ask(leader, Frame::kRenew, request.SerializeAsString(), deadline,
        [done = std::move(done)](absl::StatusOr<std::string> bytes) mutable {
          if (!bytes.ok()) return done(bytes.status());
          peer::RenewResponse response;
          if (!response.ParseFromString(*bytes)) throw Violation{"messages-accepted", "an answer does not parse"};
          done(std::vector<int64_t>(response.ttls().begin(), response.ttls().end()));
        });
  }

  void TimeToLive(raft::MemberId leader, storage::LeaseId id, absl::Time deadline,
                  absl::AnyInvocable<void(absl::StatusOr<server::LeaseTimeToLive>)> done) override {
    peer::TimeToLiveRequest request;
    request.set_cluster_id(kClusterId);
    request.set_lease_id(id.value());
    Ask(leader, Frame::kTimeToLive, request.SerializeAsString(), deadline,
        [done = std::move(done)](absl::StatusOr<std::string> bytes) mutable {
          if (!bytes.ok()) return done(bytes.status());
          peer::TimeToLiveResponse response;
          if (!response.ParseFromString(*bytes)) throw Violation{"messages-accepted", "an answer does not parse"};
          done(server::LeaseTimeToLive{.ttl = response.ttl(), .granted_ttl = response.granted_ttl()});
        });
  }

  void Serve(int from, Frame frame, uint64_t call, const std::string& body);
  void OnAnswer(uint64_t call, bool ok, std::string body) {
    auto node = calls_.extract(call);
    if (node.empty()) return;
    if (ok) {
      node.mapped()(std::move(body));
    } else {
      node.mapped()(absl::UnavailableError("etcdserver: not leader"));
    }
  }

  static std::string Pack(Frame frame, uint64_t call, std::string_view body) {
    std::string bytes(1, static_cast<char>(frame));
    bytes.append(reinterpret_cast<const char*>(&call), sizeof(call));
    bytes.append(body);
    return bytes;
  }

 private:
  using Answer = absl::AnyInvocable<void(absl::StatusOr<std::string>)>;

  void Ask(raft::MemberId leader, Frame frame, const std::string& body, absl::Time deadline, Answer answer) {
    const uint64_t call = (replica_.life_ << 32) | ++last_call_;
    calls_.emplace(call, std::move(answer));
    replica_.host_.send(static_cast<int>(leader.value()), Pack(frame, call, body));
    const SimTime wait = absl::ToInt64Microseconds(deadline - replica_.clock_->Now());
    replica_.After(std::max<SimTime>(wait, 0), [this, call] {
      auto node = calls_.extract(call);
      if (!node.empty()) node.mapped()(absl::DeadlineExceededError("no answer"));
      replica_.PollSoon();
    });
  }

  Replica& replica_;
  uint64_t last_call_ = 0;
  std::map<uint64_t, Answer> calls_;
};

// In the order of their making; they go in the opposite one.
struct Replica::Parts {
  std::unique_ptr<storage::StateStore> store;
  std::unique_ptr<storage::RaftLog> log;
  std::unique_ptr<server::Proposer> proposer;
  std::unique_ptr<server::WatchHub> hub;
  std::unique_ptr<server::LeaseKeeper> leases;
  std::unique_ptr<server::Applier> applier;
  std::unique_ptr<Machine> machine;
  std::unique_ptr<Wire> wire;
  std::unique_ptr<SimNode> node;
  server::Member member;
  std::unique_ptr<server::Admission> admission;
  server::WorkerPool readers{0};
  server::ApiBase base;
  std::unique_ptr<server::KvHandlers> kv;
  std::unique_ptr<server::LeaseHandlers> lease_handlers;
  std::shared_ptr<server::OwnershipQueue> queue;
  std::unique_ptr<server::LockApi> lock;
  std::unique_ptr<server::ElectionApi> election;
  std::set<std::string> incoming;
};

void Replica::Wire::Serve(int from, Frame frame, uint64_t call, const std::string& body) {
  const absl::Time deadline = replica_.clock_->Now() + replica_.request_timeout();
  const uint64_t life = replica_.life_;
  const auto answer = [&replica = replica_, life, from, call](bool ok, const std::string& bytes) {
    if (replica.life_ != life) return;
    replica.host_.send(from, Pack(Frame::kAnswer, call, absl::StrCat(ok ? "+" : "-", bytes)));
  };
  if (frame == Frame::kRenew) {
    peer::RenewRequest request;
    if (!request.ParseFromString(body)) throw Violation{"messages-accepted", "a renewal does not parse"};
    std::vector<storage::LeaseId> ids;
    for (const int64_t id : request.lease_ids()) ids.emplace_back(id);
    replica_.parts_->leases->RenewAsLeader(std::move(ids), deadline,
                                           [answer](absl::StatusOr<std::vector<int64_t>> ttls) {
                                             peer::RenewResponse response;
                                             if (ttls.ok()) {
                                               for (const int64_t ttl : *ttls) response.add_ttls(ttl);
                                             }
                                             answer(ttls.ok(), response.SerializeAsString());
                                           });
  } else {
    peer::TimeToLiveRequest request;
    if (!request.ParseFromString(body)) throw Violation{"messages-accepted", "a look-up does not parse"};
    replica_.parts_->leases->TimeToLiveAsLeader(storage::LeaseId(request.lease_id()), deadline,
                                                [answer](absl::StatusOr<server::LeaseTimeToLive> ttl) {
                                                  peer::TimeToLiveResponse response;
                                                  if (ttl.ok()) {
                                                    response.set_ttl(ttl->ttl);
                                                    response.set_granted_ttl(ttl->granted_ttl);
                                                  }
                                                  answer(ttl.ok(), response.SerializeAsString());
                                                });
  }
}

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
      snapshot_equal_(ledger, "snapshot-equals-live") {
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
  p.admission = std::make_unique<server::Admission>(&p.member);
  p.base.member = &p.member;
  p.base.admission = p.admission.get();
  p.base.readers = &p.readers;
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

// --- Inputs.

void Replica::Deliver(int from, const std::string& bytes) {
  if (is_paused()) {
    return After(paused_until_ - world_.now(), [this, from, bytes] { Deliver(from, bytes); });
  }
  const auto frame = static_cast<Frame>(bytes.at(0));
  if (frame == Frame::kRaft || frame == Frame::kOnce) {
    size_t head = 1;
    if (frame == Frame::kOnce) {
      uint64_t number = 0;
      head += sizeof(number);
      std::copy_n(bytes.data() + 1, sizeof(number), reinterpret_cast<char*>(&number));
      if (!once_seen_.emplace(from, number).second) return;
    }
    raftpb::Message pb;
    const bool parsed = pb.ParseFromArray(bytes.data() + head, static_cast<int>(bytes.size() - head));
    absl::StatusOr<raft::Message> message = raft::DecodeMessage(std::move(pb));
    if (!parsed || !message.ok()) throw Violation{"messages-accepted", "a message does not decode"};
    std::vector<raft::Message> messages;
    messages.push_back(*std::move(message));
    return raft().Deliver(std::move(messages));
  }
  uint64_t call = 0;
  std::copy_n(bytes.data() + 1, sizeof(call), reinterpret_cast<char*>(&call));
  const std::string body = bytes.substr(1 + sizeof(call));
  if (frame == Frame::kAnswer) {
    parts_->wire->OnAnswer(call, body.at(0) == '+', body.substr(1));
  } else {
    parts_->wire->Serve(from, frame, call, body);
  }
  PollSoon();
}

void Replica::DeliverSnapshot(int from, SnapshotInFlight snapshot, std::shared_ptr<TransferReport> report) {
  const raft::SnapshotMeta meta = snapshot.meta;
  const std::string path = parts_->applier->IncomingSnapshotDir(meta);
  if (medium_->Exists(path)) return report->Tell(absl::UnavailableError("another one is arriving"));
  if (const absl::Status copied = snapshot.medium->CopyTo(snapshot.path, path, medium_.get()); !copied.ok()) {
    return report->Tell(copied);
  }
  parts_->incoming.insert(path);
  raft().OfferSnapshot(
      raft::MemberId(static_cast<uint64_t>(from)), snapshot.term, meta, [this, meta, path, report](bool news) {
        if (news) {
          raft().WaitApplied(meta.last.index, absl::InfiniteFuture(),
                             [report](absl::Status status, raft::Index) { report->Tell(std::move(status)); });
          return;
        }
        parts_->incoming.erase(path);
        (void)medium_->Remove(path);
        const bool has_it = raft().commit() >= meta.last.index;
        report->Tell(has_it ? absl::OkStatus() : absl::UnavailableError("not taken"));
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

// --- Maintenance.

void Replica::FlushState() {
  if (random_.Chance(0.5)) {
    medium_->FlushInBackground([this](size_t unflushed) { return random_.Below(unflushed + 1); });
  } else if (const absl::Status status = store().Flush(); !status.ok()) {
    Fail(status);
  }
}

void Replica::CompactSome() {
  const auto more = store().CompactStep(options_.compact_step);
  if (!more.ok()) Fail(more.status());
}

void Replica::CheckRestartEquivalence() {
  const auto image = medium_->DurableImage();
  auto twin = storage::StateStore::Open(StateOptionsOn(image));
  restart_equal_.Require(twin.ok(), [&] { return std::string(twin.status().ToString()); });
  server::Proposer::Options proposer_options;
  proposer_options.drive = Drive::kOwner;
  proposer_options.seed = 0;
  const auto proposer = server::Proposer::Create(proposer_options, 0, clock_.get());
  server::WatchHub::Options hub_options;
  hub_options.drive = Drive::kOwner;
  hub_options.seed = 0;
  const auto hub = server::WatchHub::Create(hub_options, twin->get(), clock_.get());
  const auto leases =
      server::LeaseKeeper::Create({.drive = Drive::kOwner}, raft::MemberId(1), clock_.get(), twin->get());
  const auto applier = server::Applier::Create({}, twin->get(), proposer.get(), hub.get(), leases.get());
  std::vector<raft::Entry> entries;
  world_.Trace(node_, " durable at ", (*twin)->applied().index, " of ", store().applied().index);
  for (uint64_t i = (*twin)->applied().index + 1; i <= store().applied().index; ++i) {
    entries.push_back(oracle_.EntryAt(i));
  }
  const absl::Status replayed = applier->Apply(entries);
  const auto mine = store().HashKv(storage::Revision(0));
  const auto twins = (*twin)->HashKv(storage::Revision(0));
  const auto same = [](const storage::LeaseRecord& a, const storage::LeaseRecord& b) {
    return a.id == b.id && a.granted_ttl == b.granted_ttl && a.remaining_ttl == b.remaining_ttl &&
           a.grant_index == b.grant_index;
  };
  const auto my_leases = store().Leases();
  const auto twins_leases = (*twin)->Leases();
  restart_equal_.Require(
      replayed.ok() && mine.ok() && twins.ok() && mine->hash == twins->hash &&
          (*twin)->applied() == store().applied() &&
          std::equal(my_leases.begin(), my_leases.end(), twins_leases.begin(), twins_leases.end(), same),
      [&] {
        return absl::StrCat("member ", node_, " after a replay from its disk is another: ", replayed.ToString(),
                            ", at ", (*twin)->applied().index, " instead of ", store().applied().index, ", hash ",
                            twins.ok() ? twins->hash : 0, " instead of ", mine.ok() ? mine->hash : 0, ", leases ",
                            twins_leases.size(), " instead of ", my_leases.size());
      });
}

void Replica::CheckSnapshotEquivalence() {
  const std::string path = absl::StrCat("/scratch/", ++snapshots_);
  const auto position = store().Checkpoint(path);
  snapshot_equal_.Require(position.ok() && *position == store().applied(),
                          [&] { return absl::StrCat("member ", node_, " makes a checkpoint of another position"); });
  const auto other = std::make_shared<storage::MemoryMedium>();
  auto restored = storage::StateStore::Open(StateOptionsOn(other));
  absl::Status status = medium_->CopyTo(path, "/incoming/snapshot", other.get());
  (void)medium_->Remove(path);
  if (status.ok()) status = (*restored)->Install("/incoming/snapshot");
  const auto mine = store().HashKv(storage::Revision(0));
  const auto theirs = (*restored)->HashKv(storage::Revision(0));
  snapshot_equal_.Require(status.ok() && mine.ok() && theirs.ok() && mine->hash == theirs->hash &&
                              (*restored)->cluster_id() == kClusterId &&
                              (*restored)->members().size() == store().members().size(),
                          [&] { return absl::StrCat("member ", node_, "'s snapshot holds another state"); });
  oracle_.CheckState(node_, **restored);
}

}  // namespace keel::sim
