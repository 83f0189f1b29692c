// Scripted worlds, and tests of the simulation itself: that it repeats itself, that a broken rule is caught, that what
// the minimiser leaves still fails.

#include "tests/sim/cluster.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "base/random.h"
#include "tests/sim/profile.h"
#include "tests/sim/register_workload.h"
#include "tests/sim/scenario.h"

namespace keel::sim {
namespace {

// A group without faults of its own.
struct Quiet {
  explicit Quiet(int members, uint64_t seed)
      : options(Options(members, seed)), world({.seed = seed}), workload(&ledger, options, 0) {
    cluster = std::make_unique<Cluster>(&world, &ledger, options,
                                        [this](raft::MemberId id, bool is_founder, const raft::Membership& membership) {
                                          return workload.MakeMachine(id, is_founder, membership);
                                        });
    workload.SetCluster(cluster.get());
  }

  static SimOptions Options(int members, uint64_t seed) {
    SimOptions options;
    options.seed = seed;
    options.members = members;
    options.core.election_ticks = 8;
    return options;
  }
  SimTime timeout() const { return cluster->election_timeout(); }

  Ledger ledger;
  SimOptions options;
  World world;
  RegisterWorkload workload;
  std::unique_ptr<Cluster> cluster;
};

// Some member hears and reaches a majority: then there must be a leader that commits, and goes on to be one.
void ExpectLeaderWhereOneIsPossible(int members, uint64_t seed, const std::function<bool(int, int)>& is_up) {
  Quiet quiet(members, seed);
  Cluster& cluster = *quiet.cluster;
  try {
    cluster.Start();
    quiet.world.RunFor(10 * quiet.timeout());
    ASSERT_NE(cluster.Leader(), 0);
    bool possible = false;
    for (int a = 1; a <= members; ++a) {
      int reached = 1;
      for (int b = 1; b <= members; ++b) {
        if (a == b) continue;
        cluster.network().SetLink(a, b, is_up(a, b));
        reached += is_up(a, b) && is_up(b, a);
      }
      possible |= 2 * reached > members;
    }
    quiet.world.RunFor(12 * quiet.timeout());
    if (!possible) {
      EXPECT_EQ(cluster.Leader(), 0) << "a leader that reaches no majority";
      return;
    }
    const int leader = cluster.Leader();
    ASSERT_NE(leader, 0);
    const raft::Term term = cluster.member(leader).status().term;
    const raft::Index before = cluster.checker().newest_commit();
    std::vector<raft::Payload> payloads;
    payloads.emplace_back(quiet.workload.Probe());
    EXPECT_TRUE(cluster.member(leader).Propose(std::move(payloads)).ok());
    quiet.world.RunFor(10 * quiet.timeout());
    EXPECT_GT(cluster.checker().newest_commit(), before);
    EXPECT_EQ(cluster.member(leader).status().term, term) << "the leader was disturbed";
  } catch (const Violation& violation) {
    FAIL() << violation.invariant << ": " << violation.detail;
  }
}

// Partial partitions (a bridge between two sides, chains, rings, links that work one way) are where pre-vote,
// stickiness and check-quorum lock each other up if they are not one unit.
TEST(SimTopologyTest, ThreeMembersFindALeaderInEveryTopology) {
  for (unsigned graph = 0; graph < 64; ++graph) {
    SCOPED_TRACE(graph);
    ExpectLeaderWhereOneIsPossible(3, graph + 1, [graph](int a, int b) {
      const int bit = (a - 1) * 2 + (b > a ? b - 2 : b - 1);
      return ((graph >> bit) & 1) != 0;
    });
  }
}

TEST(SimTopologyTest, FiveMembersFindALeaderInRandomTopologies) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    std::vector<char> up(36);
    for (char& link : up) link = random.Chance(0.75);
    ExpectLeaderWhereOneIsPossible(5, seed, [&](int a, int b) { return up[static_cast<size_t>(a * 6 + b)] != 0; });
  }
}

TEST(SimTest, ASeedRepeatsItself) {
  for (const char* profile : {"core", "member", "disk"}) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      SCOPED_TRACE(absl::StrCat(profile, " ", seed));
      const RunResult a = RunSeed(profile, seed, {});
      const RunResult b = RunSeed(profile, seed, {});
      EXPECT_EQ(a.digest, b.digest);
      EXPECT_EQ(a.events, b.events);
      EXPECT_EQ(a.ledger.ToString(), b.ledger.ToString());
    }
  }
}

// A net in which nothing is ever caught proves nothing.
TEST(SimTest, EveryBrokenRuleIsCaught) {
  for (const BrokenRule rule : FindProfile("core")->breakable) {
    SCOPED_TRACE(BrokenRuleName(rule));
    bool caught = false;
    for (uint64_t seed = 1; seed <= 100 && !caught; ++seed) {
      caught = !RunSeedIsolated("core", seed, {.broken_rule = rule}).ok();
    }
    EXPECT_TRUE(caught);
  }
}

TEST(SimTest, TheMinimiserKeepsTheFailure) {
  const RunOptions broken{.broken_rule = BrokenRule::kApplyTwice};
  uint64_t seed = 1;
  while (RunSeedIsolated("core", seed, broken).ok()) ++seed;
  const Scenario scenario{.profile = "core", .seed = seed, .run = broken};
  const auto minimised = Minimise(scenario, 60);
  ASSERT_TRUE(minimised.has_value());
  EXPECT_LE(minimised->scenario.run.schedule->size(), 3u);
  // And as a file.
  absl::StatusOr<Scenario> read = Scenario::Parse(minimised->scenario.ToString());
  ASSERT_TRUE(read.ok()) << read.status();
  read->run.broken_rule = broken.broken_rule;
  const RunResult again = RunSeedIsolated(read->profile, read->seed, read->run);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.violation->invariant, minimised->result.violation->invariant);
}

TEST(SimTest, AFaultEventReadsBackAsWritten) {
  const FaultSchedule schedule = [] {
    FaultRates rates;
    for (double& rate : rates.per_second) rate = 1;
    return DrawSchedule(rates, 5, 10 * kSecond, Random(7));
  }();
  ASSERT_GT(schedule.size(), 100u);
  for (const FaultEvent& event : schedule) {
    const absl::StatusOr<FaultEvent> read = FaultEvent::Parse(event.ToString());
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, event) << event.ToString();
  }
}

}  // namespace
}  // namespace keel::sim
