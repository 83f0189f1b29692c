#include "server/proposer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/apply/one_member.h"

namespace keel::server {
namespace {

using Result = Awaited<absl::StatusOr<ApplyResult>>;

constexpr raft::MemberId kSelf{1};
constexpr raft::MemberId kOther{2};

class ProposerTest : public testing::Test {
 protected:
  Result Submit(absl::Duration patience, size_t value_bytes = 1) {
    command::Command command;
    command.mutable_put()->set_key("k");
    command.mutable_put()->set_value(std::string(value_bytes, 'v'));
    Result result;
    member_.proposer().Submit(std::move(command), member_.clock().Now() + patience,
                              [result](absl::StatusOr<ApplyResult> applied) { result.Set(std::move(applied)); });
    return result;
  }
  void Lead(raft::MemberId leader, uint64_t term) {
    const raft::Role role = leader == kSelf ? raft::Role::kLeader : raft::Role::kFollower;
    member_.proposer().OnLeadership(role, raft::Term{term}, leader);
  }

  OneMember member_{{.proposer = {.request_bytes_max = 1000,
                                  .waiting_max = 10,
                                  .election_timeout = absl::Seconds(1),
                                  .timer_tick = absl::Milliseconds(2)}}};
};

TEST_F(ProposerTest, AnswersWithWhatApplyingCameTo) {
  const auto result = Submit(absl::Seconds(7)).Get();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->status.ok());
  EXPECT_EQ(result->revision, 2);
  EXPECT_TRUE(std::holds_alternative<etcdserverpb::PutResponse>(result->response));
}

TEST_F(ProposerTest, RefusesALargeCommandUnproposed) {
  EXPECT_EQ(Submit(absl::Seconds(7), 1001).Get().status(),
            absl::InvalidArgumentError("etcdserver: request is too large"));
  EXPECT_EQ(member_.node().proposals(), 0u);
  EXPECT_TRUE(Submit(absl::Seconds(7), 900).Get().ok());
}

TEST_F(ProposerTest, ACommandThatGetsLostTimesOutAndNotBefore) {
  member_.node().SetDropping(true);
  member_.clock().Advance(absl::Minutes(1));
  const Result result = Submit(absl::Seconds(7));
  member_.clock().Advance(absl::Seconds(7) - absl::Nanoseconds(1));
  EXPECT_FALSE(result.WaitFor(std::chrono::milliseconds(50)));
  member_.clock().Advance(absl::Nanoseconds(1));
  EXPECT_EQ(result.Get().status(), absl::UnavailableError("etcdserver: request timed out"));
}

TEST_F(ProposerTest, WithoutALeaderForTheWholeWaitItWasNeverProposed) {
  member_.node().SetDropping(true);
  Lead(raft::kNobody, 2);
  const Result result = Submit(absl::Seconds(7));
  member_.clock().Advance(absl::Seconds(7));
  EXPECT_EQ(result.Get().status(), absl::DeadlineExceededError("context deadline exceeded"));
}

TEST_F(ProposerTest, ALeaderLostMeanwhileIsNamedAsTheLikelyReason) {
  const auto expected =
      absl::UnavailableError("etcdserver: request timed out, possibly due to previous leader failure");
  member_.node().SetDropping(true);
  Lead(kOther, 2);
  member_.clock().Advance(absl::Minutes(1));

  const Result leaderless_now = Submit(absl::Seconds(7));
  member_.clock().Advance(absl::Milliseconds(1));
  Lead(raft::kNobody, 3);
  member_.clock().Advance(absl::Seconds(7));
  EXPECT_EQ(leaderless_now.Get().status(), expected);

  Lead(kOther, 4);
  member_.clock().Advance(absl::Minutes(1));
  const Result replaced = Submit(absl::Seconds(7));
  member_.clock().Advance(absl::Seconds(1));
  Lead(kSelf, 5);
  member_.clock().Advance(absl::Seconds(6));
  EXPECT_EQ(replaced.Get().status(), expected);

  member_.clock().Advance(absl::Minutes(1));
  const Result long_after = Submit(absl::Seconds(7));
  member_.clock().Advance(absl::Seconds(7));
  EXPECT_EQ(long_after.Get().status(), absl::UnavailableError("etcdserver: request timed out"));
}

TEST_F(ProposerTest, WaitingCallsAreBounded) {
  member_.node().SetDropping(true);
  std::vector<Result> waiting;
  for (int i = 0; i < 10; ++i) waiting.push_back(Submit(absl::Seconds(7)));
  EXPECT_EQ(Submit(absl::Seconds(7)).Get().status(), absl::ResourceExhaustedError("etcdserver: too many requests"));
  member_.clock().Advance(absl::Seconds(7));
  for (const Result& result : waiting) EXPECT_FALSE(result.Get().ok());
  member_.node().SetDropping(false);
  EXPECT_TRUE(Submit(absl::Seconds(7)).Get().ok()) << "the places are free again";
}

TEST_F(ProposerTest, ARefusalOfTheNodeIsATooManyRequests) {
  member_.node().SetRefusal(absl::ResourceExhaustedError("mailbox full"));
  EXPECT_EQ(Submit(absl::Seconds(7)).Get().status(), absl::ResourceExhaustedError("etcdserver: too many requests"));
  member_.node().SetRefusal(absl::UnavailableError("stopping"));
  EXPECT_EQ(Submit(absl::Seconds(7)).Get().status(), absl::UnavailableError("etcdserver: server stopped"));
}

TEST_F(ProposerTest, StopAnswersEveryCallNowAndLater) {
  member_.node().SetDropping(true);
  const Result waiting = Submit(absl::Seconds(7));
  member_.proposer().Stop();
  member_.proposer().Stop();
  EXPECT_EQ(waiting.Get().status(), absl::UnavailableError("etcdserver: server stopped"));
  EXPECT_EQ(Submit(absl::Seconds(7)).Get().status(), absl::UnavailableError("etcdserver: server stopped"));
}

TEST_F(ProposerTest, KnowsNothingOfProposalsOfOthers) {
  const auto other = Proposer::Create({}, 2, &member_.clock());
  EXPECT_FALSE(other->IsWaiting(0));
  EXPECT_FALSE(other->IsWaiting(1));
  EXPECT_FALSE(other->IsWaiting(~uint64_t{0}));
  other->Complete(12345, {});
}

}  // namespace
}  // namespace keel::server
