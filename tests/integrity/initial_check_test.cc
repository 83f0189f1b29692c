#include "server/integrity/initial_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "tests/apply/one_member.h"
#include "tests/integrity/told_peers.h"

namespace keel::server {
namespace {

using ::testing::HasSubstr;

// Member 1 of three; the other two are told.
class InitialCheckTest : public ::testing::Test {
 protected:
  InitialCheckTest() {
    KEEL_CHECK_OK(member_.store().Refound({.cluster_id = 7, .members = {{.id = 1}, {.id = 2}, {.id = 3}}}));
    member_.Put("a", "1");
    member_.Put("b", "2");
  }
  void Tell(uint64_t peer, uint64_t add_to_state, uint32_t add_to_history, int64_t add_to_compact) {
    const auto history = member_.store().HashKv(storage::Revision(0));
    absl::MutexLock lock(&told_->mu);
    told_->samples[peer] = member_.store().hash_samples();
    told_->samples[peer].back().hash += add_to_state;
    told_->histories[peer] = {.hash = history->hash + add_to_history,
                              .compact_revision = history->compact_revision.value() + add_to_compact};
  }
  absl::Status Check() {
    ToldPeers peers(told_);
    return CheckAgainstPeers(1, member_.store(), &peers);
  }

  const std::shared_ptr<ToldPeers::Told> told_ = std::make_shared<ToldPeers::Told>();
  OneMember member_;
};

TEST_F(InitialCheckTest, EqualPeersAndUnreachableOnesLetItStart) {
  EXPECT_TRUE(Check().ok());
  Tell(2, 0, 0, 0);
  EXPECT_TRUE(Check().ok());
  Tell(3, 0, 0, 0);
  EXPECT_TRUE(Check().ok());
}

TEST_F(InitialCheckTest, AnotherStateAtTheSameEntryIsRefused) {
  Tell(2, 0, 0, 0);
  Tell(3, 1, 0, 0);
  const absl::Status status = Check();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("found data inconsistency with peers"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("peer 3"));
}

TEST_F(InitialCheckTest, AnotherHistoryAtTheSameCompactionIsRefused) {
  Tell(2, 0, 1, 0);
  const absl::Status status = Check();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("up to revision 3"));
}

TEST_F(InitialCheckTest, AnotherCompactionIsNotComparable) {
  Tell(2, 0, 1, 1);
  EXPECT_TRUE(Check().ok());
}

}  // namespace
}  // namespace keel::server
