#include "base/bounded_queue.h"

#include <gtest/gtest.h>

#include <thread>

namespace keel {
namespace {

TEST(BoundedQueueTest, SaysNoWhenFullAndLeavesTheItem) {
  BoundedQueue<std::string> queue(1);
  EXPECT_TRUE(queue.TryPush("a"));
  std::string b = "b";
  EXPECT_FALSE(queue.TryPush(std::move(b)));
  EXPECT_EQ(b, "b");
  EXPECT_TRUE(queue.Push("c"));
}

TEST(BoundedQueueTest, HandsOverEverythingThatGathered) {
  BoundedQueue<int> queue(10);
  queue.Push(1);
  queue.Push(2);
  std::vector<int> out;
  EXPECT_TRUE(queue.PopAll(&out));
  EXPECT_EQ(out, (std::vector<int>{1, 2}));
}

TEST(BoundedQueueTest, CloseEndsTheConsumerAfterTheLastItem) {
  BoundedQueue<int> queue(10);
  queue.Push(1);
  queue.Close();
  EXPECT_FALSE(queue.Push(2));
  std::vector<int> out;
  EXPECT_TRUE(queue.PopAll(&out));
  out.clear();
  EXPECT_FALSE(queue.PopAll(&out));
}

TEST(BoundedQueueTest, PushWakesAWaitingConsumer) {
  BoundedQueue<int> queue(10);
  std::vector<int> out;
  std::thread consumer([&] { queue.PopAll(&out); });
  queue.Push(5);
  consumer.join();
  EXPECT_EQ(out, (std::vector<int>{5}));
}

}  // namespace
}  // namespace keel
