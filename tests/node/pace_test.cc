#include "raft/pace.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

namespace keel::raft {
namespace {

TEST(PaceTest, AThreadThatFollowsIsOneOfBatchWorkWhileMuchGoesOn) {
  Pace pace;
  std::thread([&] {
    const sched_param parameters{};
    ASSERT_EQ(sched_setscheduler(0, SCHED_OTHER, &parameters), 0);  // Whatever the test was started as.
    pace.Follow();
    EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
    pace.Set(true);
    EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);  // Not before it follows.
    pace.Follow();
    EXPECT_EQ(sched_getscheduler(0), SCHED_BATCH);
    pace.Set(false);
    pace.Follow();
    EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
  }).join();
}

TEST(PaceTest, WhatTheOperatorHasChosenStays) {
  Pace pace;
  std::thread([&] {
    const sched_param parameters{};
    ASSERT_EQ(sched_setscheduler(0, SCHED_BATCH, &parameters), 0);
    pace.Set(true);
    pace.Follow();
    pace.Set(false);
    pace.Follow();
    EXPECT_EQ(sched_getscheduler(0), SCHED_BATCH);
  }).join();
}

}  // namespace
}  // namespace keel::raft
