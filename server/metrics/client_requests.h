#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "absl/synchronization/mutex.h"
#include "server/metrics/registry.h"

namespace keel::server {

// RPCs by the version that the client says it is of. It may say anything, so only so many are told apart; the others
// count as "unknown", as those that say nothing.
//
// Thread-safe. Counting takes no lock but for a version that is new.
class ClientRequests {
 public:
  explicit ClientRequests(MetricRegistry* registry);

  void Count(bool unary, std::string_view version);

 private:
  static constexpr size_t kVersionsMax = 32;

  struct Version {
    std::string name;
    prometheus::Counter* unary = nullptr;
    prometheus::Counter* stream = nullptr;
  };

  std::unique_ptr<Version> Make(std::string name);
  const Version* Find(std::string_view name) const;
  // Null: there is no room.
  const Version* Add(std::string_view name);

  prometheus::Family<prometheus::Counter>& family_;
  const std::unique_ptr<Version> unknown_;
  // Those before count_ stay as they are.
  std::array<std::unique_ptr<Version>, kVersionsMax> versions_;
  std::atomic<size_t> count_{0};
  absl::Mutex adding_;
};

}  // namespace keel::server
