#pragma once

// What clients asked and were told, and the two ways to judge it.
//
// By order: every answer names the position in the log at which it was true, so the order of operations is known;
// replaying it through a model of its own must give the answers, and no operation may come before one that had returned
// when it began. Linear, so it is done for every run.
//
// By search (Wing and Gong, with Lowe's memory of configurations): an order of the operations on one register that
// explains all answers, found without knowing any position. Exponential in the worst case, so it is done for some runs
// and small histories: a second opinion that shares nothing with the first.
//
// Pure.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/ledger.h"
#include "tests/sim/register_machine.h"

namespace keel::sim {

struct Operation {
  int client = 0;
  bool is_read = false;
  int key = 0;
  RegisterCommand command;  // Of a write.

  // Places in the order of all calls and returns of a run.
  uint64_t called = 0;
  uint64_t returned = UINT64_MAX;
  enum class Outcome { kUnknown, kOk, kFailed } outcome = Outcome::kUnknown;  // kFailed: it surely had no effect.

  uint64_t index = 0;     // kOk: in the log; of a read: what had been applied.
  uint64_t value = 0;     // kOk: of the register, afterwards.
  bool succeeded = true;  // kOk: a compare-and-set found what it expected.

  std::string ToString() const;
};

// What the log did, from the first member that executed it.
struct Effect {
  RegisterCommand command;
  RegisterResult result;
};
using Effects = std::map<uint64_t, Effect>;  // By index.

class OrderCheck {
 public:
  explicit OrderCheck(Ledger* ledger);
  // Throws Violation.
  void Run(const std::vector<Operation>& history, const Effects& effects);

 private:
  Invariant answers_;
  Invariant effects_once_;
  Invariant failed_without_effect_;
  Invariant real_time_;
};

enum class Linearizable { kYes, kNo, kTooLarge };
// Of one register. `steps_max` bounds the search.
Linearizable SearchLinearization(const std::vector<Operation>& history, int key, uint64_t steps_max);

}  // namespace keel::sim
