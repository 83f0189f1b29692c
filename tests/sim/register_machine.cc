#include "tests/sim/register_machine.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/status_macros.h"
#include "proto/raft.pb.h"
#include "raft/membership.h"
#include "raft/wire.h"
#include "tests/sim/ledger.h"

namespace keel::sim {
namespace {

constexpr size_t kCommandBytes = 4 + 4 + 1 + 1 + 8 + 8;

}  // namespace

std::string RegisterCommand::Encode(size_t padding) const {
  std::string out;
  AppendLittleEndian32(session, &out);
  AppendLittleEndian32(number, &out);
  out.push_back(static_cast<char>(kind));
  out.push_back(static_cast<char>(key));
  AppendLittleEndian64(value, &out);
  AppendLittleEndian64(expected, &out);
  out.append(padding, 'x');
  return out;
}

std::optional<RegisterCommand> RegisterCommand::Decode(std::string_view payload) {
  if (payload.size() < kCommandBytes) return std::nullopt;
  RegisterCommand command;
  const char* const p = payload.data();
  command.session = ReadLittleEndian32(p);
  command.number = ReadLittleEndian32(p + 4);
  command.kind = static_cast<Kind>(p[8]);
  command.key = static_cast<uint8_t>(p[9]);
  command.value = ReadLittleEndian64(p + 10);
  command.expected = ReadLittleEndian64(p + 18);
  if (command.kind > Kind::kCompareAndSet || command.key >= kKeysMax) return std::nullopt;
  return command;
}

uint64_t Appended(uint64_t before, uint64_t value) { return Mix(before, value); }

RegisterMachine::RegisterMachine(Start start, OnCommand on_command) : on_command_(std::move(on_command)) {
  state_.applied = start.applied;
  state_.membership = std::move(start.membership);
  durable_ = state_;
}

absl::Status RegisterMachine::Apply(std::span<const raft::Entry> entries) {
  for (const raft::Entry& entry : entries) {
    KEEL_RETURN_IF_ERROR(ApplyOne(entry));
    if (repeat_last) last_entry_ = entry;
  }
  return absl::OkStatus();
}

absl::Status RegisterMachine::ApplyOne(const raft::Entry& entry) {
  state_.applied = entry.id;
  state_.hash = HashOf(entry.payload.view(), Mix(state_.hash, static_cast<uint64_t>(entry.type)));
  if (entry.type == raft::EntryType::kCommand) ApplyCommand(entry);
  if (entry.type == raft::EntryType::kMembership) {
    KEEL_ASSIGN_OR_RETURN(raft::MembershipEntry decoded, raft::DecodeMembershipEntry(entry.payload.view()));
    state_.membership = std::move(decoded.membership);
  }
  return absl::OkStatus();
}

void RegisterMachine::ApplyCommand(const raft::Entry& entry) {
  const std::optional<RegisterCommand> command = RegisterCommand::Decode(entry.payload.view());
  if (!command) return;
  if (command->session >= state_.sessions.size()) state_.sessions.resize(command->session + 1);
  uint32_t& newest = state_.sessions[command->session];
  if (command->number <= newest) return;
  newest = command->number;
  uint64_t& value = state_.registers[command->key];
  RegisterResult result;
  switch (command->kind) {
    case RegisterCommand::Kind::kPut:
      value = command->value;
      break;
    case RegisterCommand::Kind::kAppend:
      value = Appended(value, command->value);
      break;
    case RegisterCommand::Kind::kCompareAndSet:
      result.succeeded = value == command->expected;
      if (result.succeeded) value = command->value;
      break;
  }
  result.value = value;
  state_.hash = Mix(state_.hash, value);
  on_command_(entry.id, *command, result);
}

absl::Status RegisterMachine::Flush() {
  if (!lie_about_flush) durable_ = state_;
  return absl::OkStatus();
}

absl::StatusOr<std::string> RegisterMachine::TakeSnapshot() {
  raftpb::SnapshotMeta meta;
  raft::EncodeSnapshotMeta({.last = state_.applied, .membership = state_.membership}, &meta);
  const std::string meta_bytes = meta.SerializeAsString();
  std::string out;
  AppendLittleEndian32(static_cast<uint32_t>(meta_bytes.size()), &out);
  out += meta_bytes;
  for (const uint64_t value : state_.registers) AppendLittleEndian64(value, &out);
  AppendLittleEndian64(state_.hash, &out);
  for (const uint32_t number : state_.sessions) AppendLittleEndian32(number, &out);
  return out;
}

absl::Status RegisterMachine::Install(const std::string& snapshot) {
  const auto malformed = [] { return absl::DataLossError("malformed snapshot of the registers"); };
  if (snapshot.size() < 4) return malformed();
  const size_t meta_bytes = ReadLittleEndian32(snapshot.data());
  constexpr size_t kFixed = (kKeysMax + 1) * sizeof(uint64_t);
  if (snapshot.size() < 4 + meta_bytes + kFixed) return malformed();
  raftpb::SnapshotMeta pb;
  if (!pb.ParseFromArray(snapshot.data() + 4, static_cast<int>(meta_bytes))) return malformed();
  KEEL_ASSIGN_OR_RETURN(raft::SnapshotMeta meta, raft::DecodeSnapshotMeta(pb));
  State state;
  state.applied = meta.last;
  state.membership = std::move(meta.membership);
  const char* p = snapshot.data() + 4 + meta_bytes;
  for (uint64_t& value : state.registers) {
    value = ReadLittleEndian64(p);
    p += sizeof value;
  }
  state.hash = ReadLittleEndian64(p);
  p += sizeof state.hash;
  for (; p + sizeof(uint32_t) <= snapshot.data() + snapshot.size(); p += sizeof(uint32_t)) {
    state.sessions.push_back(ReadLittleEndian32(p));
  }
  state_ = std::move(state);
  durable_ = state_;
  return absl::OkStatus();
}

void RegisterMachine::Crash(CrashKind) {}

absl::Status RegisterMachine::Recover() {
  state_ = durable_;
  if (repeat_last && last_entry_ && last_entry_->id == state_.applied) return ApplyOne(*last_entry_);
  return absl::OkStatus();
}

void RegisterMachine::Wipe() { state_ = durable_ = State{}; }

}  // namespace keel::sim
