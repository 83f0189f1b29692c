#include "tests/sim/cluster.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/raft.pb.h"
#include "raft/wire.h"

namespace keel::sim {
namespace {

using raft::Index;
using raft::MemberId;

raft::Membership Founders(int members) {
  raft::Membership membership;
  for (int id = 1; id <= members; ++id) membership.voters.push_back(MemberId(static_cast<uint64_t>(id)));
  return membership;
}

}  // namespace

Cluster::Cluster(World* world, Ledger* ledger, const SimOptions& options, const MachineFactory& make_machine)
    : world_(*world),
      ledger_(*ledger),
      options_(options),
      random_(world->Stream("cluster")),
      network_(world, ledger, options.network, options.members + options.spares + 1,
               [this](int from, int to, const std::string& bytes) { Deliver(from, to, bytes); }),
      checker_(ledger, kBootstrap, 0, Founders(options.members)),
      cuts_(world, &network_, &random_, options.members + options.spares),
      next_spare_(options.members + 1),
      accepts_(ledger, "members-accept-each-other"),
      recovers_leader_(ledger, "recovery-has-a-leader"),
      recovers_progress_(ledger, "recovery-commits"),
      recovers_reads_(ledger, "recovery-answers-reads"),
      recovers_catch_up_(ledger, "recovery-catches-up"),
      stable_leader_(ledger, "recovery-keeps-its-leader"),
      term_stands_still_(ledger, "term-stands-still-under-a-leader"),
      recovers_settled_(ledger, "recovery-ends-membership-changes"),
      equal_states_(ledger, "states-equal-in-the-end"),
      damage_was_done_(ledger, "only-damaged-members-give-up"),
      transfers_begun_(ledger, "transfer-begun"),
      changes_begun_(ledger, "membership-change-begun"),
      rollbacks_refused_(ledger, "older-directory-refused"),
      messages_(ledger->totals["messages"]),
      elections_(ledger->totals["elections"]),
      installs_(ledger->totals["snapshots installed"]) {
  members_.resize(static_cast<size_t>(network_.nodes()));
  views_.resize(members_.size(), nullptr);
  const raft::Membership founders = Founders(options.members);
  for (int node = 1; node < network_.nodes(); ++node) {
    const MemberId id(static_cast<uint64_t>(node));
    const bool is_founder = node <= options.members;
    members_[static_cast<size_t>(node)] = std::make_unique<Member>(
        world, ledger, &options_, id, make_machine(id, is_founder, is_founder ? founders : raft::Membership()), this);
    views_[static_cast<size_t>(node)] = members_[static_cast<size_t>(node)].get();
  }
  checker_.SetMembers(&views_);
}

Cluster::~Cluster() = default;

void Cluster::Start() {
  for (int node = 1; node <= options_.members; ++node) {
    may_run_.insert(node);
    member(node).Start();
  }
}

void Cluster::Run(const FaultSchedule& schedule, Workload* workload) {
  Start();
  workload->Begin();
  for (const FaultEvent& event : schedule) {
    world_.At(event.at, [this, event] {
      if (faults_) Apply(event);
    });
  }
  world_.RunFor(options_.safety);
  const std::set<int> core = ChooseCore();
  EndFaults();
  workload->End();
  if (core.empty()) {
    ++ledger_.totals["runs without a majority left"];
    return;
  }
  HealAmong(core);
  ShutOut(core);
  CheckRecovery(core, workload);
  // Then for everybody who still can.
  std::set<int> all;
  for (const int node : Involved()) {
    if (damaged_.count(node) == 0) all.insert(node);
  }
  if (all != core) {
    HealAmong(all);
    CheckRecovery(all, workload);
  }
  workload->Check();
}

int Cluster::Leader() const {
  std::set<int> all;
  for (int node = 1; node <= nodes(); ++node) all.insert(node);
  return LeaderAmong(all);
}

// --- Between members.

void Cluster::OnStopping(const Member& ended) {
  world_.Trace(ended.node(), " ends");
  // Its host answers for it: the connection is refused.
  for (int node = 1; node <= nodes(); ++node) {
    if (node == ended.node() || !random_.Chance(options_.report_died)) continue;
    world_.At(random_.Between(100, 5 * kMillisecond), [this, node, peer = ended.id()] {
      Member& m = member(node);
      if (m.is_up() && !m.is_paused()) m.Input([peer](raft::Core& core) { core.OnPeerDied(peer); });
    });
  }
}

bool Cluster::Send(const Member& from, const raft::Message& message) {
  checker_.OnSend(from, message);
  ++messages_;
  if (message.to.value() >= members_.size()) return false;
  raftpb::Message pb;
  raft::EncodeMessage(message, &pb);
  return network_.Send(from.node(), static_cast<int>(message.to.value()), pb.SerializeAsString());
}

void Cluster::Deliver(int from, int to, const std::string& bytes) {
  Member& receiver = member(to);
  if (!receiver.is_up()) return;
  raftpb::Message pb;
  if (!pb.ParseFromString(bytes)) throw Violation{"messages-decode", "a message does not parse"};
  absl::StatusOr<raft::Message> message = raft::DecodeMessage(std::move(pb));
  if (!message.ok()) {
    throw Violation{"messages-decode", absl::StrCat("a message from ", from, ": ", message.status().ToString())};
  }
  receiver.Deliver(*std::move(message));
}

void Cluster::SendSnapshot(const Member& from, const raft::SnapshotWork& work, const raft::SnapshotMeta& meta,
                           std::string bytes, std::function<void(absl::Status)> report) {
  const int to = static_cast<int>(work.follower.value());
  const auto fail = [&] { report(absl::UnavailableError("the transfer failed")); };
  if (work.follower.value() >= members_.size() || !network_.IsUp(from.node(), to)) return fail();
  if (faults_ && random_.Chance(options_.network.drop)) return fail();
  raftpb::SnapshotMeta pb;
  raft::EncodeSnapshotMeta(meta, &pb);
  const SimTime longest = faults_ ? 20 * options_.network.delay_mean + 50 * kMillisecond : 50 * kMillisecond;
  world_.At(random_.Between(kMillisecond, longest),
            [this, from = from.node(), to, work, meta_bytes = pb.SerializeAsString(), bytes = std::move(bytes),
             report = std::move(report)]() mutable {
              Member& receiver = member(to);
              if (!receiver.is_up() || receiver.is_paused() || !network_.IsUp(from, to)) {
                return report(absl::UnavailableError("the transfer failed"));
              }
              raftpb::SnapshotMeta in;
              if (!in.ParseFromString(meta_bytes))
                throw Violation{"messages-decode", "a snapshot's meta does not parse"};
              const absl::StatusOr<raft::SnapshotMeta> decoded = raft::DecodeSnapshotMeta(in);
              if (!decoded.ok()) throw Violation{"messages-decode", decoded.status().ToString()};
              receiver.OfferSnapshot(MemberId(static_cast<uint64_t>(from)), work.term, *decoded, std::move(bytes),
                                     std::move(report));
            });
}

// --- News of members.

void Cluster::OnStarted(const Member& member) {
  damage_was_done_.Require(true, [] { return std::string(); });
  checker_.OnStarted(member);
}

void Cluster::OnLost(const Member& member, const absl::Status& why) {
  world_.Trace(member.node(), " gives up: ", why.ToString());
  ++ledger_.totals["members given up"];
  rollbacks_refused_.Reached(cuts_.IsCutForGood(member.node(), member.node() % nodes() + 1));
  damage_was_done_.Require(damaged_.count(member.node()) != 0, [&] {
    return absl::StrCat("member ", member.node(), " gives up, though nothing was done to its disk: ", why.ToString());
  });
}

void Cluster::OnInstalled(const Member& member) {
  ++installs_;
  checker_.OnInstalled(member);
}

void Cluster::OnStepped(const Member& member, const raft::Message& message, const absl::Status& status) {
  if (!status.ok()) ++ledger_.totals["messages refused"];
  // Whoever has left, or is not known yet, is not listened to.
  const bool is_stranger =
      absl::IsFailedPrecondition(status) && (options_.spares > 0 || damaged_.count(member.node()) != 0);
  accepts_.Require(status.ok() || is_stranger || absl::IsDataLoss(status), [&] {
    return absl::StrCat("member ", member.node(), " refused a ", raft::MessageName(message), " of member ",
                        message.from.value(), ": ", status.ToString());
  });
}

void Cluster::OnEvent(const Member& member) {
  checker_.OnEvent(member);
  const raft::CoreStatus status = member.status();
  if (status.role == raft::Role::kLeader && terms_led_.insert(status.term).second) {
    ++elections_;
    world_.Trace(member.node(), " leads term ", status.term.value());
  }
}

}  // namespace keel::sim
