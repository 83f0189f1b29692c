// The C++ lines of the front page, compiled and run as they stand there.

#include "readme_includes.inc"

#include <gtest/gtest.h>

#include "tests/client/test_cluster.h"

namespace {

TEST(ReadmeTest, ItsLinesTakeALockAndWriteUnderIt) {
  KEEL_START_CLUSTER(cluster, 1);
  const std::vector<std::string> endpoints = cluster->endpoints();
  const std::string text = "all is well";

#include "readme_body.inc"

  EXPECT_TRUE(locked.ok()) << locked;
  EXPECT_GT(token, 0);
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_TRUE(done->succeeded);
  const auto report = (*client)->kv().Get("/report");
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->kvs.size(), 1u);
  EXPECT_EQ(report->kvs[0].value, text);
}

}  // namespace
