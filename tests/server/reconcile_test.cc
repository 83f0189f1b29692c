#include "server/reconcile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace keel::server {
namespace {

using raft::EntryId;
using raft::Index;
using raft::MemberId;
using raft::Term;
using ::testing::HasSubstr;

const raft::Membership kThree{.voters = {MemberId{1}, MemberId{2}, MemberId{3}}};

// Begins after 10@2; 11..14 of term 2, 15..20 of term 4.
storage::RaftLog::Recovered SomeLog() {
  return {.hard_state = {.term = Term{5}, .vote = MemberId{2}, .commit = Index{12}},
          .start = {Term{2}, Index{10}},
          .term_runs = {{Index{11}, Term{2}}, {Index{15}, Term{4}}},
          .last = Index{20}};
}

TEST(ReconcileTest, AStateInsideTheLogKeepsTheLog) {
  const auto result = Reconcile(SomeLog(), {.index = 16, .term = 4}, kThree);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->reset_log);
  EXPECT_EQ(result->initial.snapshot, (EntryId{Term{2}, Index{10}}));
  EXPECT_EQ(result->initial.last, Index{20});
  EXPECT_EQ(result->initial.applied, Index{16});
  EXPECT_EQ(result->initial.hard_state.commit, Index{16});  // What is applied was committed.
  EXPECT_EQ(result->initial.hard_state.vote, MemberId{2});
  EXPECT_EQ(result->initial.membership, kThree);
}

TEST(ReconcileTest, AStateJustBeforeTheLogKeepsIt) {
  const auto result = Reconcile(SomeLog(), {.index = 10, .term = 2}, kThree);
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(result->reset_log);
  EXPECT_EQ(result->initial.term_runs.size(), 2u);
}

TEST(ReconcileTest, ANewMemberStartsEmpty) {
  const auto result = Reconcile({}, {}, kThree);
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(result->reset_log);
  EXPECT_EQ(result->initial.last, Index{0});
  EXPECT_EQ(result->initial.snapshot, (EntryId{Term{0}, Index{0}}));
}

TEST(ReconcileTest, AStateBeyondTheLogResetsIt) {
  // A snapshot of 30@5 was installed and the process died before the log was cut.
  const auto result = Reconcile(SomeLog(), {.index = 30, .term = 5}, kThree);
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(result->reset_log);
  EXPECT_EQ(result->initial.snapshot, (EntryId{Term{5}, Index{30}}));
  EXPECT_EQ(result->initial.last, Index{30});
  EXPECT_TRUE(result->initial.term_runs.empty());
  EXPECT_EQ(result->initial.hard_state.commit, Index{30});
  EXPECT_EQ(result->initial.hard_state.vote, MemberId{2});  // The same term: the vote stands.
}

TEST(ReconcileTest, AStateThatDisagreesWithTheLogWins) {
  // 16 was applied in term 5, while the log still has a dead leader's 16 of term 4.
  const auto result = Reconcile(SomeLog(), {.index = 16, .term = 5}, kThree);
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(result->reset_log);
  EXPECT_EQ(result->initial.last, Index{16});
}

TEST(ReconcileTest, ATermSeenOnlyByTheStateIsTakenOverWithoutItsVote) {
  const auto result = Reconcile(SomeLog(), {.index = 30, .term = 7}, kThree);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->initial.hard_state.term, Term{7});
  EXPECT_EQ(result->initial.hard_state.vote, raft::kNobody);
}

TEST(ReconcileTest, AHoleBetweenStateAndLogIsRefused) {
  const auto result = Reconcile(SomeLog(), {.index = 9, .term = 2}, kThree);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("remove the data directory"));
}

TEST(ReconcileTest, ACommitBeyondTheLogIsCutToIt) {
  storage::RaftLog::Recovered log = SomeLog();
  log.hard_state.commit = Index{25};
  EXPECT_EQ(Reconcile(log, {.index = 11, .term = 2}, kThree)->initial.hard_state.commit, Index{20});
}

}  // namespace
}  // namespace keel::server
