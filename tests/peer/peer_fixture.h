#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "server/peer/peer_network.h"
#include "tests/peer/fakes.h"

namespace keel::server {

inline constexpr uint64_t kCluster = 0xc1;

// One member in this process.
struct TestMember {
  FakeNode node;
  FakeLeaseKeeper leases;
  TempDir dir;
  std::unique_ptr<PeerNetwork> network;

  std::string IncomingDir(const raft::SnapshotMeta& meta) const {
    return absl::StrCat(dir.path(), "/incoming-", meta.last.index.value());
  }
};

class PeerNetworkTest : public ::testing::Test {
 protected:
  // Addresses of members 1..count; nobody listens yet.
  explicit PeerNetworkTest(int count = 3) {
    for (int i = 1; i <= count; ++i) urls_[raft::MemberId(i)] = FreeUrl();
  }

  PeerNetworkOptions OptionsFor(raft::MemberId self) {
    PeerNetworkOptions options;
    options.cluster_id = kCluster;
    options.self = self;
    options.listen = {urls_[self]};
    for (const auto& [id, url] : urls_) {
      if (id != self) options.peers.push_back({.id = id, .urls = {url}});
    }
    return options;
  }

  std::unique_ptr<TestMember> StartMember(const PeerNetworkOptions& options, storage::StateStore* store = nullptr) {
    auto member = std::make_unique<TestMember>();
    auto network = PeerNetwork::Start(options, store);
    EXPECT_TRUE(network.ok()) << network.status();
    if (!network.ok()) return nullptr;
    member->network = *std::move(network);
    member->network->Attach(&member->node, &member->leases,
                            [m = member.get()](const raft::SnapshotMeta& meta) { return m->IncomingDir(meta); });
    return member;
  }
  std::unique_ptr<TestMember> StartMember(uint64_t id) { return StartMember(OptionsFor(raft::MemberId(id))); }

  static bool AwaitConnected(const PeerNetwork& network, int count) {
    return AwaitTrue([&] { return network.connected() == count; });
  }
  static bool AwaitTrue(const std::function<bool()>& condition) {
    const absl::Time deadline = absl::Now() + kGenerous;
    while (!condition()) {
      if (absl::Now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
  }

  std::map<raft::MemberId, Url> urls_;
  const raft::MemberId a_{1}, b_{2}, c_{3};
};

}  // namespace keel::server
