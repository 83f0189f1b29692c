#include "tests/sim/profile.h"

#include <utility>

#include "base/check.h"
#include "tests/sim/cluster.h"
#include "tests/sim/register_workload.h"

namespace keel::sim {
namespace {

RunResult RunRegisters(const std::string& profile, uint64_t seed, const RunOptions& run) {
  RunResult result;
  SimOptions options = DrawOptions(profile, seed);
  options.broken_rule = run.broken_rule;
  if (!run.message_faults) {
    options.network.drop = options.network.duplicate = options.network.replay = options.network.straggler = 0;
  }
  World world({.seed = Mix(HashOf(profile), seed), .until = run.until, .trace = run.trace});
  result.options = options.ToString();
  result.schedule = run.schedule ? *run.schedule
                                 : DrawSchedule(options.faults, options.members + options.spares, options.safety,
                                                world.Stream("faults"));
  world.Trace(profile, " ", result.options);
  RegisterWorkload workload(&result.ledger, options, run.client_operations_max.value_or(UINT64_MAX));
  Cluster cluster(&world, &result.ledger, options,
                  [&](raft::MemberId id, bool is_founder, const raft::Membership& membership) {
                    return workload.MakeMachine(id, is_founder, membership);
                  });
  workload.SetCluster(&cluster);
  try {
    cluster.Run(result.schedule, &workload);
  } catch (const Violation& violation) {
    result.violation = violation;
    world.Trace("VIOLATION of ", violation.invariant, ": ", violation.detail);
  } catch (const RunStopped&) {
    world.Trace("stopped, as asked");
  }
  result.events = world.events();
  result.digest = world.digest();
  result.end = world.now();
  result.client_operations = workload.operations();
  Counts& totals = result.ledger.totals;
  totals["events"] = result.events;
  totals["simulated seconds"] = static_cast<uint64_t>(result.end / kSecond);
  totals["entries committed"] = cluster.checker().newest_commit().value() - kBootstrap.index.value();
  return result;
}

Profile RegisterProfile(const std::string& name, const std::string& description, std::vector<std::string> idle) {
  return {.name = name,
          .description = description,
          .run = [name](uint64_t seed, const RunOptions& options) { return RunRegisters(name, seed, options); },
          .idle = std::move(idle),
          .breakable = {BrokenRule::kAckBeforeSync, BrokenRule::kSyncDoesNothing, BrokenRule::kForgetVote,
                        BrokenRule::kReadWithoutQuorum, BrokenRule::kApplyTwice, BrokenRule::kDropApplied}};
}

}  // namespace

std::vector<Profile>& Profiles() {
  static auto* const profiles = new std::vector<Profile>{
      RegisterProfile("core", "raft core, log and a register machine under every class of fault",
                      {"config-change-after-commit-in-term", "joint-configuration-in-use", "membership-change-begun",
                       "older-directory-refused", "snapshot-of-joint-configuration"}),
      RegisterProfile("member", "the same, with members added, promoted, replaced and removed all the time",
                      {"older-directory-refused"}),
      RegisterProfile("disk", "the same, with disks that fail, tear, fill up and rot, or are replaced by older ones",
                      {"config-change-after-commit-in-term", "joint-configuration-in-use", "membership-change-begun",
                       "snapshot-of-joint-configuration"}),
  };
  return *profiles;
}

const Profile* FindProfile(std::string_view name) {
  for (const Profile& profile : Profiles()) {
    if (profile.name == name) return &profile;
  }
  return nullptr;
}

RunResult RunSeed(std::string_view profile, uint64_t seed, const RunOptions& options) {
  const Profile* const found = FindProfile(profile);
  KEEL_CHECK(found != nullptr) << "no profile " << profile;
  return found->run(seed, options);
}

}  // namespace keel::sim
