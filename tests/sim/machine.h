#pragma once

// The replicated state of one simulated member: what its apply thread executes entries on, and what of it survives a
// crash. The core, member and disk profiles use RegisterMachine; another profile brings its own.

#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "raft/core.h"
#include "raft/entry.h"
#include "raft/types.h"

namespace keel::sim {

class Machine {
 public:
  virtual ~Machine() = default;

  // Where it stands.
  virtual raft::EntryId applied() const = 0;
  virtual const raft::Membership& membership() const = 0;
  // The position that a crash now would come back to.
  virtual raft::EntryId durable_applied() const = 0;
  // Of the replicated state: equal on all members at equal positions, and different when the state differs.
  virtual uint64_t hash() const = 0;

  // Executes one group, in order, none of it applied before. An error ends the member.
  virtual absl::Status Apply(std::span<const raft::Entry> entries) = 0;
  // What has been applied becomes durable.
  virtual absl::Status Flush() = 0;

  // A snapshot as bytes that a stream could carry; it stands at applied().
  virtual absl::StatusOr<std::string> TakeSnapshot() = 0;
  // Replaces the state, durably, by a snapshot of a later position.
  virtual absl::Status Install(const std::string& snapshot) = 0;

  // The process has ended, or the machine did; the next call is Recover.
  enum class CrashKind { kKill, kPowerCut };
  virtual void Crash(CrashKind kind) = 0;
  // Back to what is durable. An error: this member cannot start.
  virtual absl::Status Recover() = 0;

  // As a fresh member of no group, with nothing on its disk.
  virtual void Wipe() = 0;
};

}  // namespace keel::sim
