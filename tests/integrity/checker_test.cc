#include "server/integrity/integrity_checker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "tests/apply/one_member.h"
#include "tests/integrity/told_peers.h"

namespace keel::server {
namespace {

using ::testing::ElementsAre;

// Member 1 of three, which leads; the other two are told.
class IntegrityCheckerTest : public ::testing::Test {
 protected:
  IntegrityCheckerTest() {
    KEEL_CHECK_OK(member_.store().Refound({.cluster_id = 7, .members = {{.id = 1}, {.id = 2}, {.id = 3}}}));
    member_.Put("a", "1");
  }
  void Start(IntegrityChecker::Options options) {
    options.member_id = 1;
    checker_ = IntegrityChecker::Start(options, &Clock::Real(), &member_.store(), &member_.node(), &member_.proposer(),
                                       std::make_unique<ToldPeers>(told_));
  }
  void Tell(uint64_t peer, uint64_t add) {
    std::vector<storage::HashSample> samples = member_.store().hash_samples();
    samples.back().hash += add;
    absl::MutexLock lock(&told_->mu);
    told_->samples[peer] = samples;
  }
  std::vector<uint64_t> Corrupt() {
    std::vector<uint64_t> members;
    for (const auto& alarm : member_.store().alarms()) {
      EXPECT_EQ(alarm.alarm(), etcdserverpb::CORRUPT);
      members.push_back(alarm.memberid());
    }
    return members;
  }

  const std::shared_ptr<ToldPeers::Told> told_ = std::make_shared<ToldPeers::Told>();
  OneMember member_;
  std::unique_ptr<IntegrityChecker> checker_;
};

TEST_F(IntegrityCheckerTest, EqualMembersAreComparedAndNothingHappens) {
  Tell(2, 0);
  Tell(3, 0);
  Start({.interval = absl::Milliseconds(5)});
  ASSERT_TRUE(Eventually([&] { return checker_->counts().comparisons >= 20; }));
  EXPECT_EQ(checker_->counts().mismatches, 0u);
  EXPECT_TRUE(Corrupt().empty());
}

TEST_F(IntegrityCheckerTest, TheOneThatDiffersGetsTheAlarmOnce) {
  Tell(2, 1);
  Tell(3, 0);
  Start({.interval = absl::Milliseconds(5)});
  ASSERT_TRUE(Eventually([&] { return !Corrupt().empty(); }));
  EXPECT_THAT(Corrupt(), ElementsAre(2u));
  // The alarm is an entry of the log, which moves the hash: what the others were told is compared no more.
  EXPECT_GT(checker_->counts().mismatches, 0u);
}

TEST_F(IntegrityCheckerTest, ALeaderInTheWrongAccusesItself) {
  Tell(2, 5);
  Tell(3, 5);
  Start({.interval = absl::Milliseconds(5)});
  ASSERT_TRUE(Eventually([&] { return !Corrupt().empty(); }));
  EXPECT_THAT(Corrupt(), ElementsAre(1u));
}

TEST_F(IntegrityCheckerTest, WithoutAMajorityTheAlarmNamesNobody) {
  Tell(2, 1);
  Start({.interval = absl::Milliseconds(5)});
  ASSERT_TRUE(Eventually([&] { return !Corrupt().empty(); }));
  EXPECT_THAT(Corrupt(), ElementsAre(0u));
}

TEST_F(IntegrityCheckerTest, AFollowerAsksNobody) {
  Tell(2, 1);
  member_.node().SetLeader(raft::MemberId{2}, raft::Term{2});
  Start({.interval = absl::Milliseconds(5)});
  absl::SleepFor(absl::Milliseconds(100));  // Many intervals; nothing tells that nothing is done.
  absl::MutexLock lock(&told_->mu);
  EXPECT_EQ(told_->asked, 0);
}

TEST_F(IntegrityCheckerTest, TheHistoryOnDiskIsComparedAtEqualCompactions) {
  const auto own = member_.store().HashKv(storage::Revision(0));
  ASSERT_TRUE(own.ok());
  {
    absl::MutexLock lock(&told_->mu);
    told_->histories[2] = {.hash = own->hash, .compact_revision = -1};
    told_->histories[3] = {.hash = own->hash + 1, .compact_revision = 5};
  }
  Start({.interval = absl::ZeroDuration(), .history_interval = absl::Milliseconds(5)});
  ASSERT_TRUE(Eventually([&] { return checker_->counts().comparisons >= 3; }));
  EXPECT_TRUE(Corrupt().empty()) << "member 3 has compacted further";
  {
    absl::MutexLock lock(&told_->mu);
    told_->histories[3] = {.hash = own->hash + 1, .compact_revision = -1};
  }
  ASSERT_TRUE(Eventually([&] { return !Corrupt().empty(); }));
  EXPECT_THAT(Corrupt(), ElementsAre(3u));
}

}  // namespace
}  // namespace keel::server
