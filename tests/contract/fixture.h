#pragma once

// The subtle behaviours of the v3 contract, one test each, named by their numbers in its list: against keeld, or with
// KEEL_TEST_SERVER=etcd against etcd, which must behave so as well (or say from which version on it does).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "proto/etcdserver_cluster.pb.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_lease.pb.h"
#include "proto/etcdserver_maintenance.pb.h"
#include "proto/etcdserver_watch.pb.h"
#include "tests/contract/endpoint.h"
#include "tests/differential/server_process.h"

namespace keel::contract {

// A member of its own for each test.
class Contract : public ::testing::Test, public Endpoint {
 protected:
  explicit Contract(std::vector<std::string> flags = {}) : flags_(std::move(flags)) {}
  void SetUp() override;
  void TearDown() override;

  // Kills the server and starts it again on its data.
  void Restart();
  differential::ServerProcess& server() { return *server_; }

 private:
  const std::vector<std::string> flags_;
  std::unique_ptr<differential::ServerProcess> server_;
};

// For what etcd does since a version that is newer than the one at hand.
#define KEEL_SKIP_ON_OLD_ETCD(version) \
  if (is_etcd()) GTEST_SKIP() << "etcd behaves so since " version

}  // namespace keel::contract
