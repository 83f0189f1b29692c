// Reads on their way: ReadBatcher and AppliedWaiters, and the mailbox they come through.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "raft/applied_waiters.h"
#include "raft/mailbox.h"
#include "raft/read_batcher.h"

namespace keel::raft {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

absl::Time At(int milliseconds) { return absl::UnixEpoch() + absl::Milliseconds(milliseconds); }

class ReadBatcherTest : public ::testing::Test {
 protected:
  void Read(int number, int deadline) {
    std::vector<PendingRead> reads;
    reads.push_back({.deadline = At(deadline), .done = [this, number](absl::Status status, Index) {
                       answers_.emplace_back(number, status.code());
                     }});
    batcher_.Add(&reads);
  }
  void Answer(ReadId id, absl::Status status, uint64_t index = 0) {
    batcher_.OnResult({.id = id, .status = std::move(status), .index = Index(index)});
  }

  using Answers = std::pair<int, absl::StatusCode>;
  AppliedWaiters waiters_{Index(10)};
  ReadBatcher batcher_{ReadId(100), &waiters_};
  std::vector<Answers> answers_;
};

constexpr absl::StatusCode kOk = absl::StatusCode::kOk;
constexpr absl::StatusCode kLate = absl::StatusCode::kDeadlineExceeded;

TEST_F(ReadBatcherTest, ReadsThatGatherShareAnAttempt) {
  EXPECT_EQ(batcher_.StartAttempt(At(0)), std::nullopt);
  Read(1, 1000);
  Read(2, 1000);
  EXPECT_EQ(batcher_.StartAttempt(At(0)), ReadId(100));
  EXPECT_EQ(batcher_.StartAttempt(At(0)), std::nullopt);
  // A read that comes after the attempt has begun must not use its answer.
  Read(3, 1000);
  Answer(ReadId(100), absl::OkStatus(), 10);
  EXPECT_THAT(answers_, ElementsAre(Answers(1, kOk), Answers(2, kOk)));
  EXPECT_EQ(batcher_.StartAttempt(At(1)), ReadId(101));
}

TEST_F(ReadBatcherTest, AnsweredReadsWaitUntilTheIndexIsApplied) {
  Read(1, 1000);
  Answer(*batcher_.StartAttempt(At(0)), absl::OkStatus(), 12);
  waiters_.Advance(Index(11));
  EXPECT_THAT(answers_, IsEmpty());
  waiters_.Advance(Index(12));
  EXPECT_THAT(answers_, ElementsAre(Answers(1, kOk)));
}

TEST_F(ReadBatcherTest, AFailedAttemptIsRetriedWithAFreshIdAfterATick) {
  Read(1, 1000);
  Answer(*batcher_.StartAttempt(At(0)), absl::UnavailableError("no leader"));
  EXPECT_EQ(batcher_.StartAttempt(At(1)), std::nullopt);
  batcher_.OnTick(At(100));
  EXPECT_EQ(batcher_.StartAttempt(At(100)), ReadId(101));
  Answer(ReadId(100), absl::OkStatus(), 5);  // Late, and about an attempt that has ended.
  EXPECT_THAT(answers_, IsEmpty());
  Answer(ReadId(101), absl::OkStatus(), 5);
  EXPECT_THAT(answers_, ElementsAre(Answers(1, kOk)));
}

TEST_F(ReadBatcherTest, AChangeOfLeaderMakesTheRetryImmediate) {
  Read(1, 1000);
  Answer(*batcher_.StartAttempt(At(0)), absl::UnavailableError("the leader changed"));
  batcher_.OnLeaderChange();
  EXPECT_EQ(batcher_.StartAttempt(At(1)), ReadId(101));
}

TEST_F(ReadBatcherTest, AnAttemptWithoutAnAnswerIsGivenUp) {
  Read(1, 5000);
  const ReadId lost = *batcher_.StartAttempt(At(0));
  batcher_.OnTick(At(400));
  EXPECT_EQ(batcher_.StartAttempt(At(400)), std::nullopt);
  batcher_.OnTick(At(500));
  const auto again = batcher_.StartAttempt(At(500));
  ASSERT_TRUE(again.has_value());
  EXPECT_NE(*again, lost);
  Answer(lost, absl::OkStatus(), 5);
  EXPECT_THAT(answers_, IsEmpty());
  Answer(*again, absl::OkStatus(), 5);
  EXPECT_THAT(answers_, ElementsAre(Answers(1, kOk)));
}

TEST_F(ReadBatcherTest, FewAttemptsAreOutAtOnce) {
  int attempts = 0;
  for (int i = 0; i < 100; ++i) {
    Read(i, 1000);
    if (batcher_.StartAttempt(At(0))) ++attempts;
  }
  EXPECT_LE(attempts, 8);
  Answer(ReadId(100), absl::OkStatus(), 5);
  EXPECT_TRUE(batcher_.StartAttempt(At(0)).has_value());
  EXPECT_EQ(batcher_.StartAttempt(At(0)), std::nullopt);
}

TEST_F(ReadBatcherTest, DeadlinesEndReadsWhereverTheyAre) {
  Read(1, 100);
  const ReadId id = *batcher_.StartAttempt(At(0));
  Read(2, 100);
  Read(3, 300);
  batcher_.OnTick(At(100));
  EXPECT_THAT(answers_, ::testing::UnorderedElementsAre(Answers(1, kLate), Answers(2, kLate)));
  Answer(id, absl::OkStatus(), 5);
  EXPECT_EQ(answers_.size(), 2u);
  batcher_.FailAll(absl::UnavailableError("stopping"));
  EXPECT_EQ(answers_.back(), Answers(3, absl::StatusCode::kUnavailable));
}

TEST(AppliedWaitersTest, EveryReadIsAnsweredExactlyOnce) {
  AppliedWaiters waiters(Index(5));
  std::vector<std::pair<int, absl::StatusCode>> answers;
  const auto add = [&](int number, uint64_t index, int deadline) {
    std::vector<PendingRead> reads;
    reads.push_back({.deadline = At(deadline), .done = [&answers, number](absl::Status status, Index) {
                       answers.emplace_back(number, status.code());
                     }});
    waiters.Add(Index(index), std::move(reads));
  };
  using A = std::pair<int, absl::StatusCode>;
  add(1, 5, 100);
  EXPECT_THAT(answers, ElementsAre(A(1, kOk)));
  add(2, 7, 100);
  add(3, 6, 100);
  add(4, 9, 50);
  add(5, 9, 500);
  waiters.Advance(Index(7));
  EXPECT_THAT(answers, ElementsAre(A(1, kOk), A(3, kOk), A(2, kOk)));
  waiters.Expire(At(50));
  EXPECT_EQ(answers.back(), A(4, kLate));
  waiters.Close(absl::UnavailableError("stopping"));
  EXPECT_EQ(answers.back(), A(5, absl::StatusCode::kUnavailable));
  add(6, 1, 500);
  EXPECT_EQ(answers.back(), A(6, absl::StatusCode::kUnavailable));
  EXPECT_EQ(answers.size(), 6u);
}

TEST(MailboxTest, TellsAfterEachPushThatSomethingHasArrived) {
  int arrivals = 0;
  Mailbox* self = nullptr;
  Mailbox mailbox({.items_max = 3, .bytes_max = 100}, [&] {
    ++arrivals;
    EXPECT_TRUE(self->pending());  // Not under its lock.
  });
  self = &mailbox;
  mailbox.PostAppended(std::nullopt, 1);
  mailbox.PostApplied(Index(1));  // Can wait.
  EXPECT_EQ(arrivals, 1);
  EXPECT_TRUE(mailbox.PushEvent(Unreachable{MemberId(2)}));
  EXPECT_EQ(arrivals, 2);
}

TEST(MailboxTest, RefusesBeyondItsLimitsAndTakesAllAtOnce) {
  Mailbox mailbox({.items_max = 3, .bytes_max = 400});
  const auto propose = [&](size_t bytes) {
    return mailbox.PushProposal({.payload = Payload(std::string(bytes, 'x')), .deadline = absl::InfiniteFuture()});
  };
  // One that is too large alone passes; another on top of it does not.
  EXPECT_EQ(propose(500), Mailbox::PushResult::kOk);
  EXPECT_EQ(propose(1), Mailbox::PushResult::kFull);
  Inbox inbox;
  mailbox.Take(&inbox);
  EXPECT_EQ(inbox.proposals.size(), 1u);
  inbox.Clear();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(propose(1), Mailbox::PushResult::kOk);
  EXPECT_EQ(propose(1), Mailbox::PushResult::kFull);
  // Kinds do not crowd each other out.
  const Message heartbeat{.from = MemberId(1), .to = MemberId(2), .term = Term(1), .body = Heartbeat{}};
  mailbox.PushMessages({heartbeat, heartbeat});
  mailbox.PushMessages({heartbeat, heartbeat});  // The second one of these has no room.
  mailbox.PostApplied(Index(4));
  mailbox.PostApplied(Index(7));
  mailbox.PostAppended(std::nullopt, 1);
  mailbox.PostAppended(AppendTicket{.generation = 1, .last = {}, .term = Term(1)}, 2);
  EXPECT_TRUE(mailbox.pending());
  EXPECT_TRUE(mailbox.Wait(std::chrono::hours(1)));
  mailbox.Take(&inbox);
  EXPECT_FALSE(mailbox.pending());
  EXPECT_EQ(inbox.proposals.size(), 3u);
  EXPECT_EQ(inbox.messages.size(), 3u);
  EXPECT_EQ(inbox.applied, Index(7));
  EXPECT_EQ(inbox.appends_done, 3u);
  EXPECT_TRUE(inbox.appended.has_value());
  inbox.Clear();
  mailbox.Close();
  EXPECT_EQ(propose(1), Mailbox::PushResult::kClosed);
  EXPECT_FALSE(mailbox.Wait(std::chrono::hours(1)));
}

}  // namespace
}  // namespace keel::raft
