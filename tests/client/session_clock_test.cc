#include "client/src/session_clock.h"

#include <gtest/gtest.h>

namespace keel::client {
namespace {

absl::Time At(double seconds) { return absl::UnixEpoch() + absl::Seconds(seconds); }

TEST(SessionClockTest, GoesFromLiveOverRiskToLostWithoutRenewals) {
  SessionClock clock(absl::Seconds(9), At(0));
  EXPECT_EQ(clock.StateAt(At(0)), SessionState::kLive);
  EXPECT_EQ(clock.renewal_due(), At(3));
  EXPECT_EQ(clock.StateAt(At(5.9)), SessionState::kLive);
  EXPECT_EQ(clock.StateAt(At(6)), SessionState::kAtRisk);
  EXPECT_EQ(clock.StateAt(At(8.9)), SessionState::kAtRisk);
  // One per cent before the server could end it at 9 s.
  EXPECT_EQ(clock.StateAt(At(8.91)), SessionState::kLost);
}

TEST(SessionClockTest, CountsFromTheSendingOfTheRenewalNotFromItsAnswer) {
  SessionClock clock(absl::Seconds(10), At(0));
  clock.Acknowledged(At(3), absl::Seconds(10));  // However late the answer came.
  EXPECT_EQ(clock.deadline(), At(12.9));
}

TEST(SessionClockTest, AnAnswerToAnEarlierRenewalDoesNotShortenIt) {
  SessionClock clock(absl::Seconds(10), At(0));
  clock.Acknowledged(At(5), absl::Seconds(10));
  clock.Acknowledged(At(3), absl::Seconds(10));
  EXPECT_EQ(clock.deadline(), At(14.9));
}

TEST(SessionClockTest, ALateAnswerRevivesWhatNobodyHasSeenLost) {
  SessionClock clock(absl::Seconds(10), At(0));
  clock.Acknowledged(At(5), absl::Seconds(10));  // Read at 11, after this process stood still since 6.
  EXPECT_EQ(clock.StateAt(At(11)), SessionState::kLive);
}

TEST(SessionClockTest, WhatWasSeenLostStaysLost) {
  SessionClock clock(absl::Seconds(10), At(0));
  EXPECT_EQ(clock.StateAt(At(10)), SessionState::kLost);
  clock.Acknowledged(At(5), absl::Seconds(10));
  EXPECT_EQ(clock.StateAt(At(10)), SessionState::kLost);
  EXPECT_EQ(clock.deadline(), absl::InfinitePast());
}

TEST(SessionClockTest, ALeaseTheServerDoesNotKnowIsLost) {
  SessionClock clock(absl::Seconds(10), At(0));
  clock.Acknowledged(At(3), absl::ZeroDuration());
  EXPECT_EQ(clock.StateAt(At(3)), SessionState::kLost);
}

TEST(SessionClockTest, SeveralAttemptsFitBetweenTheFirstRenewalAndTheEnd) {
  for (int ttl : {1, 2, 5, 10, 60, 3600}) {
    SCOPED_TRACE(ttl);
    SessionClock clock(absl::Seconds(ttl), At(0));
    const absl::Duration window = clock.deadline() - clock.renewal_due();
    EXPECT_GE(window / clock.attempt_timeout(), 3);
    EXPECT_GT(clock.retry_delay(), absl::ZeroDuration());
  }
}

}  // namespace
}  // namespace keel::client
