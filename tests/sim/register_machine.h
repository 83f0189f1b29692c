#pragma once

// A handful of registers that take values, appends and compare-and-set: the smallest state machine whose every mistake
// shows. A register is one number, in which an append mixes its argument, so that order, repetition and loss of
// operations all leave a trace. Commands name their session and number, and a repeated one has no effect (Raft §8).
//
// What survives a crash is a copy, switched atomically, as the real state's write batches are.

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/machine.h"

namespace keel::sim {

inline constexpr int kKeysMax = 8;

struct RegisterCommand {
  enum class Kind : uint8_t { kPut, kAppend, kCompareAndSet };
  uint32_t session = 0;
  uint32_t number = 0;  // Of the operation within its session; from 1 on.
  Kind kind = Kind::kPut;
  uint8_t key = 0;
  uint64_t value = 0;
  uint64_t expected = 0;  // Of a compare-and-set.

  std::string Encode(size_t padding) const;
  static std::optional<RegisterCommand> Decode(std::string_view payload);
};

// What an append of `value` makes of a register.
uint64_t Appended(uint64_t before, uint64_t value);

struct RegisterResult {
  uint64_t value = 0;     // Of the key, afterwards.
  bool succeeded = true;  // A compare-and-set found what it expected.
};

class RegisterMachine final : public Machine {
 public:
  // Called for every command that took effect, and not for repetitions; not during Recover.
  using OnCommand = std::function<void(raft::EntryId, const RegisterCommand&, const RegisterResult&)>;

  struct Start {
    raft::EntryId applied;
    raft::Membership membership;
  };
  RegisterMachine(Start start, OnCommand on_command);

  // A rule to break; see BrokenRule.
  bool lie_about_flush = false;
  bool repeat_last = false;

  raft::EntryId applied() const override { return state_.applied; }
  const raft::Membership& membership() const override { return state_.membership; }
  raft::EntryId durable_applied() const override { return lie_about_flush ? state_.applied : durable_.applied; }
  uint64_t hash() const override { return state_.hash; }
  absl::Status Apply(std::span<const raft::Entry> entries) override;
  absl::Status Flush() override;
  absl::StatusOr<std::string> TakeSnapshot() override;
  absl::Status Install(const std::string& snapshot) override;
  void Crash(CrashKind kind) override;
  absl::Status Recover() override;
  void Wipe() override;

  uint64_t ValueOf(int key) const { return state_.registers[static_cast<size_t>(key)]; }

 private:
  struct State {
    raft::EntryId applied;
    raft::Membership membership;
    std::array<uint64_t, kKeysMax> registers{};
    std::vector<uint32_t> sessions;  // The number of the last operation of each.
    uint64_t hash = 0;
  };

  absl::Status ApplyOne(const raft::Entry& entry);
  void ApplyCommand(const raft::Entry& entry);

  const OnCommand on_command_;
  State state_;
  State durable_;
  std::optional<raft::Entry> last_entry_;
};

}  // namespace keel::sim
