// Seeded runs of whole groups. To replay one: KEEL_SIM_SEED=<n>; more of them: KEEL_SIM_SEEDS=<count>, from
// KEEL_SIM_FIRST on; what happened: KEEL_SIM_TRACE=1.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/sim/sim_cluster.h"

namespace keel::raft::sim {
namespace {

constexpr uint64_t kFirstSeed = 1;
constexpr uint64_t kSeeds = 300;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

// A failed KEEL_CHECK inside a core ends the process; the seed must not be lost with it.
char current_run[1024];

void PrintCurrentRun(int) {
  const ssize_t written = write(STDERR_FILENO, current_run, strlen(current_run));
  (void)written;
}

void SetCurrentRun(const SimOptions& options) {
  std::snprintf(current_run, sizeof(current_run), "\nIn %s\nReplay: KEEL_SIM_SEED=%llu KEEL_SIM_TRACE=1 sim_test\n",
                options.ToString().c_str(), static_cast<unsigned long long>(options.seed));
  signal(SIGABRT, PrintCurrentRun);
}

TEST(RaftSimTest, EverySeedIsSafeAndRecovers) {
  const bool one = std::getenv("KEEL_SIM_SEED") != nullptr;
  const bool trace = FromEnvironment("KEEL_SIM_TRACE", 0) != 0;
  const uint64_t first = one ? FromEnvironment("KEEL_SIM_SEED", 0) : FromEnvironment("KEEL_SIM_FIRST", kFirstSeed);
  const uint64_t count = one ? 1 : FromEnvironment("KEEL_SIM_SEEDS", kSeeds);
  SimStats sum;
  const auto start = std::chrono::steady_clock::now();
  for (uint64_t seed = first; seed < first + count; ++seed) {
    const SimOptions options = SimOptions::Draw(seed);
    SetCurrentRun(options);
    Cluster cluster(options, trace);
    const std::string violation = cluster.Run();
    ASSERT_EQ(violation, "") << "after " << seed - first + 1 << " seeds" << current_run;
    const SimStats& stats = cluster.stats();
    sum.events += stats.events;
    sum.messages += stats.messages;
    sum.elections += stats.elections;
    sum.crashes += stats.crashes;
    sum.writes += stats.writes;
    sum.reads += stats.reads;
    sum.reads_failed += stats.reads_failed;
    sum.installs += stats.installs;
    sum.fetches += stats.fetches;
    sum.committed += stats.committed;
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf(
      "%llu seeds, %.0f per minute; events=%llu messages=%llu elections=%llu crashes=%llu writes=%llu reads=%llu "
      "reads_failed=%llu installs=%llu fetches=%llu committed=%llu\n",
      static_cast<unsigned long long>(count), static_cast<double>(count) * 60 / seconds,
      static_cast<unsigned long long>(sum.events), static_cast<unsigned long long>(sum.messages),
      static_cast<unsigned long long>(sum.elections), static_cast<unsigned long long>(sum.crashes),
      static_cast<unsigned long long>(sum.writes), static_cast<unsigned long long>(sum.reads),
      static_cast<unsigned long long>(sum.reads_failed), static_cast<unsigned long long>(sum.installs),
      static_cast<unsigned long long>(sum.fetches), static_cast<unsigned long long>(sum.committed));
  // A net that nothing swims into proves nothing.
  if (count >= 200) {
    EXPECT_GT(sum.crashes, count / 2);
    EXPECT_GT(sum.elections, count * 2);
    EXPECT_GT(sum.writes, count * 10);
    EXPECT_GT(sum.reads, count * 10);
    EXPECT_GT(sum.reads_failed, 0u);
    EXPECT_GT(sum.installs, 0u);
    EXPECT_GT(sum.fetches, 0u);
  }
}

// A group where only the links of `graph` work, one bit per direction; it has had a leader before.
std::unique_ptr<Cluster> InTopology(int members, uint64_t seed, const std::function<bool(int, int)>& is_up) {
  SimOptions options;
  options.seed = seed;
  options.members = members;
  options.core.election_ticks = 8;
  options.heal = 0;
  options.client = 0;
  SetCurrentRun(options);
  auto cluster = std::make_unique<Cluster>(options, false);
  cluster->RunTicks(80);
  EXPECT_NE(cluster->Leader(), 0);
  for (int a = 1; a <= members; ++a) {
    for (int b = 1; b <= members; ++b) {
      if (a != b) cluster->SetLink(a, b, is_up(a, b));
    }
  }
  return cluster;
}

// Some member hears and reaches a majority: then there must be a leader that commits, and go on to be one.
void ExpectLeaderWhereOneIsPossible(int members, uint64_t seed, const std::function<bool(int, int)>& is_up) {
  const auto cluster = InTopology(members, seed, is_up);
  bool possible = false;
  for (int a = 1; a <= members; ++a) {
    int reached = 1;
    for (int b = 1; b <= members; ++b) reached += a != b && is_up(a, b) && is_up(b, a);
    possible |= 2 * reached > members;
  }
  try {
    cluster->RunTicks(8 * 12);
    if (!possible) {
      EXPECT_EQ(cluster->Leader(), 0) << "a leader that reaches no majority";
      return;
    }
    const int leader = cluster->Leader();
    ASSERT_NE(leader, 0);
    const Term term = cluster->core(leader).status().term;
    const Index before = cluster->newest_commit();
    cluster->Propose(leader);
    cluster->RunTicks(8 * 10);
    EXPECT_GT(cluster->newest_commit(), before);
    EXPECT_EQ(cluster->core(leader).status().term, term) << "the leader was disturbed";
  } catch (const Violation& violation) {
    FAIL() << violation.text;
  }
}

// Partial partitions (a bridge between two sides, chains, rings, links that work one way) are where pre-vote,
// stickiness and check-quorum lock each other up if they are not one unit.
TEST(RaftSimTest, ThreeMembersFindALeaderInEveryTopology) {
  for (unsigned graph = 0; graph < 64; ++graph) {
    SCOPED_TRACE(graph);
    ExpectLeaderWhereOneIsPossible(3, graph + 1, [graph](int a, int b) {
      const int bit = (a - 1) * 2 + (b - 1 > a - 1 ? b - 2 : b - 1);
      return ((graph >> bit) & 1) != 0;
    });
  }
}

TEST(RaftSimTest, FiveMembersFindALeaderInRandomTopologies) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    std::vector<char> up(36);
    for (char& link : up) link = random.Chance(0.75);
    ExpectLeaderWhereOneIsPossible(5, seed, [&](int a, int b) { return up[a * 6 + b] != 0; });
  }
}

// The same seed replays the same run, or a failure could not be studied.
TEST(RaftSimTest, ASeedReplaysExactly) {
  for (uint64_t seed : {3, 14, 159}) {
    SCOPED_TRACE(seed);
    const SimOptions options = SimOptions::Draw(seed);
    Cluster a(options, false), b(options, false);
    EXPECT_EQ(a.Run(), b.Run());
    EXPECT_EQ(a.stats().events, b.stats().events);
    EXPECT_EQ(a.stats().messages, b.stats().messages);
    EXPECT_EQ(a.stats().writes, b.stats().writes);
  }
}

}  // namespace
}  // namespace keel::raft::sim
