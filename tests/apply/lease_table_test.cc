#include "server/lease/lease_table.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "base/random.h"

namespace keel::server {
namespace {

using storage::LeaseId;
using storage::LeaseRecord;
using Renewal = LeaseTable::Renewal;

constexpr LeaseId kA{1};
constexpr LeaseId kB{-2};
const absl::Time kStart = absl::FromUnixSeconds(1000);

LeaseRecord Record(LeaseId id, int64_t ttl, uint64_t index = 1, int64_t remaining = 0) {
  return {.id = id, .granted_ttl = ttl, .remaining_ttl = remaining, .grant_index = index};
}

class LeaseTableTest : public testing::Test {
 protected:
  Renewal Renew(LeaseId id, absl::Time now) { return table_.Renew(id, now, &ttl_); }
  std::vector<LeaseId> Expired(absl::Time now, size_t max = 100) {
    std::vector<LeaseId> ids;
    for (const auto& expired : table_.FindExpired(now, max)) ids.push_back(expired.id);
    return ids;
  }

  LeaseTable table_{absl::Minutes(5)};
  int64_t ttl_ = 0;
};

TEST_F(LeaseTableTest, ExpiresWhenItsTtlHasPassedAndNotBefore) {
  table_.Grant(Record(kA, 10), kStart);
  EXPECT_TRUE(Expired(kStart + absl::Seconds(10) - absl::Nanoseconds(1)).empty());
  EXPECT_EQ(Expired(kStart + absl::Seconds(10)), std::vector<LeaseId>{kA});
}

TEST_F(LeaseTableTest, RenewalStartsTheFullTtlAnew) {
  table_.Grant(Record(kA, 10), kStart);
  EXPECT_EQ(Renew(kA, kStart + absl::Seconds(9)), Renewal::kRenewed);
  EXPECT_EQ(ttl_, 10);
  EXPECT_TRUE(Expired(kStart + absl::Seconds(18)).empty());
  EXPECT_EQ(Expired(kStart + absl::Seconds(19)), std::vector<LeaseId>{kA});
}

TEST_F(LeaseTableTest, ExpiredStaysExpired) {
  table_.Grant(Record(kA, 10), kStart);
  EXPECT_EQ(Renew(kA, kStart + absl::Seconds(10)), Renewal::kExpired);
  EXPECT_EQ(Expired(kStart + absl::Seconds(10)), std::vector<LeaseId>{kA});
  table_.Remove(kA);
  EXPECT_EQ(Renew(kA, kStart + absl::Seconds(10)), Renewal::kUnknown);
  EXPECT_TRUE(Expired(kStart + absl::Hours(1)).empty());
}

TEST_F(LeaseTableTest, TheLongestOverdueComeFirstAndTheLimitHolds) {
  table_.Grant(Record(kA, 20), kStart);
  table_.Grant(Record(kB, 10), kStart);
  EXPECT_EQ(Expired(kStart + absl::Hours(1)), (std::vector<LeaseId>{kB, kA}));
  EXPECT_EQ(Expired(kStart + absl::Hours(1), 1), std::vector<LeaseId>{kB});
  EXPECT_EQ(table_.ByDeadline(), (std::vector<LeaseId>{kB, kA}));
}

TEST_F(LeaseTableTest, ANewLifeOfAnIdHasItsOwnDeadlineAndIndex) {
  table_.Grant(Record(kA, 10, 5), kStart);
  table_.Grant(Record(kA, 10, 5), kStart + absl::Seconds(5));
  EXPECT_EQ(Expired(kStart + absl::Seconds(10)), std::vector<LeaseId>{kA}) << "told twice of the same grant";
  table_.Grant(Record(kA, 10, 8), kStart + absl::Seconds(5));
  EXPECT_TRUE(Expired(kStart + absl::Seconds(10)).empty());
  EXPECT_EQ(table_.FindExpired(kStart + absl::Seconds(15), 1)[0].grant_index, 8u);
}

TEST_F(LeaseTableTest, InheritedLeaseGetsWhatMayBeLeftAndTheGrace) {
  table_.Inherit(Record(kA, 10), kStart, absl::Seconds(1));
  table_.Inherit(Record(kB, 600, 2, 100), kStart, absl::Seconds(1));
  EXPECT_TRUE(Expired(kStart + absl::Seconds(11) - absl::Nanoseconds(1)).empty());
  EXPECT_EQ(Expired(kStart + absl::Seconds(11)), std::vector<LeaseId>{kA});
  EXPECT_EQ(Expired(kStart + absl::Seconds(101)), (std::vector<LeaseId>{kA, kB}));
}

TEST_F(LeaseTableTest, RenewalNeverTakesTimeAway) {
  table_.Inherit(Record(kA, 10), kStart, absl::Seconds(5));
  EXPECT_EQ(Renew(kA, kStart + absl::Seconds(1)), Renewal::kRenewed);
  EXPECT_TRUE(Expired(kStart + absl::Seconds(14)).empty());
}

TEST_F(LeaseTableTest, OnlyLongLeasesAreCheckpointedAndAgainAfterAnInterval) {
  table_.Grant(Record(kA, 300), kStart);
  table_.Grant(Record(kB, 3600), kStart);
  EXPECT_TRUE(table_.TakeCheckpoints(kStart + absl::Minutes(5) - absl::Nanoseconds(1), 10).empty());
  auto due = table_.TakeCheckpoints(kStart + absl::Minutes(5), 10);
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(due[0].id, kB);
  EXPECT_EQ(due[0].remaining_ttl, 3300);
  EXPECT_TRUE(table_.TakeCheckpoints(kStart + absl::Minutes(5), 10).empty());
  due = table_.TakeCheckpoints(kStart + absl::Minutes(10) + absl::Milliseconds(1), 10);
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(due[0].remaining_ttl, 3000) << "rounded up";
}

TEST_F(LeaseTableTest, RenewalOfACheckpointedLeaseSaysSoUntilThatCheckpointIsCleared) {
  table_.Grant(Record(kA, 3600), kStart);
  ASSERT_EQ(table_.TakeCheckpoints(kStart + absl::Minutes(5), 10).size(), 1u);
  EXPECT_EQ(Renew(kA, kStart + absl::Minutes(6)), Renewal::kCheckpointed) << "from when it is proposed";
  const auto facts = table_.Find(kA, kStart + absl::Minutes(6));
  // Another checkpoint is taken before the first is cleared.
  ASSERT_EQ(table_.TakeCheckpoints(kStart + absl::Minutes(11), 10).size(), 1u);
  table_.CheckpointCleared(kA, facts->grant_index, facts->checkpoint);
  EXPECT_EQ(Renew(kA, kStart + absl::Minutes(11)), Renewal::kCheckpointed);
  const auto newer = table_.Find(kA, kStart + absl::Minutes(11));
  table_.CheckpointCleared(kA, newer->grant_index, newer->checkpoint);
  EXPECT_EQ(Renew(kA, kStart + absl::Minutes(11)), Renewal::kRenewed);
}

TEST_F(LeaseTableTest, InheritedCheckpointStands) {
  table_.Inherit(Record(kA, 600, 1, 100), kStart, absl::Seconds(1));
  EXPECT_EQ(Renew(kA, kStart), Renewal::kCheckpointed);
  table_.Inherit(Record(kB, 600), kStart, absl::Seconds(1));
  EXPECT_EQ(Renew(kB, kStart), Renewal::kRenewed);
}

TEST_F(LeaseTableTest, FactsOfUnknownAndOverdue) {
  EXPECT_FALSE(table_.Find(kA, kStart).has_value());
  table_.Grant(Record(kA, 10, 3), kStart);
  EXPECT_EQ(table_.Find(kA, kStart + absl::Seconds(4))->remaining, absl::Seconds(6));
  EXPECT_EQ(table_.Find(kA, kStart + absl::Hours(1))->remaining, absl::ZeroDuration());
}

TEST_F(LeaseTableTest, TtlOfTheLongestLeaseIsKept) {
  table_.Grant(Record(kA, 9'000'000'000), kStart);
  EXPECT_TRUE(Expired(kStart + absl::Hours(24 * 365 * 100)).empty());
  EXPECT_EQ(absl::ToInt64Seconds(table_.Find(kA, kStart)->remaining), 9'000'000'000);
}

// Against a plain map of deadlines.
TEST_F(LeaseTableTest, RandomStepsAgreeWithAModel) {
  const uint64_t seed = Random::EntropySeed();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  struct Lease {
    int64_t ttl;
    absl::Time deadline;
  };
  std::map<LeaseId, Lease> model;
  absl::Time now = kStart;
  uint64_t index = 0;
  for (int step = 0; step < 20000; ++step) {
    now += absl::Milliseconds(random.Below(500));
    const LeaseId id{static_cast<int64_t>(random.Below(50))};
    switch (random.Below(4)) {
      case 0: {
        const int64_t ttl = random.Between(1, 1000);
        table_.Remove(id);
        table_.Grant(Record(id, ttl, ++index), now);
        model[id] = {ttl, now + absl::Seconds(ttl)};
        break;
      }
      case 1: {
        auto it = model.find(id);
        const Renewal renewal = Renew(id, now);
        if (it == model.end()) {
          ASSERT_EQ(renewal, Renewal::kUnknown);
        } else if (it->second.deadline <= now) {
          ASSERT_EQ(renewal, Renewal::kExpired);
        } else {
          ASSERT_TRUE(renewal == Renewal::kRenewed || renewal == Renewal::kCheckpointed);
          it->second.deadline = now + absl::Seconds(it->second.ttl);
        }
        break;
      }
      case 2: {
        size_t overdue = 0;
        for (const auto& [lease, facts] : model) overdue += facts.deadline <= now ? 1 : 0;
        const auto expired = Expired(now);
        ASSERT_EQ(expired.size(), overdue);
        for (LeaseId lease : expired) {
          ASSERT_LE(model.at(lease).deadline, now);
          table_.Remove(lease);
          model.erase(lease);
        }
        break;
      }
      case 3:
        for (const auto& checkpoint : table_.TakeCheckpoints(now, 5)) {
          const Lease& lease = model.at(checkpoint.id);
          ASSERT_GE(absl::Seconds(checkpoint.remaining_ttl), lease.deadline - now);
          ASSERT_LT(absl::Seconds(checkpoint.remaining_ttl) - (lease.deadline - now), absl::Seconds(1));
        }
        break;
    }
    ASSERT_EQ(table_.size(), model.size());
  }
}

}  // namespace
}  // namespace keel::server
