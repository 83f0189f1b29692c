#include "raft/truncation_policy.h"

#include <gtest/gtest.h>

namespace keel::raft {
namespace {

constexpr uint64_t kKept = 100;
constexpr uint64_t kNoLimit = ~uint64_t{0};

uint64_t NoBytes(Index) { return 0; }

CoreStatus Leader(uint64_t first, uint64_t last) {
  return {.id = MemberId(1),
          .role = Role::kLeader,
          .term = Term(1),
          .leader = MemberId(1),
          .commit = Index(last),
          .applied = Index(last),
          .last = {.term = Term(1), .index = Index(last)},
          .first = Index(first),
          .membership = {}};
}
FollowerStatus Follower(uint64_t match, bool active = true) {
  return {.id = MemberId(2), .match = Index(match), .next = Index(match + 1), .recently_active = active};
}

TEST(TruncationPolicyTest, KeepsWhatIsNotDurableAndSomeMore) {
  const struct {
    const char* name;
    uint64_t first, last, everywhere, durable;
    std::optional<Index> through;
  } cases[] = {
      {"a young log stays", 1, 90, 90, 90, std::nullopt},
      {"nothing durable", 1, 100000, 100000, 0, std::nullopt},
      {"entries kept behind the durable point", 1, 100000, 100000, 50000, Index(49900)},
      {"an active follower holds it back", 1, 1000, 700, 1000, Index(600)},
      {"but not for ever", 1, 100000, 700, 100000, Index(99500)},
      {"small steps are not worth it", 890, 1000, 1000, 1000, std::nullopt},
      {"never beyond what is applied", 1, 1000, 2000, 2000, Index(900)},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    TruncationPolicy policy(kKept, kNoLimit);
    EXPECT_EQ(policy.Choose(Leader(c.first, c.last), {Follower(c.everywhere)}, Index(c.everywhere), Index(c.durable),
                            NoBytes),
              c.through);
  }
}

// Otherwise a snapshot that takes longer than the kept entries last would be useless on arrival, for ever.
TEST(TruncationPolicyTest, TheLogFromASnapshotOnStaysUntilItsReceiverHasCaughtUp) {
  TruncationPolicy policy(kKept, kNoLimit);
  const auto choose = [&](uint64_t last, uint64_t match, bool active = true) {
    return policy.Choose(Leader(1, last), {Follower(match, active)}, Index(match), Index(last), NoBytes);
  };
  policy.OnSnapshotStarted(MemberId(2), Index(2000));
  EXPECT_EQ(choose(5000, 0), Index(2000));
  policy.OnSnapshotSent(MemberId(2), absl::OkStatus(), {.term = Term(1), .index = Index(2010)});
  EXPECT_EQ(choose(6000, 0), Index(2010));
  EXPECT_EQ(choose(6000, 2500), Index(2500));
  EXPECT_EQ(choose(6000, 5950), Index(5850));  // Caught up.
  EXPECT_EQ(choose(9000, 5950), Index(8500));  // What it needs now is the business of any active follower.
}

TEST(TruncationPolicyTest, AReceiverThatFailedIsGoneOrIsTooFarBehindHoldsNothing) {
  const auto pinned = [](TruncationPolicy& policy, uint64_t last, bool active = true) {
    return policy.Choose(Leader(1, last), {Follower(0, active)}, active ? Index(0) : Index(last), Index(last),
                         NoBytes) == Index(2000);
  };
  TruncationPolicy failed(kKept, kNoLimit), gone(kKept, kNoLimit), hopeless(kKept, kNoLimit);
  for (TruncationPolicy* policy : {&failed, &gone, &hopeless}) {
    policy->OnSnapshotStarted(MemberId(2), Index(2000));
    EXPECT_TRUE(pinned(*policy, 5000));
  }
  failed.OnSnapshotSent(MemberId(2), absl::UnavailableError("broken"), {});
  EXPECT_FALSE(pinned(failed, 5000));
  EXPECT_FALSE(pinned(gone, 5000, /*active=*/false));
  EXPECT_TRUE(pinned(hopeless, 8000));
  EXPECT_FALSE(pinned(hopeless, 9000));
}

// Pins and slow followers are bounded in entries; with large values that alone could fill the disk.
TEST(TruncationPolicyTest, NobodyKeepsTheLogBeyondItsLimitInBytes) {
  constexpr uint64_t kEntryBytes = 1000;
  const auto choose = [&](TruncationPolicy& policy, uint64_t first, uint64_t last, uint64_t durable) {
    return policy.Choose(Leader(first, last), {Follower(0)}, Index(0), Index(durable),
                         [&](Index index) { return (last - index.value()) * kEntryBytes; });
  };
  TruncationPolicy policy(kKept, 3000 * kEntryBytes);
  policy.OnSnapshotStarted(MemberId(2), Index(2000));
  EXPECT_EQ(choose(policy, 1, 4900, 4900), Index(2000)) << "within the limit the pin holds";
  EXPECT_EQ(choose(policy, 1, 6000, 6000), Index(3000));
  EXPECT_EQ(choose(policy, 1, 6000, 2500), Index(2500)) << "what is not durable stays, whatever it takes";
  TruncationPolicy slow(kKept, 50 * kEntryBytes);
  EXPECT_EQ(choose(slow, 1, 1000, 1000), Index(950)) << "not even the entries kept for all";
}

}  // namespace
}  // namespace keel::raft
