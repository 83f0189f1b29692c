#include "tests/client/examples_fixture.h"

#include <thread>

#include "absl/synchronization/notification.h"

namespace keel::testing {

TestCluster* ExamplesTest::cluster_ = nullptr;

void ExamplesTest::SetUpTestSuite() {
  if (!ServerBinary().ok()) return;
  auto cluster = TestCluster::Start(1);
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  cluster_ = cluster->release();
}

void ExamplesTest::TearDownTestSuite() {
  delete cluster_;
  cluster_ = nullptr;
}

void ExamplesTest::Run(const Example& example, int counts) {
  if (cluster_ == nullptr) GTEST_SKIP() << ServerBinary().status();
  endpoints = cluster_->endpoints();
  const auto client = Client::Create({.endpoints = endpoints});
  ASSERT_TRUE(client.ok()) << client.status();
  const auto session = Session::Open(**client, {.ttl = absl::Seconds(10)});
  ASSERT_TRUE(session.ok()) << session.status();
  lease = (*session)->lease();
  {
    absl::MutexLock lock(&mu_);
    counted_ = 0;
  }
  absl::Notification ended;
  std::thread somebody_else([&] {
    while (!ended.WaitForNotificationWithTimeout(absl::Milliseconds(20))) {
      EXPECT_TRUE((*client)->kv().Put("config/change", "").ok());
    }
  });
  const absl::Status status = example(**client, **session);
  {
    absl::MutexLock lock(&mu_);
    auto all = [counts]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return counted_ >= counts; };
    EXPECT_TRUE(mu_.AwaitWithTimeout(absl::Condition(&all), absl::Seconds(60))) << "results that never came";
  }
  ended.Notify();
  somebody_else.join();
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace keel::testing
