// The judges of histories, judged: right histories pass, wrong ones do not.

#include "tests/sim/history.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace keel::sim {
namespace {

using Kind = RegisterCommand::Kind;
using Outcome = Operation::Outcome;

Operation Put(uint32_t session, uint64_t value, uint64_t called, uint64_t returned, uint64_t index) {
  Operation op;
  op.command = {.session = session, .number = 1, .kind = Kind::kPut, .value = value};
  op.called = called;
  op.returned = returned;
  op.outcome = Outcome::kOk;
  op.index = index;
  op.value = value;
  return op;
}

Operation Read(uint64_t value, uint64_t called, uint64_t returned, uint64_t index) {
  Operation op;
  op.is_read = true;
  op.called = called;
  op.returned = returned;
  op.outcome = Outcome::kOk;
  op.index = index;
  op.value = value;
  return op;
}

Operation Unknown(Operation op) {
  op.outcome = Outcome::kUnknown;
  op.returned = UINT64_MAX;
  return op;
}

struct Case {
  const char* name;
  std::vector<Operation> history;
  bool by_order;   // Is it right?
  bool by_search;  // May differ: the search does not know positions.
};

const Case kCases[] = {
    {"nothing", {}, true, true},
    {"one after the other", {Put(1, 5, 1, 2, 10), Read(5, 3, 4, 10)}, true, true},
    {"a read before any write", {Read(0, 1, 2, 5), Put(1, 5, 3, 4, 10)}, true, true},
    {"a stale read", {Put(1, 5, 1, 2, 10), Read(0, 3, 4, 9)}, false, false},
    {"a read of what never was", {Put(1, 5, 1, 2, 10), Read(6, 3, 4, 10)}, false, false},
    {"concurrent, old value", {Put(1, 5, 1, 4, 10), Read(0, 2, 3, 9)}, true, true},
    {"concurrent, new value", {Put(1, 5, 1, 4, 10), Read(5, 2, 3, 10)}, true, true},
    {"new, then old again", {Put(1, 5, 1, 8, 10), Read(5, 2, 3, 10), Read(0, 4, 5, 9)}, false, false},
    {"two writes, the later one wins", {Put(1, 5, 1, 2, 10), Put(2, 6, 3, 4, 11), Read(6, 5, 6, 11)}, true, true},
    {"two writes in the wrong order", {Put(1, 5, 1, 2, 11), Put(2, 6, 3, 4, 10), Read(5, 5, 6, 11)}, false, false},
    {"unknown, took effect", {Unknown(Put(1, 5, 1, 0, 10)), Read(5, 3, 4, 10)}, true, true},
    {"unknown, takes effect later", {Unknown(Put(1, 5, 1, 0, 12)), Read(0, 3, 4, 9), Read(5, 5, 6, 12)}, true, true},
    {"unknown, seen and gone", {Unknown(Put(1, 5, 1, 0, 10)), Read(5, 3, 4, 10), Read(0, 5, 6, 9)}, false, false},
};

bool OrderAccepts(const std::vector<Operation>& history) {
  Effects effects;
  for (const Operation& op : history) {
    if (!op.is_read) effects[op.index] = {op.command, {.value = op.command.value, .succeeded = true}};
  }
  Ledger ledger;
  try {
    OrderCheck(&ledger).Run(history, effects);
  } catch (const Violation&) {
    return false;
  }
  return true;
}

TEST(HistoryTest, BothJudgesKnowRightFromWrong) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(OrderAccepts(c.history), c.by_order);
    EXPECT_EQ(SearchLinearization(c.history, 0, 100000), c.by_search ? Linearizable::kYes : Linearizable::kNo);
  }
}

TEST(HistoryTest, ACompareAndSetThatShouldHaveFailedIsNoticed) {
  Operation cas = Put(2, 7, 3, 4, 11);
  cas.command.kind = Kind::kCompareAndSet;
  cas.command.expected = 5;
  EXPECT_EQ(SearchLinearization({Put(1, 5, 1, 2, 10), cas}, 0, 1000), Linearizable::kYes);
  EXPECT_EQ(SearchLinearization({Put(1, 6, 1, 2, 10), cas}, 0, 1000), Linearizable::kNo);
}

TEST(HistoryTest, ARefusedOperationMustNotTakeEffect) {
  Operation refused = Put(1, 5, 1, 2, 10);
  refused.outcome = Outcome::kFailed;
  EXPECT_FALSE(OrderAccepts({refused}));
}

TEST(HistoryTest, AnOperationTakesEffectOnce) {
  const Operation op = Put(1, 5, 1, 2, 10);
  Effects effects;
  effects[10] = effects[11] = {op.command, {.value = 5, .succeeded = true}};
  Ledger ledger;
  EXPECT_THROW(OrderCheck(&ledger).Run({op}, effects), Violation);
}

TEST(HistoryTest, OtherKeysDoNotMatter) {
  Operation other = Read(77, 3, 4, 10);
  other.key = 1;
  EXPECT_EQ(SearchLinearization({Put(1, 5, 1, 2, 10), other}, 0, 1000), Linearizable::kYes);
  EXPECT_EQ(SearchLinearization({Put(1, 5, 1, 2, 10), other}, 1, 1000), Linearizable::kNo);
}

}  // namespace
}  // namespace keel::sim
