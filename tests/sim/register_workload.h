#pragma once

// Clients of the registers, each with one operation at a time and limited patience. An operation whose outcome its
// client did not learn may still take effect; the client goes on under a new session, as Raft §8 has it, so that it
// does so once at most.
//
// Owned by one thread.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/sim/cluster.h"
#include "tests/sim/history.h"
#include "tests/sim/register_machine.h"

namespace keel::sim {

class RegisterWorkload final : public Workload {
 public:
  RegisterWorkload(Ledger* ledger, const SimOptions& options, uint64_t operations_max);

  // A machine whose commands this workload hears of. `cluster` may not exist yet when it is made.
  std::unique_ptr<Machine> MakeMachine(raft::MemberId id, bool is_founder, const raft::Membership& membership);
  void SetCluster(Cluster* cluster);

  void Begin() override;
  void End() override { ended_ = true; }
  std::string Probe() override;
  void Check() override;

  uint64_t operations() const { return operations_; }
  const std::vector<Operation>& history() const { return history_; }

 private:
  struct Client {
    uint32_t session = 0;
    uint32_t number = 0;
    int node = 1;                   // Whom it prefers to ask.
    std::optional<size_t> pending;  // In the history.
    uint64_t life = 0;              // Of the member that was asked; another one has no connection to us.
  };

  void NextStep(size_t client);
  void Act(size_t client);
  void Write(size_t client, Member& member);
  void Read(size_t client, Member& member);
  void GiveUpLater(size_t client, size_t operation);
  void Finish(size_t client, Operation::Outcome outcome);
  void OnCommand(raft::MemberId id, raft::EntryId entry, const RegisterCommand& command, const RegisterResult& result);

  const SimOptions options_;
  const uint64_t operations_max_;
  Cluster* cluster_ = nullptr;
  std::optional<Random> random_;
  std::vector<Client> clients_;
  std::vector<Operation> history_;
  Effects effects_;
  uint64_t order_ = 0;
  uint64_t operations_ = 0;
  uint32_t next_session_ = 1;
  uint64_t next_value_ = 1;
  bool ended_ = false;

  Ledger& ledger_;
  OrderCheck order_check_;
  Invariant linearizable_;
  Invariant effects_agree_;
  uint64_t& writes_;
  uint64_t& reads_;
  uint64_t& failed_;
  uint64_t& unknown_;
};

}  // namespace keel::sim
