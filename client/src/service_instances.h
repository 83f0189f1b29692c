#pragma once

// What a ServicePool knows and how it chooses. Pure: time is passed in.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "keel/service_registry.h"

namespace keel::client {

std::string InstanceToJson(const ServiceInstance& instance);
// nullopt: the value is none of a name resolver's. `name` (of the key) stands in for a missing address.
std::optional<ServiceInstance> InstanceFromJson(std::string_view name, std::string_view json);

// The instances of a service, with the protection against mass expiry. Owned by one thread (or guarded by its owner).
class InstanceSet {
 public:
  InstanceSet(double vanish_part_max, absl::Duration vanish_window, absl::Duration retain_max);

  void Put(const std::string& name, ServiceInstance instance, absl::Time now);
  // Its key is gone.
  void Remove(const std::string& name, absl::Time now);

  // Those listed and those retained, by name.
  std::vector<ServiceInstance> List(absl::Time now);
  bool is_protecting(absl::Time now);

 private:
  struct Vanished {
    ServiceInstance instance;
    absl::Time at;
  };
  // Begins or ends the protection, and forgets what is too old to count.
  void Look(absl::Time now);

  const double vanish_part_max_;
  const absl::Duration vanish_window_;
  const absl::Duration retain_max_;
  std::map<std::string, ServiceInstance> listed_;
  std::map<std::string, Vanished> vanished_;  // Within the window, or since before the protection began.
  std::optional<absl::Time> protecting_since_;
  size_t expected_ = 0;  // Instances when the protection began.
};

// Whose turn it is. Owned by one thread (or guarded by its owner).
class InstancePicker {
 public:
  // nullopt: there is none.
  std::optional<ServiceInstance> Pick(const std::vector<ServiceInstance>& instances, PickPolicy policy);
  // A report has come: what was picked before it is in its load.
  void Reported(const std::string& address) { picks_.erase(address); }

 private:
  uint64_t turn_ = 0;
  std::map<std::string, double> credit_;  // Of kWeighted.
  std::map<std::string, int64_t> picks_;  // Since the last report.
};

}  // namespace keel::client
