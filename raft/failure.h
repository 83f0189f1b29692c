#pragma once

#include <atomic>
#include <functional>
#include <utility>

#include "absl/status/status.h"

namespace keel::raft {

// The first failure of a node's disk or state machine, which is its end: every thread looks here before it does or
// acknowledges anything further. Thread-safe.
class Failure {
 public:
  explicit Failure(std::function<void(absl::Status)> on_fatal) : on_fatal_(std::move(on_fatal)) {}

  bool failed() const { return failed_.load(std::memory_order_acquire); }
  // The first call tells the owner; later ones are dropped, they are consequences.
  void Report(absl::Status status) {
    if (!failed_.exchange(true, std::memory_order_acq_rel)) on_fatal_(std::move(status));
  }

 private:
  const std::function<void(absl::Status)> on_fatal_;
  std::atomic<bool> failed_ = false;
};

}  // namespace keel::raft
