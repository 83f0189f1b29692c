#pragma once

// What will be done to a world, and when: drawn from the seed before the run, so that it can be printed, replayed,
// shortened, and kept as a file. Faults of single messages are not here, they are rates of the network.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/random.h"
#include "tests/sim/world.h"

namespace keel::sim {

enum class FaultKind {
  kKill,         // The process ends; its page cache survives. Back after `duration`.
  kPowerCut,     // The machine ends; what was not synced may be lost. Back after `duration`.
  kPowerCutAll,  // All of them at once.
  kPause,        // A process stands still for `duration`, then goes on as if nothing had happened.
  kDiskStall,    // Writes take `duration`.
  kDiskError,    // An operation of the disk fails; `param` says which.
  kDiskFull,     // For `duration`.
  kBitRot,       // A bit of the log at rest turns.
  kRollback,     // The directory is replaced by an older copy of itself while the member is down.
  kWipe,         // The directory is lost.
  kIsolate,      // No message to or from the target. Undone after `duration`, as all below.
  kHalves,       // Two groups; `param` says who is in which.
  kBridge,       // Two groups that share only the target.
  kRing,         // Everybody hears neighbours only.
  kOneWay,       // One direction of one link.
  kMuted,        // The target hears, but cannot speak.
  kDeafened,     // It speaks, but does not hear.
  kSwizzle,      // Links are cut one by one and healed in another order.
  kFlap,         // A link goes up and down.
  kClog,         // One direction holds messages back.
  kCampaign,     // The target stands for election out of turn.
  kPeerDied,     // The target is told that another's process has died, rightly or not.
  kTransfer,     // The leader is asked to hand over to the target.
  kAddLearner,   // Changes of membership, asked of the leader.
  kPromote,
  kAddVoter,
  kRemove,
  kReplace,   // Remove the target and add another in one step.
  kTruncate,  // The state becomes durable and the log before it goes.
  kTailRot,   // A bit of the last write to the log turns, after it was synced, while the member is down.
};
inline constexpr size_t kFaultKinds = static_cast<size_t>(FaultKind::kTailRot) + 1;

const char* FaultName(FaultKind kind);  // "power-cut"

// Instead of a node: whoever leads at that moment.
inline constexpr int kLeader = -1;

struct FaultEvent {
  SimTime at = 0;
  FaultKind kind = FaultKind::kKill;
  int target = 0;
  int other = 0;
  SimTime duration = 0;
  uint64_t param = 0;

  // "12.500000 power-cut target=leader other=2 for=3.100000 param=17"
  std::string ToString() const;
  // kInvalidArgument says what is wrong with the line.
  static absl::StatusOr<FaultEvent> Parse(std::string_view line);

  friend bool operator==(const FaultEvent&, const FaultEvent&) = default;
};

// By time.
using FaultSchedule = std::vector<FaultEvent>;

// How often each kind comes, per simulated second; 0: never in this world.
struct FaultRates {
  std::array<double, kFaultKinds> per_second{};
  SimTime duration_max = 10 * kSecond;

  double& operator[](FaultKind kind) { return per_second[static_cast<size_t>(kind)]; }
  double operator[](FaultKind kind) const { return per_second[static_cast<size_t>(kind)]; }
  std::string ToString() const;
};

// Over [0, length). Nodes are 1 to `nodes`.
FaultSchedule DrawSchedule(const FaultRates& rates, int nodes, SimTime length, Random random);

}  // namespace keel::sim
