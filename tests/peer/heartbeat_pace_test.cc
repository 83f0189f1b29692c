#include "server/peer/heartbeat_pace.h"

#include <gtest/gtest.h>

namespace keel::server {
namespace {

constexpr absl::Duration kLate = absl::Milliseconds(200);

std::vector<raft::Message> Beat(uint64_t to, uint64_t term = 3, bool quiet = false) {
  return {{.from = raft::MemberId(1),
           .to = raft::MemberId(to),
           .term = raft::Term(term),
           .body = raft::Heartbeat{.quiet = quiet}}};
}

TEST(HeartbeatPaceTest, OneIsLateWhenTheOneBeforeItIsLongAgo) {
  HeartbeatPace pace(kLate);
  absl::Time now = absl::UnixEpoch();
  pace.Sent(Beat(2), now);
  pace.Sent(Beat(2), now += kLate);
  EXPECT_EQ(pace.late(), 0u);
  pace.Sent(Beat(2), now += kLate + absl::Milliseconds(1));
  EXPECT_EQ(pace.late(), 1u);
}

TEST(HeartbeatPaceTest, EveryFollowerHasItsOwnPace) {
  HeartbeatPace pace(kLate);
  const absl::Time now = absl::UnixEpoch();
  pace.Sent(Beat(2), now);
  pace.Sent(Beat(3), now + 2 * kLate);
  EXPECT_EQ(pace.late(), 0u);
  pace.Sent(Beat(2), now + 2 * kLate);
  EXPECT_EQ(pace.late(), 1u);
}

TEST(HeartbeatPaceTest, ANewLeaderHasNothingToBeLateFor) {
  HeartbeatPace pace(kLate);
  pace.Sent(Beat(2, 3), absl::UnixEpoch());
  pace.Sent(Beat(2, 5), absl::UnixEpoch() + absl::Hours(1));
  EXPECT_EQ(pace.late(), 0u);
}

TEST(HeartbeatPaceTest, WhatOnlyTellsOfACommitIsNone) {
  HeartbeatPace pace(kLate);
  pace.Sent(Beat(2), absl::UnixEpoch());
  pace.Sent(Beat(2, 3, /*quiet=*/true), absl::UnixEpoch() + kLate);
  pace.Sent(Beat(2), absl::UnixEpoch() + 2 * kLate);
  EXPECT_EQ(pace.late(), 1u);
}

}  // namespace
}  // namespace keel::server
