// The plain HTTP side of the client port.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/end_to_end/fixture.h"

namespace keel::test {
namespace {

using ::testing::HasSubstr;

class HttpTest : public ClusterTest {};

TEST_F(HttpTest, AnswersBesideGrpcOnTheSamePort) {
  StartCluster(3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(HttpGet(i, "/health"), std::make_pair(200, std::string(R"({"health":"true","reason":""})")));
    EXPECT_EQ(HttpGet(i, "/livez"), std::make_pair(200, std::string("ok\n")));
    EXPECT_EQ(HttpGet(i, "/readyz"), std::make_pair(200, std::string("ok\n")));
    EXPECT_THAT(HttpGet(i, "/readyz?verbose").second, HasSubstr("[+]linearizable_read ok"));
    const auto version = nlohmann::json::parse(HttpGet(i, "/version").second);
    EXPECT_TRUE(version.contains("etcdserver"));
    EXPECT_TRUE(version.contains("etcdcluster"));
    const std::string metrics = HttpGet(i, "/metrics").second;
    EXPECT_THAT(metrics, HasSubstr("etcd_server_has_leader 1"));
    EXPECT_THAT(metrics, HasSubstr("grpc_server_handled_total"));
    EXPECT_EQ(HttpGet(i, "/nothing-here").first, 404);
  }
}

TEST_F(HttpTest, WithoutQuorumLiveButNotReady) {
  StartCluster(3, {"--election-timeout=500"});
  cluster_->Kill(0);
  cluster_->Kill(1);
  EXPECT_EQ(HttpGet(2, "/livez").first, 200);
  const auto ready = HttpGet(2, "/readyz");
  EXPECT_EQ(ready.first, 503);
  EXPECT_THAT(ready.second, HasSubstr("[-]linearizable_read failed"));
  EXPECT_EQ(HttpGet(2, "/health").first, 503);
  EXPECT_EQ(HttpGet(2, "/health?serializable=true").first, 200);
}

}  // namespace
}  // namespace keel::test
