#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/metrics/registry.h"

namespace keel::server {

// An operation's total under its name, and under the one it had before: dashboards ask for either. Thread-safe.
class TwoNames {
 public:
  TwoNames(MetricRegistry* registry, const std::string& operation, const std::string& help)
      : name_(registry->AddCounter(absl::StrCat("etcd_mvcc_", operation, "_total"), help)),
        old_name_(registry->AddCounter(absl::StrCat("etcd_debugging_mvcc_", operation, "_total"), help)) {}

  void Increment(uint64_t by) {
    name_.Increment(static_cast<double>(by));
    old_name_.Increment(static_cast<double>(by));
  }

 private:
  prometheus::Counter& name_;
  prometheus::Counter& old_name_;
};

}  // namespace keel::server
