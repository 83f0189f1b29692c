#include "keel/service_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "absl/time/clock.h"
#include "keel/client.h"
#include "tests/client/recipe_test_base.h"
#include "tests/client/test_cluster.h"

namespace keel {
namespace {

using testing::Connect;
using ::testing::ElementsAre;
using testing::Eventually;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::vector<std::string> Addresses(const std::vector<ServiceInstance>& instances) {
  std::vector<std::string> addresses;
  for (const ServiceInstance& i : instances) addresses.push_back(i.address + (i.is_retained ? " (retained)" : ""));
  return addresses;
}

TEST(ServiceRegistryTest, InstancesComeReportAndLeave) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  ServiceRegistry registry(*client);
  auto one = registry.Register("payments", {.address = "one:1", .weight = 2, .metadata = {{"zone", "a"}}});
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ((*one)->key(), "payments/one:1");
  EXPECT_EQ((*one)->status(), absl::OkStatus());
  const auto pool = registry.Discover("payments");
  ASSERT_TRUE(pool.ok()) << pool.status();
  EXPECT_THAT(Addresses((*pool)->instances()), ElementsAre("one:1"));
  EXPECT_EQ((*pool)->instances()[0].metadata.at("zone"), "a");

  auto two = registry.Register("payments", {.address = "two:1"});
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_TRUE(Eventually([&] { return (*pool)->instances().size() == 2; }));
  (*one)->Report({.health = InstanceHealth::kFailing, .load = 3});
  EXPECT_TRUE(Eventually([&] { return (*pool)->instances()[0].report.health == InstanceHealth::kFailing; }));
  for (int i = 0; i < 4; ++i) EXPECT_EQ((*pool)->Pick()->address, "two:1");
  // Both take their leave: that is no mass expiry.
  one->reset();
  two->reset();
  EXPECT_TRUE(Eventually([&] { return (*pool)->instances().empty(); }));
  EXPECT_FALSE((*pool)->is_protecting());
  EXPECT_EQ((*pool)->Pick().status().code(), absl::StatusCode::kUnavailable);
}

TEST(ServiceRegistryTest, AMassExpiryKeepsTheLastKnownInstances) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  ServiceRegistry registry(*client);
  // As another language's resolver would list them, with leases of their own.
  std::vector<LeaseId> leases;
  for (const char* address : {"a:1", "b:1", "c:1"}) {
    const auto lease = client->leases().Grant(absl::Seconds(60));
    ASSERT_TRUE(lease.ok());
    leases.push_back(lease->id);
    const std::string value = std::string(R"({"Op":0,"Addr":")") + address + R"(","Metadata":null})";
    ASSERT_TRUE(client->kv().Put(std::string("svc/") + address, value, {.lease = lease->id}).ok());
  }
  const auto pool = registry.Discover("svc");
  ASSERT_TRUE(pool.ok()) << pool.status();
  EXPECT_THAT(Addresses((*pool)->instances()), ElementsAre("a:1", "b:1", "c:1"));
  // What a store that is away for longer than the TTL does to all of them.
  int64_t revision = 0;
  for (const LeaseId lease : leases) revision = client->leases().Revoke(lease)->header.revision;
  ASSERT_EQ((*pool)->WaitUntil(revision, absl::Now() + absl::Minutes(1)), absl::OkStatus());
  EXPECT_TRUE((*pool)->is_protecting());
  EXPECT_THAT(Addresses((*pool)->instances()),
              UnorderedElementsAre("b:1 (retained)", "c:1 (retained)", "a:1 (retained)"));
  EXPECT_TRUE((*pool)->Pick()->is_retained);
  // They come back.
  for (const char* address : {"a:1", "b:1"}) {
    revision = client->kv().Put(std::string("svc/") + address, "{}")->header.revision;
  }
  ASSERT_EQ((*pool)->WaitUntil(revision, absl::Now() + absl::Minutes(1)), absl::OkStatus());
  EXPECT_FALSE((*pool)->is_protecting());
  EXPECT_THAT(Addresses((*pool)->instances()), ElementsAre("a:1", "b:1"));
}

TEST(ServiceRegistryTest, AnInstanceWhoseLeaseWasLostIsListedAgain) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  ServiceRegistry registry(*client);
  const auto mine = registry.Register("svc", {.address = "a:1"}, {.ttl = absl::Seconds(2)});
  ASSERT_TRUE(mine.ok()) << mine.status();
  const auto before = client->kv().Get("svc/a:1");
  ASSERT_TRUE(before.ok());
  ASSERT_EQ(before->kvs.size(), 1u);
  ASSERT_TRUE(client->leases().Revoke(before->kvs[0].lease).ok());
  EXPECT_TRUE(Eventually([&] {
    const auto now = client->kv().Get("svc/a:1");
    return now.ok() && !now->kvs.empty() && now->kvs[0].lease != before->kvs[0].lease;
  }));
  EXPECT_TRUE(Eventually([&] { return (*mine)->status().ok(); }));
}

TEST(ServiceRegistryTest, AHealthCheckIsReportedByItself) {
  KEEL_START_CLUSTER(cluster, 1);
  const auto client = Connect(cluster->endpoints());
  ServiceRegistry registry(*client);
  std::atomic<double> load = 1;
  const auto mine = registry.Register(
      "svc", {.address = "a:1"},
      {.check = [&] { return HealthReport{.load = load}; }, .check_interval = absl::Milliseconds(20)});
  ASSERT_TRUE(mine.ok()) << mine.status();
  const auto pool = registry.Discover("svc");
  ASSERT_TRUE(pool.ok()) << pool.status();
  load = 7;
  EXPECT_TRUE(Eventually([&] { return (*pool)->instances()[0].report.load == 7; }));
}

TEST(ServiceRegistryTest, RefusesWhatCannotBeAnInstance) {
  const auto client = Connect({"127.0.0.1:1"});
  ServiceRegistry registry(*client);
  EXPECT_EQ(registry.Register("svc", {}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(registry.Register("svc", {.address = "a", .weight = 0}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(registry.Discover("").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(registry.Register("svc", {.address = "a"}).status(),
            absl::UnavailableError("endpoint 127.0.0.1:1: connection refused"));
}

}  // namespace
}  // namespace keel
