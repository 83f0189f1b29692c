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
// Thread-safe. Calls are counted rather than locked, because a call may end up here again (the node's turn sends, and
// sending may find a peer unreachable). Detach() returning means nobody is in them any more; the callees must not
// block.
class Delivery {
 public:
  using IncomingDir = std::function<std::string(const raft::SnapshotMeta&)>;

  void Attach(raft::Node* node, LeaseKeeper* leases, IncomingDir incoming_dir) {
    absl::MutexLock lock(&mu_);
    node_ = node;
    leases_ = leases;
    incoming_dir_ = std::move(incoming_dir);
  }

  // Not from within a call.
  void Detach() {
    absl::MutexLock lock(&mu_);
    node_ = nullptr;
    leases_ = nullptr;
    incoming_dir_ = nullptr;
    auto nobody = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return calls_ == 0; };
    mu_.Await(absl::Condition(&nobody));
  }

  // False, without calling, when there is no node.
  template <typename F>
  bool WithNode(F&& call) {
    return With(&node_, std::forward<F>(call));
  }

  template <typename F>
  bool WithLeases(F&& call) {
    return With(&leases_, std::forward<F>(call));
  }

  // Empty when there is no node.
  std::string incoming_dir(const raft::SnapshotMeta& meta) {
    absl::MutexLock lock(&mu_);
    return incoming_dir_ ? incoming_dir_(meta) : std::string();
  }

 private:
  template <typename T, typename F>
  bool With(T* const* callee_member, F&& call) {
    T* callee;
    {
      absl::MutexLock lock(&mu_);
      callee = *callee_member;
      if (callee == nullptr) return false;
      ++calls_;
    }
    std::forward<F>(call)(*callee);
    absl::MutexLock lock(&mu_);
    --calls_;
    return true;
  }

  absl::Mutex mu_;
  int calls_ ABSL_GUARDED_BY(mu_) = 0;  // In progress.
  raft::Node* node_ ABSL_GUARDED_BY(mu_) = nullptr;
  LeaseKeeper* leases_ ABSL_GUARDED_BY(mu_) = nullptr;
  IncomingDir incoming_dir_ ABSL_GUARDED_BY(mu_);
};

}  // namespace keel::server
