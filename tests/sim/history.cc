#include "tests/sim/history.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"

namespace keel::sim {
namespace {

using Kind = RegisterCommand::Kind;

// A register as a client understands it; deliberately not RegisterMachine's code.
bool Perform(const RegisterCommand& command, uint64_t* value) {
  if (command.kind == Kind::kCompareAndSet && *value != command.expected) return false;
  *value = command.kind == Kind::kAppend ? Appended(*value, command.value) : command.value;
  return true;
}

using OperationId = std::pair<uint32_t, uint32_t>;  // Session and number.

OperationId IdOf(const RegisterCommand& command) { return {command.session, command.number}; }

}  // namespace

std::string Operation::ToString() const {
  static constexpr const char* kKinds[] = {"put", "append", "cas"};
  static constexpr const char* kOutcomes[] = {"unknown", "ok", "failed"};
  return absl::StrCat("client ", client, " ", is_read ? "read" : kKinds[static_cast<int>(command.kind)], " key ", key,
                      is_read ? std::string() : absl::StrCat(" value ", command.value), " [", called, ", ",
                      returned == UINT64_MAX ? std::string("-") : absl::StrCat(returned), "] ",
                      kOutcomes[static_cast<int>(outcome)], " index ", index, " result ", value,
                      succeeded ? "" : " (refused)");
}

OrderCheck::OrderCheck(Ledger* ledger)
    : answers_(ledger, "answers-follow-from-log"),
      effects_once_(ledger, "operation-takes-effect-once"),
      failed_without_effect_(ledger, "failed-operation-has-no-effect"),
      real_time_(ledger, "real-time-order") {}

void OrderCheck::Run(const std::vector<Operation>& history, const Effects& effects) {
  std::map<OperationId, uint64_t> index_of;
  std::array<std::map<uint64_t, uint64_t>, kKeysMax> values;  // Of each key, from an index on.
  std::array<uint64_t, kKeysMax> now{};
  for (auto& versions : values) versions[0] = 0;
  for (const auto& [index, effect] : effects) {
    const auto [it, is_new] = index_of.try_emplace(IdOf(effect.command), index);
    effects_once_.Require(is_new, [&] {
      return absl::StrCat("operation ", effect.command.number, " of session ", effect.command.session,
                          " took effect at ", it->second, " and at ", index);
    });
    uint64_t& value = now[effect.command.key];
    const bool succeeded = Perform(effect.command, &value);
    values[effect.command.key][index] = value;
    answers_.Require(succeeded == effect.result.succeeded && value == effect.result.value,
                     [&] { return absl::StrCat("the entry ", index, " had another result than replaying it"); });
  }

  for (const Operation& op : history) {
    if (op.is_read) {
      if (op.outcome != Operation::Outcome::kOk) continue;
      const uint64_t expected = std::prev(values[static_cast<size_t>(op.key)].upper_bound(op.index))->second;
      answers_.Require(op.value == expected,
                       [&] { return absl::StrCat("a read saw what never was: ", op.ToString()); });
      continue;
    }
    const auto it = index_of.find(IdOf(op.command));
    if (op.outcome == Operation::Outcome::kFailed) {
      failed_without_effect_.Require(it == index_of.end(), [&] {
        return absl::StrCat("it was refused, and took effect at ", it->second, ": ", op.ToString());
      });
    } else if (op.outcome == Operation::Outcome::kOk) {
      answers_.Require(it != index_of.end() && it->second == op.index,
                       [&] { return absl::StrCat("confirmed, but not in the log: ", op.ToString()); });
      const Effect& effect = effects.at(op.index);
      answers_.Require(effect.result.value == op.value && effect.result.succeeded == op.succeeded,
                       [&] { return absl::StrCat("answered otherwise than executed: ", op.ToString()); });
    }
  }

  // Time: nothing comes before what had returned when it began.
  struct Event {
    uint64_t at;
    bool is_return;
    const Operation* op;
    uint64_t index;
  };
  std::vector<Event> events;
  for (const Operation& op : history) {
    uint64_t index = op.index;
    if (op.outcome == Operation::Outcome::kFailed) continue;
    if (op.outcome == Operation::Outcome::kUnknown) {
      const auto it = op.is_read ? index_of.end() : index_of.find(IdOf(op.command));
      if (it == index_of.end()) continue;
      index = it->second;
    }
    events.push_back({op.called, false, &op, index});
    if (op.outcome == Operation::Outcome::kOk) events.push_back({op.returned, true, &op, index});
  }
  std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) { return a.at < b.at; });
  uint64_t seen = 0;
  for (const Event& event : events) {
    if (event.is_return) {
      seen = std::max(seen, event.index);
      continue;
    }
    real_time_.Require(event.op->is_read ? event.index >= seen : event.index > seen, [&] {
      return absl::StrCat("it began after ", seen, " had been seen, but is at ", event.index, ": ",
                          event.op->ToString());
    });
  }
}

Linearizable SearchLinearization(const std::vector<Operation>& history, int key, uint64_t steps_max) {
  std::vector<const Operation*> ops;
  size_t unknown = 0;
  for (const Operation& op : history) {
    if (op.key != key || op.outcome == Operation::Outcome::kFailed) continue;
    if (op.outcome == Operation::Outcome::kUnknown) {
      if (op.is_read) continue;
      ++unknown;
    }
    ops.push_back(&op);
  }
  static constexpr size_t kOperationsMax = 256;
  static constexpr size_t kUnknownMax = 12;
  if (ops.size() > kOperationsMax || unknown > kUnknownMax) return Linearizable::kTooLarge;
  std::sort(ops.begin(), ops.end(), [](const auto* a, const auto* b) { return a->called < b->called; });

  // A configuration: which operations have been placed, and the value then. Depth first, remembering those that failed.
  using Placed = std::array<uint64_t, kOperationsMax / 64>;
  struct Frame {
    Placed placed;
    uint64_t value;
    size_t next;  // The candidate to try next.
  };
  std::set<std::pair<Placed, uint64_t>> visited;
  const auto has = [](const Placed& placed, size_t i) { return (placed[i / 64] >> (i % 64) & 1) != 0; };
  std::vector<Frame> stack{{Placed{}, 0, 0}};
  uint64_t steps = 0;
  while (!stack.empty()) {
    if (++steps > steps_max) return Linearizable::kTooLarge;
    Frame& frame = stack.back();
    // Whatever returned first among the unplaced bounds what may come next. An unknown operation never returned.
    uint64_t earliest_return = UINT64_MAX;
    bool all_known_placed = true;
    for (size_t i = 0; i < ops.size(); ++i) {
      if (has(frame.placed, i) || ops[i]->outcome != Operation::Outcome::kOk) continue;
      all_known_placed = false;
      earliest_return = std::min(earliest_return, ops[i]->returned);
    }
    if (all_known_placed) return Linearizable::kYes;
    bool advanced = false;
    while (frame.next < ops.size()) {
      const size_t i = frame.next++;
      const Operation& op = *ops[i];
      if (op.called > earliest_return) break;
      if (has(frame.placed, i)) continue;
      uint64_t value = frame.value;
      if (op.is_read) {
        if (op.value != value) continue;
      } else {
        const bool succeeded = Perform(op.command, &value);
        if (op.outcome == Operation::Outcome::kOk && (succeeded != op.succeeded || value != op.value)) continue;
      }
      Placed placed = frame.placed;
      placed[i / 64] |= uint64_t{1} << (i % 64);
      if (!visited.emplace(placed, value).second) continue;
      stack.push_back({placed, value, 0});
      advanced = true;
      break;
    }
    if (!advanced) stack.pop_back();
  }
  return Linearizable::kNo;
}

}  // namespace keel::sim
