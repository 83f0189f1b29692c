#pragma once

#include <functional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "raft/node.h"
#include "server/lease/lease_keeper.h"

namespace keel::server {

// Where what arrives from peers goes: the node and the lease keeper, once they exist and until they end.
// Thread-safe. Calls run under a reader lock, so that Detach() returning means nobody is in them any more; the callees
// must not block.
class Delivery {
 public:
  using IncomingDir = std::function<std::string(const raft::SnapshotMeta&)>;

  void Attach(raft::Node* node, LeaseKeeper* leases, IncomingDir incoming_dir) {
    absl::MutexLock lock(&mu_);
    node_ = node;
    leases_ = leases;
    incoming_dir_ = std::move(incoming_dir);
  }

  void Detach() {
    absl::MutexLock lock(&mu_);
    node_ = nullptr;
    leases_ = nullptr;
    incoming_dir_ = nullptr;
  }

  // False, without calling, when there is no node.
  template <typename F>
  bool WithNode(F&& call) {
    absl::ReaderMutexLock lock(&mu_);
    if (node_ == nullptr) return false;
    std::forward<F>(call)(*node_);
    return true;
  }

  template <typename F>
  bool WithLeases(F&& call) {
    absl::ReaderMutexLock lock(&mu_);
    if (leases_ == nullptr) return false;
    std::forward<F>(call)(*leases_);
    return true;
  }

  // Empty when there is no node.
  std::string incoming_dir(const raft::SnapshotMeta& meta) {
    absl::ReaderMutexLock lock(&mu_);
    return incoming_dir_ ? incoming_dir_(meta) : std::string();
  }

 private:
  absl::Mutex mu_;
  raft::Node* node_ ABSL_GUARDED_BY(mu_) = nullptr;
  LeaseKeeper* leases_ ABSL_GUARDED_BY(mu_) = nullptr;
  IncomingDir incoming_dir_ ABSL_GUARDED_BY(mu_);
};

}  // namespace keel::server
