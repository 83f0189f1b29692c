#include "tests/contract/fixture.h"

#include <iostream>

namespace keel::contract {

void Contract::SetUp() {
  auto server =
      differential::ServerProcess::Start(is_etcd() ? "etcd" : "keeld", is_etcd() ? "etcd" : KEELD_PATH, flags_);
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  Connect(server_->endpoint());
  ASSERT_TRUE(connection().AwaitReady(absl::Seconds(60))) << server_->LogTail();
}

void Contract::TearDown() {
  if (HasFailure() && server_ != nullptr) std::cerr << server_->LogTail();
}

void Contract::Restart() {
  ASSERT_TRUE(server_->Restart().ok());
  ASSERT_TRUE(connection().AwaitReady(absl::Seconds(60))) << server_->LogTail();
}

}  // namespace keel::contract
