#include "tests/sim/register_workload.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace keel::sim {
namespace {

// Which histories also get the second opinion, and how long it may think.
constexpr uint64_t kSearchEvery = 8;
constexpr uint64_t kSearchStepsMax = 200000;

}  // namespace

RegisterWorkload::RegisterWorkload(Ledger* ledger, const SimOptions& options, uint64_t operations_max)
    : options_(options),
      operations_max_(operations_max),
      clients_(static_cast<size_t>(options.clients)),
      ledger_(*ledger),
      order_check_(ledger),
      linearizable_(ledger, "linearizable"),
      effects_agree_(ledger, "members-execute-alike"),
      writes_(ledger->totals["writes confirmed"]),
      reads_(ledger->totals["reads answered"]),
      failed_(ledger->totals["operations refused"]),
      unknown_(ledger->totals["operations of unknown outcome"]) {}

std::unique_ptr<Machine> RegisterWorkload::MakeMachine(raft::MemberId id, bool is_founder,
                                                       const raft::Membership& membership) {
  RegisterMachine::Start start;
  if (is_founder) start = {.applied = kBootstrap, .membership = membership};
  auto machine = std::make_unique<RegisterMachine>(
      start, [this, id](raft::EntryId entry, const RegisterCommand& command, const RegisterResult& result) {
        OnCommand(id, entry, command, result);
      });
  machine->repeat_last = options_.broken_rule == BrokenRule::kApplyTwice;
  machine->lie_about_flush = options_.broken_rule == BrokenRule::kDropApplied;
  return machine;
}

void RegisterWorkload::SetCluster(Cluster* cluster) {
  cluster_ = cluster;
  random_ = cluster->world().Stream("clients");
}

void RegisterWorkload::Begin() {
  for (size_t i = 0; i < clients_.size(); ++i) {
    clients_[i].session = next_session_++;
    clients_[i].node = static_cast<int>(random_->Between(1, options_.members));
    NextStep(i);
  }
}

void RegisterWorkload::NextStep(size_t client) {
  cluster_->world().At(random_->Between(0, 2 * options_.think), [this, client] {
    if (ended_ || operations_ >= operations_max_) return;
    if (!clients_[client].pending) Act(client);
    NextStep(client);
  });
}

void RegisterWorkload::Act(size_t client) {
  Client& self = clients_[client];
  if (random_->Chance(0.3)) self.node = static_cast<int>(random_->Between(1, cluster_->nodes()));
  Member& member = cluster_->member(self.node);
  if (!member.is_up() || member.is_paused()) return;
  ++operations_;
  self.life = member.life();
  Operation op{.client = static_cast<int>(client), .key = static_cast<int>(random_->Below(options_.keys))};
  op.called = ++order_;
  op.is_read = random_->Chance(options_.reads);
  self.pending = history_.size();
  history_.push_back(op);
  GiveUpLater(client, *self.pending);
  if (op.is_read) {
    Read(client, member);
  } else {
    Write(client, member);
  }
}

void RegisterWorkload::Write(size_t client, Member& member) {
  Client& self = clients_[client];
  Operation& op = history_[*self.pending];
  RegisterCommand& command = op.command;
  command.session = self.session;
  command.number = ++self.number;
  command.key = static_cast<uint8_t>(op.key);
  command.value = next_value_++;
  switch (random_->Below(4)) {
    case 0:
      command.kind = RegisterCommand::Kind::kPut;
      break;
    case 1: {
      command.kind = RegisterCommand::Kind::kCompareAndSet;
      // Something a client could know: what the member it asks has now.
      const auto& machine = static_cast<const RegisterMachine&>(member.machine());
      command.expected = machine.ValueOf(op.key);
      break;
    }
    default:
      command.kind = RegisterCommand::Kind::kAppend;
  }
  const size_t pending = *self.pending;
  const size_t padding = random_->Below(static_cast<uint64_t>(options_.payload_max) + 1);
  std::vector<raft::Payload> payloads;
  payloads.emplace_back(command.Encode(padding));
  const absl::Status status = member.Propose(std::move(payloads));
  if (!status.ok() && self.pending == pending) Finish(client, Operation::Outcome::kFailed);
}

void RegisterWorkload::Read(size_t client, Member& member) {
  const size_t pending = *clients_[client].pending;
  const raft::Index committed = cluster_->checker().newest_commit();
  member.Read([this, client, pending, committed, &member](const absl::Status& status) {
    if (status.ok()) cluster_->checker().OnReadAnswered(member, committed);
    if (clients_[client].pending != pending) return;
    if (!status.ok()) return Finish(client, Operation::Outcome::kFailed);
    Operation& op = history_[pending];
    const auto& machine = static_cast<const RegisterMachine&>(member.machine());
    op.index = machine.applied().index.value();
    op.value = machine.ValueOf(op.key);
    Finish(client, Operation::Outcome::kOk);
  });
}

void RegisterWorkload::GiveUpLater(size_t client, size_t operation) {
  cluster_->world().At(options_.patience, [this, client, operation] {
    if (clients_[client].pending == operation) Finish(client, Operation::Outcome::kUnknown);
  });
}

void RegisterWorkload::Finish(size_t client, Operation::Outcome outcome) {
  Client& self = clients_[client];
  Operation& op = history_[*self.pending];
  op.outcome = outcome;
  if (outcome != Operation::Outcome::kUnknown) op.returned = ++order_;
  switch (outcome) {
    case Operation::Outcome::kOk:
      ++(op.is_read ? reads_ : writes_);
      break;
    case Operation::Outcome::kFailed:
      ++failed_;
      break;
    case Operation::Outcome::kUnknown:
      ++unknown_;
      if (!op.is_read) {
        self.session = next_session_++;
        self.number = 0;
      }
      break;
  }
  cluster_->world().Note(Mix(op.index, op.value));
  self.pending.reset();
}

void RegisterWorkload::OnCommand(raft::MemberId id, raft::EntryId entry, const RegisterCommand& command,
                                 const RegisterResult& result) {
  const auto [it, is_new] = effects_.try_emplace(entry.index.value(), Effect{command, result});
  const Effect& first = it->second;
  effects_agree_.Require(
      is_new || (first.command.session == command.session && first.command.number == command.number &&
                 first.result.value == result.value && first.result.succeeded == result.succeeded),
      [&] { return absl::StrCat("member ", id.value(), " executed entry ", entry.index.value(), " otherwise"); });
  for (size_t i = 0; i < clients_.size(); ++i) {
    const Client& client = clients_[i];
    if (!client.pending || client.session != command.session || client.number != command.number) continue;
    const bool asked_here =
        client.node == static_cast<int>(id.value()) && client.life == cluster_->member(client.node).life();
    if (!asked_here || history_[*client.pending].is_read) continue;
    Operation& op = history_[*client.pending];
    op.index = entry.index.value();
    op.value = result.value;
    op.succeeded = result.succeeded;
    Finish(i, Operation::Outcome::kOk);
  }
}

std::string RegisterWorkload::Probe() {
  // A session of its own, with one operation, on a register that no client uses.
  const RegisterCommand command{.session = next_session_++,
                                .number = 1,
                                .kind = RegisterCommand::Kind::kAppend,
                                .key = kKeysMax - 1,
                                .value = next_value_++};
  return command.Encode(0);
}

void RegisterWorkload::Check() {
  order_check_.Run(history_, effects_);
  if (options_.seed % kSearchEvery != 0) return;
  for (int key = 0; key < options_.keys; ++key) {
    const Linearizable verdict = SearchLinearization(history_, key, kSearchStepsMax);
    if (verdict == Linearizable::kTooLarge) {
      ++ledger_.totals["histories too large to search"];
      continue;
    }
    linearizable_.Require(verdict == Linearizable::kYes,
                          [&] { return absl::StrCat("no order explains the answers about key ", key); });
  }
}

}  // namespace keel::sim
