// Who gets memory for a reply, when, and in which order.

#include "server/api/reply_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <vector>

namespace keel::server {
namespace {

using testing::ElementsAre;
using Refusal = ReplyShare::Refusal;

constexpr size_t kMiB = 1u << 20;
const absl::Time kNow = absl::FromUnixSeconds(1000);

// What one who waits for a share was told.
struct Asked {
  std::optional<absl::StatusOr<std::shared_ptr<ReplyShare>>> answer;

  bool granted() const { return answer.has_value() && answer->ok(); }
  absl::Status status() const { return answer.has_value() ? answer->status() : absl::UnknownError("still waiting"); }
  void GiveBack() { answer.reset(); }
};

class ReplyBudgetTest : public testing::Test {
 protected:
  void Ask(size_t bytes, Asked* asked, Call call = {}) {
    budget_->Acquire(bytes, call,
                     [asked](absl::StatusOr<std::shared_ptr<ReplyShare>> share) { asked->answer = std::move(share); });
  }
  size_t in_use() const { return budget_->stats().in_use_bytes; }

  const std::shared_ptr<ReplyBudget> budget_ =
      std::make_shared<ReplyBudget>(ReplyBudget::Options{.total_bytes = 10 * kMiB, .request_bytes = 6 * kMiB});
};

TEST_F(ReplyBudgetTest, ASmallReplyCostsNothing) {
  const auto share = budget_->NewShare();
  EXPECT_TRUE(share->Grow(ReplyBudget::kUncountedBytes));
  EXPECT_EQ(in_use(), 0u);
  EXPECT_TRUE(share->Grow(ReplyBudget::kUncountedBytes + 1));
  EXPECT_GT(in_use(), ReplyBudget::kUncountedBytes);
}

TEST_F(ReplyBudgetTest, AShareIsCountedUntilItEnds) {
  auto share = budget_->NewShare();
  EXPECT_TRUE(share->Grow(3 * kMiB));
  EXPECT_EQ(in_use(), 3 * kMiB);
  EXPECT_TRUE(share->Grow(kMiB));
  EXPECT_EQ(in_use(), 3 * kMiB);
  share->Shrink(kMiB);
  EXPECT_EQ(in_use(), kMiB);
  share.reset();
  EXPECT_EQ(in_use(), 0u);
  EXPECT_EQ(budget_->stats().in_use_bytes_max, 3 * kMiB);
}

TEST_F(ReplyBudgetTest, OneReplyMayNotHaveMoreThanItsPart) {
  const auto share = budget_->NewShare();
  EXPECT_TRUE(share->Grow(6 * kMiB));
  EXPECT_FALSE(share->Grow(6 * kMiB + 1));
  EXPECT_EQ(share->refusal(), Refusal::kTooLarge);
  // It may go on with less.
  EXPECT_TRUE(share->Grow(kMiB));
  EXPECT_EQ(share->refusal(), Refusal::kNone);
}

TEST_F(ReplyBudgetTest, WhatIsRefusedNowIsToBeWaitedForInDoubleTheSize) {
  const auto other = budget_->NewShare();
  ASSERT_TRUE(other->Grow(6 * kMiB));
  const auto share = budget_->NewShare();
  ASSERT_TRUE(share->Grow(2 * kMiB));
  EXPECT_FALSE(share->Grow(5 * kMiB));
  EXPECT_EQ(share->refusal(), Refusal::kNotNow);
  EXPECT_EQ(share->wanted(), 6 * kMiB);  // No more than one may have.
  EXPECT_EQ(in_use(), 8 * kMiB);
}

TEST_F(ReplyBudgetTest, WaitersTakeTheirTurns) {
  Asked first, second, third, fourth;
  Ask(6 * kMiB, &first);
  ASSERT_TRUE(first.granted());
  Ask(5 * kMiB, &second);
  Ask(kMiB, &third);  // There would be room, but it is not its turn.
  Ask(6 * kMiB, &fourth);
  EXPECT_FALSE(second.granted());
  EXPECT_FALSE(third.granted());
  // Nor may one that grows go before them.
  const auto growing = budget_->NewShare();
  EXPECT_FALSE(growing->Grow(kMiB));
  EXPECT_EQ(budget_->stats().waiting, 3u);

  first.GiveBack();
  EXPECT_TRUE(second.granted());
  EXPECT_TRUE(third.granted());
  EXPECT_FALSE(fourth.granted());
  EXPECT_EQ(in_use(), 6 * kMiB);
  third.GiveBack();
  EXPECT_FALSE(fourth.granted());
  second.GiveBack();
  EXPECT_TRUE(fourth.granted());
  EXPECT_EQ(budget_->stats().waits, 3u);
  EXPECT_EQ(budget_->stats().overloads, 0u);
}

TEST_F(ReplyBudgetTest, AWaitEndsAtItsDeadlineAndLetsThoseBehindItPass) {
  Asked first, second, third;
  Ask(6 * kMiB, &first);
  Call hasty;
  hasty.deadline = kNow + absl::Seconds(1);
  Ask(5 * kMiB, &second, hasty);
  Ask(4 * kMiB, &third);
  budget_->Expire(kNow);
  EXPECT_EQ(second.status(), absl::UnknownError("still waiting"));
  EXPECT_FALSE(third.granted());
  budget_->Expire(kNow + absl::Seconds(1));
  EXPECT_EQ(second.status(), absl::ResourceExhaustedError("etcdserver: too many requests"));
  EXPECT_TRUE(third.granted());
  EXPECT_EQ(budget_->stats().overloads, 1u);
}

TEST_F(ReplyBudgetTest, ACallerWhoHasGoneDoesNotWait) {
  Asked first, second;
  Ask(6 * kMiB, &first);
  const auto gone = std::make_shared<std::atomic<bool>>(false);
  Call call;
  call.cancelled = gone;
  Ask(6 * kMiB, &second, call);
  *gone = true;
  budget_->Expire(kNow);
  EXPECT_TRUE(absl::IsCancelled(second.status()));
  EXPECT_EQ(budget_->stats().overloads, 0u);
  EXPECT_EQ(in_use(), 6 * kMiB);
}

TEST_F(ReplyBudgetTest, StopEndsAllWaitsAndThoseToCome) {
  Asked first, second, third;
  Ask(6 * kMiB, &first);
  Ask(6 * kMiB, &second);
  budget_->Stop();
  Ask(kMiB, &third);
  EXPECT_EQ(second.status(), absl::UnavailableError("etcdserver: server stopped"));
  EXPECT_EQ(third.status(), absl::UnavailableError("etcdserver: server stopped"));
  first.GiveBack();
  EXPECT_EQ(in_use(), 0u);
}

TEST_F(ReplyBudgetTest, WhatMustBeSentIsCountedBeyondTheLimit) {
  Asked first;
  Ask(6 * kMiB, &first);
  auto share = budget_->NewShare();
  share->GrowAnyway(20 * kMiB);
  EXPECT_EQ(in_use(), 26 * kMiB);
  Asked second;
  Ask(kMiB, &second);
  EXPECT_FALSE(second.granted());
  share.reset();
  EXPECT_TRUE(second.granted());
}

TEST_F(ReplyBudgetTest, AShareMayEndAfterItsBudgetsOwner) {
  auto budget = std::make_shared<ReplyBudget>(ReplyBudget::Options());
  auto share = budget->NewShare();
  ASSERT_TRUE(share->Grow(kMiB));
  budget.reset();
  share.reset();
}

}  // namespace
}  // namespace keel::server
