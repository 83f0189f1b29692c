#include "tests/client/recipe_test_base.h"

#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "tools/local_cluster/metric.h"

namespace keel::testing {

std::unique_ptr<Client> Connect(const std::vector<std::string>& endpoints) {
  auto client = Client::Create({.endpoints = endpoints});
  EXPECT_TRUE(client.ok()) << client.status();
  return *std::move(client);
}

std::unique_ptr<Session> Open(Client& client, absl::Duration ttl) {
  auto session = Session::Open(client, {.ttl = ttl});
  EXPECT_TRUE(session.ok()) << session.status();
  return *std::move(session);
}

absl::Time Soon() { return absl::Now() + absl::Seconds(60); }
absl::Time AtOnce() { return absl::Now() + absl::Milliseconds(300); }

void AwaitKeys(Client& client, const std::string& prefix, int64_t count) {
  const absl::Time deadline = Soon();
  while (absl::Now() < deadline) {
    const auto keys = client.kv().Get(prefix, {.prefix = true, .count_only = true});
    if (keys.ok() && keys->count == count) return;
    absl::SleepFor(absl::Milliseconds(5));
  }
  ADD_FAILURE() << "not " << count << " but " << CountKeys(client, prefix) << " keys at " << prefix;
}

int64_t CountKeys(Client& client, const std::string& prefix) {
  const auto keys = client.kv().Get(prefix, {.prefix = true, .count_only = true});
  EXPECT_TRUE(keys.ok()) << keys.status();
  return keys.ok() ? keys->count : -1;
}

std::string ValueAt(Client& client, const std::string& key) {
  const auto got = client.kv().Get(key);
  EXPECT_TRUE(got.ok()) << got.status();
  return got.ok() && !got->kvs.empty() ? got->kvs[0].value : "(none)";
}

int64_t EventsSent(const std::string& endpoint) {
  const absl::StatusOr<double> sent = tools::ReadMetric(endpoint, "etcd_debugging_mvcc_events_total");
  EXPECT_TRUE(sent.ok()) << sent.status();
  return sent.ok() ? static_cast<int64_t>(*sent) : -1;
}

void ExpectWaitersLeave(Client& client, const MakeLock& make, const std::string& queue, int64_t holders_keys) {
  const auto a = Open(client), b = Open(client);
  const TestLock holder = make(*a), dies = make(*b), stops = make(*a);
  ASSERT_TRUE(holder.lock(Soon()).ok());
  std::thread one([&] {
    const absl::Status lost = dies.lock(Soon());
    EXPECT_EQ(lost.code(), absl::StatusCode::kFailedPrecondition) << lost;
    EXPECT_TRUE(absl::EndsWith(lost.message(), ": session is expired")) << lost;
  });
  std::thread two([&] { EXPECT_EQ(stops.lock(Soon()).code(), absl::StatusCode::kCancelled); });
  AwaitKeys(client, queue, holders_keys + 2);
  EXPECT_TRUE(b->Close().ok());
  one.join();
  EXPECT_TRUE(stops.unlock().ok());
  two.join();
  EXPECT_EQ(CountKeys(client, queue), holders_keys);
  EXPECT_TRUE(holder.held());
}

}  // namespace keel::testing
