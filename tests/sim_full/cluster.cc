#include "tests/sim_full/cluster.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace keel::sim {
namespace {

constexpr SimTime kCatchUpMax = 120 * kSecond;
constexpr SimTime kLeaseTtlMax = 8 * kSecond;

}  // namespace

FullCluster::FullCluster(const FullOptions& options, const RunOptions& run, Ledger* ledger)
    : options_(options),
      ledger_(*ledger),
      world_({.seed = options.sim.seed, .until = run.until, .trace = run.trace}),
      oracle_(&world_, ledger),
      random_(world_.Stream("cluster")),
      network_(&world_, ledger, run.message_faults ? options.sim.network : NetworkOptions(), options.sim.members + 1,
               [this](int from, int to, const std::string& bytes) {
                 if (replica(to).is_up()) replica(to).Deliver(from, bytes);
               }),
      cuts_(&world_, &network_, &random_, options.sim.members),
      shared_{.world = world_, .ledger = ledger_, .oracle = oracle_, .options = options_, .replicas = replicas_},
      live_(ledger, "live-after-faults"),
      converged_(ledger, "converged-after-faults"),
      leases_end_(ledger, "leases-end-in-time"),
      watches_catch_up_(ledger, "watches-catch-up") {
  schedule_ = run.schedule ? *run.schedule
                           : DrawSchedule(options_.sim.faults, nodes(), options_.sim.safety, world_.Stream("faults"));
  if (run.client_operations_max) shared_.operations_max = *run.client_operations_max;
  for (int node = 1; node <= nodes(); ++node) {
    Replica::Host host{
        .send = [this, node](int to, std::string bytes) { return network_.Send(node, to, std::move(bytes)); },
        .send_snapshot =
            [this, node](int to, SnapshotInFlight snapshot, std::shared_ptr<TransferReport> report) {
              SendSnapshot(node, to, std::move(snapshot), std::move(report));
            },
        .on_stopping =
            [this, node] {
              for (const auto& client : clients_) client->OnMemberStopping(node);
            },
    };
    replicas_.push_back(std::make_unique<Replica>(&world_, ledger, &oracle_, &options_, node, std::move(host)));
  }
  for (int id = 1; id <= options_.sim.clients; ++id) clients_.push_back(std::make_unique<Client>(&shared_, id));
}

FullCluster::~FullCluster() {
  for (const auto& client : clients_) client->ForgetStreams();
  // They tell their clients, so all of those are still there.
  for (const auto& member : replicas_) member->PowerCut(SimDisk::Loss::kNothing);
}

void FullCluster::Run() {
  for (int node = 1; node <= nodes(); ++node) {
    replica(node).Start();
    world_.At(random_.Between(0, kSecond), [this, node] { Maintain(node); });
  }
  for (const auto& client : clients_) client->Start();
  for (const FaultEvent& event : schedule_) {
    world_.At(event.at, [this, event] {
      if (faults_) Apply(event);
    });
  }
  world_.RunFor(options_.sim.safety);
  CheckLiveness();
  ledger_.totals["messages"] += network_.sent();
  ledger_.totals["client operations"] += shared_.operations;
  ledger_.totals["entries committed"] += oracle_.last();
  ledger_.totals["revisions"] += static_cast<uint64_t>(oracle_.model().revision());
}

// --- What goes on by itself.

void FullCluster::Maintain(int node) {
  world_.At(random_.Between(50 * kMillisecond, 300 * kMillisecond), [this, node] { Maintain(node); });
  Replica& member = replica(node);
  if (!member.is_up() || member.is_paused()) return;
  if (random_.Chance(options_.sim.flush)) member.FlushState();
  if (random_.Chance(0.5)) member.CompactSome();
  if (random_.Chance(options_.equivalence)) member.CheckRestartEquivalence();
  if (random_.Chance(options_.equivalence)) member.CheckSnapshotEquivalence();
}

void FullCluster::SendSnapshot(int from, int to, SnapshotInFlight snapshot, std::shared_ptr<TransferReport> report) {
  if (!network_.IsUp(from, to) || (faults_ && random_.Chance(0.1))) {
    return world_.At(kMillisecond,
                     [report = std::move(report)] { report->Tell(absl::UnavailableError("transfer failed")); });
  }
  world_.At(random_.Between(kMillisecond, faults_ ? 2 * kSecond : 50 * kMillisecond),
            [this, from, to, snapshot = std::move(snapshot), report = std::move(report)] {
              Replica& receiver = replica(to);
              if (!receiver.is_up() || receiver.is_paused() || !network_.IsUp(from, to)) {
                return report->Tell(absl::UnavailableError("transfer failed"));
              }
              receiver.DeliverSnapshot(from, snapshot, report);
            });
}

int FullCluster::Leader() {
  int leader = 0;
  raft::Term newest;
  for (int node = 1; node <= nodes(); ++node) {
    if (!replica(node).is_up()) continue;
    const raft::CoreStatus status = replica(node).raft().core_status();
    if (status.role == raft::Role::kLeader && status.term > newest) {
      newest = status.term;
      leader = node;
    }
  }
  return leader;
}

// --- Faults.

void FullCluster::Apply(const FaultEvent& event) {
  int target = event.target == kLeader ? Leader() : event.target;
  if (target < 1 || target > nodes()) target = 1 + static_cast<int>(event.param % static_cast<uint64_t>(nodes()));
  Replica& victim = replica(target);
  world_.Trace("fault ", event.ToString());
  ++ledger_.faults[FaultName(event.kind)];
  const SimTime down = std::min(event.duration, options_.sim.down_max);
  const auto loss = static_cast<SimDisk::Loss>(event.param % 4);
  switch (event.kind) {
    case FaultKind::kKill:
      victim.Kill();
      return RestartAfter(target, down);
    case FaultKind::kPowerCut:
      victim.PowerCut(loss);
      return RestartAfter(target, down);
    case FaultKind::kPowerCutAll:
      for (int node = 1; node <= nodes(); ++node) {
        replica(node).PowerCut(loss);
        RestartAfter(node, down * (1 + node % 3) / 3);
      }
      return;
    case FaultKind::kPause:
      return victim.PauseUntil(world_.now() + event.duration);
    case FaultKind::kDiskStall:
      return victim.StallDiskUntil(world_.now() + event.duration);
    case FaultKind::kClog:
      return network_.Clog(target, 1 + event.other % nodes(), world_.now() + event.duration);
    case FaultKind::kTruncate:
      if (victim.is_up() && !victim.is_paused()) victim.FlushState();
      return;
    case FaultKind::kTransfer:
      if (const int leader = Leader(); leader != 0) {
        replica(leader).raft().TransferLeadership(raft::MemberId(static_cast<uint64_t>(target)), absl::InfiniteFuture(),
                                                  [](const absl::Status& /*status*/) {});
      }
      return;
    case FaultKind::kPeerDied:
      if (victim.is_up()) {
        const auto other = static_cast<uint64_t>(1 + event.other % nodes());
        victim.raft().ReportPeerDied(raft::MemberId(other));
      }
      return;
    default:
      return cuts_.Apply(event, target);
  }
}

void FullCluster::RestartAfter(int node, SimTime delay) {
  world_.At(delay, [this, node] { replica(node).Start(); });
}

// --- In the end.

void FullCluster::CheckLiveness() {
  world_.Trace("faults end");
  faults_ = false;
  cuts_.End();
  shared_.faults = false;
  network_.EndMessageFaults();
  network_.Heal();
  for (int node = 1; node <= nodes(); ++node) {
    replica(node).EndFaults();
    replica(node).Start();
  }
  // Clients go on for a while: what they begin now must be answered.
  world_.RunFor(5 * kSecond);
  live_.Require(world_.RunUntil([this] { return Leader() != 0; }, kCatchUpMax),
                [] { return std::string("no leader"); });
  const int64_t before = oracle_.model().revision();
  live_.Require(world_.RunUntil([this, before] { return oracle_.model().revision() > before; }, kCatchUpMax) ||
                    shared_.operations >= shared_.operations_max,
                [&] { return absl::StrCat("no write after revision ", before); });
  shared_.open = false;
  // Nobody renews any more. Expiry is looked for every so often, and a new leader adds an election timeout.
  const auto slowest = static_cast<SimTime>(static_cast<double>(kLeaseTtlMax) / (1 - options_.sim.clock_skew));
  leases_end_.Require(world_.RunUntil([this] { return oracle_.model().leases().empty(); }, 2 * slowest + 30 * kSecond),
                      [this] { return absl::StrCat(oracle_.model().leases().size(), " leases do not end"); });
  const auto all_there = [this] {
    for (int node = 1; node <= nodes(); ++node) {
      if (replica(node).raft().applied().value() != oracle_.last() || !replica(node).raft().is_idle()) return false;
    }
    return true;
  };
  converged_.Require(world_.RunUntil(all_there, kCatchUpMax), [this] {
    std::string text = absl::StrCat("not all have applied ", oracle_.last(), ":");
    for (int node = 1; node <= nodes(); ++node) absl::StrAppend(&text, " ", replica(node).raft().applied().value());
    return text;
  });
  const int64_t last = oracle_.model().revision();
  const bool caught_up = world_.RunUntil(
      [this, last] {
        bool all = true;
        for (const auto& client : clients_) {
          client->RefreshWatches();
          all = all && client->WatchesAreAt(last);
        }
        return all;
      },
      kCatchUpMax);
  watches_catch_up_.Require(caught_up, [this, last] {
    std::string text = absl::StrCat("watches do not come to ", last, ":");
    for (const auto& client : clients_) absl::StrAppend(&text, client->WatchesText());
    return text;
  });
  for (int node = 1; node <= nodes(); ++node) {
    oracle_.CheckState(node, replica(node).store());
    replica(node).CheckRestartEquivalence();
    replica(node).CheckSnapshotEquivalence();
  }
}

// --- The profile.

Profile FullProfile() {
  Profile profile;
  profile.name = "full";
  profile.description = "whole members: keyspace, transactions, compaction, leases, watches, locks, elections";
  profile.breakable = {BrokenRule::kSyncDoesNothing, BrokenRule::kReadWithoutQuorum, BrokenRule::kDropApplied,
                       BrokenRule::kLoseWatchEvent, BrokenRule::kHurryLeases};
  profile.enough_seeds = 300;
  profile.run = [](uint64_t seed, const RunOptions& run) {
    RunResult result;
    FullOptions options = DrawFullOptions(seed);
    options.sim.broken_rule = run.broken_rule;
    result.options = options.ToString();
    FullCluster cluster(options, run, &result.ledger);
    result.schedule = cluster.schedule();
    try {
      cluster.Run();
    } catch (const Violation& violation) {
      cluster.world().Trace("VIOLATION ", violation.invariant, ": ", violation.detail);
      result.violation = violation;
    } catch (const RunStopped&) {
      // As asked.
    }
    result.events = cluster.world().events();
    result.ledger.totals["events"] = result.events;
    result.digest = cluster.world().digest();
    result.end = cluster.world().now();
    result.client_operations = cluster.client_operations();
    return result;
  };
  return profile;
}

}  // namespace keel::sim
